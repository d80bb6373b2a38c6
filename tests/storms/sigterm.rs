//! SIGTERM to workers in any phase: each finishes its request, and exits.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use fcgipm::worker::Activity;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::board::Board;
use super::host::{self, Language};
use super::load::{Load, Tally};
use super::peer::connection::{Connection, LIMIT};
use super::peer::pool::Pool;
use super::peer::program::{TRANSPORTS, Transport, cpu_pressure, pidfd, readable_within};
use super::peer::records::ID;
use super::random::Chance;

/// The maximum time for an idle worker to exit.
const BOUND: Duration = Duration::from_millis(100);

/// For each phase, how long the workers that got SIGTERM in it took to exit.
type Phases = BTreeMap<String, Vec<Duration>>;

fn phase(activity: Option<Activity>) -> String {
    activity.map_or("unreadable".to_owned(), |a| format!("{a:?}").to_lowercase())
}

/// A load of any duration, all of whose requests must be answered.
struct Work {
    address: String,
    options: Vec<String>,
    load: Load,
    answered: u64,
}

impl Work {
    fn start(address: String, options: Vec<String>) -> Self {
        let load = Load::start(&address, &options);
        let answered = 0;
        Self {
            address,
            options,
            load,
            answered,
        }
    }

    fn proceed(&mut self) {
        if self.load.is_done() {
            let next = Load::start(&self.address, &self.options);
            let before = std::mem::replace(&mut self.load, next);
            self.answered += ok(before.finish(), &self.options);
        }
    }

    fn finish(self) -> u64 {
        self.answered + ok(self.load.finish(), &self.options)
    }
}

/// The number of requests, all of which were answered.
fn ok(tally: Tally, options: &[String]) -> u64 {
    assert_eq!(tally.lost(), 0, "{options:?}: {tally:?}");
    assert_eq!(tally.ok(), tally.requests());
    tally.ok()
}

/// All kinds of requests.
fn work(language: Language, pool: &Pool, scale: usize) -> Vec<Work> {
    let kinds: [(usize, &[&str], usize); 4] = [
        (2, &[], 100),
        (4, &["--split", "2"], 100),
        (4, &["--split", "1", "--keep"], 100),
        (5, &[], 400_000),
    ];
    let start = |(share, options, size): (usize, &[&str], usize)| {
        let clients = (share * scale).to_string();
        let mut arguments = ["-c", &clients, "-t", "0.4"].map(str::to_owned).to_vec();
        arguments.extend(host::bytes(language, size));
        arguments.extend(options.iter().map(|&word| word.to_owned()));
        Work::start(host::address(pool), arguments)
    };
    kinds.map(start).into_iter().collect()
}

/// Sends SIGTERM to all workers of a new pool under load. Returns the number of answers.
fn storm(
    language: Language,
    transport: Transport,
    workers: usize,
    chance: &mut Chance,
    phases: &mut Phases,
) -> u64 {
    let pool = host::start(language, transport, workers, &[]);
    let board = Board::of(pool.program.pid());
    // In C some workers wait at the gate until all signals are sent.
    let mut paused: Vec<Connection> = match language {
        Language::C => (0..workers / 10).map(|_| pool.paused(false)).collect(),
        Language::Perl => Vec::new(),
    };
    let mut work = work(language, &pool, (workers / 40).max(1));
    let mut targets = board.workers();
    assert_eq!(targets.len(), workers);
    chance.shuffle(&mut targets);
    let epoll = Epoll::new(EpollCreateFlags::empty()).unwrap();
    let descriptors: Vec<_> = targets
        .iter()
        .map(|(_, pid)| pidfd(*pid).unwrap())
        .collect();
    for (at, descriptor) in (0..).zip(&descriptors) {
        let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLONESHOT, at);
        epoll.add(descriptor, event).unwrap();
    }
    let mut sent: Vec<(Instant, String)> = Vec::new();
    let exits = std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut exits = vec![None; workers];
            let mut left = workers;
            let mut events = [EpollEvent::empty(); 64];
            while left > 0 {
                let limit = EpollTimeout::try_from(LIMIT).unwrap();
                let count = match epoll.wait(&mut events, limit) {
                    // After this process was stopped or traced (signal(7)).
                    Err(nix::errno::Errno::EINTR) => continue,
                    waited => waited.unwrap(),
                };
                assert!(count > 0, "{left} of {workers} workers still run");
                let now = Instant::now();
                for event in &events[..count] {
                    exits[event.data() as usize] = Some(now);
                }
                left -= count;
            }
            exits
        });
        for (slot, pid) in &targets {
            work.iter_mut().for_each(Work::proceed);
            let phase = phase(board.activity(*slot));
            sent.push((Instant::now(), phase));
            kill(Pid::from_raw(*pid), Signal::SIGTERM).unwrap();
            // The pace is the scenario.
            std::thread::sleep(Duration::from_micros(chance.below(1_000) as u64));
        }
        let gate = (!paused.is_empty()).then(|| pool.let_through(paused.len()));
        for connection in &mut paused {
            assert!(connection.response_to(ID).text().contains("waited, 1"));
        }
        drop(gate);
        watching.join().unwrap()
    });
    for ((began, phase), exit) in sent.into_iter().zip(exits) {
        let took = exit.unwrap().saturating_duration_since(began);
        phases.entry(phase).or_default().push(took);
    }
    let answered: u64 = work.into_iter().map(Work::finish).sum();
    pool.stop();
    answered + paused.len() as u64
}

fn storms(language: Language, pools: usize, workers: usize) {
    let mut chance = Chance::new("TERM");
    let mut phases = Phases::new();
    let mut answered = 0;
    for round in 0..pools {
        let transport = TRANSPORTS[round % 2];
        answered += storm(language, transport, workers, &mut chance, &mut phases);
    }
    let total: usize = phases.values().map(Vec::len).sum();
    println!("measured: {total} TERMs in {language:?}: {answered} requests answered, lost=0");
    for (phase, took) in phases {
        println!(
            "measured:   {:>5} while {phase}: exited after {}",
            took.len(),
            quantiles(took)
        );
    }
    assert_eq!(total, pools * workers);
}

fn quantiles(mut list: Vec<Duration>) -> String {
    list.sort();
    let at = |share: f64| list[((list.len() - 1) as f64 * share) as usize];
    format!(
        "p50 {:.1?}, p99 {:.1?}, at most {:.1?}",
        at(0.5),
        at(0.99),
        at(1.0)
    )
}

pub(crate) fn ten_thousand_terms_at_random_phases_lose_nothing() {
    storms(Language::C, 50, 200);
}

pub(crate) fn terms_at_random_phases_lose_nothing_in_perl() {
    storms(Language::Perl, 4, 40);
}

pub(crate) fn an_idle_worker_exits_within_a_tenth_of_a_second() {
    for language in [Language::C, Language::Perl] {
        let workers = match language {
            Language::C => 300,
            Language::Perl => 30,
        };
        let pool = host::start(language, Transport::Unix, workers, &[]);
        let (begun, before) = (Instant::now(), cpu_pressure());
        let mut took = Vec::new();
        for pid in &pool.workers {
            let descriptor = pidfd(*pid).unwrap();
            let start = Instant::now();
            kill(Pid::from_raw(*pid), Signal::SIGTERM).unwrap();
            assert!(
                readable_within(descriptor.as_fd(), LIMIT),
                "{pid} still runs"
            );
            took.push(start.elapsed());
        }
        // On a busy machine some exits are late, but not a larger share than that of the time in
        // which processes waited for a CPU, and not in every batch.
        let batches = took.chunks(workers / 10);
        let least = batches.filter_map(|batch| batch.iter().max()).min();
        let least = *least.unwrap();
        let late = took.iter().filter(|took| **took > BOUND).count();
        println!(
            "measured: idle workers in {language:?}, SIGTERM: exited after {}; at most {least:.1?} in the best tenth",
            quantiles(took)
        );
        assert!(least <= BOUND, "{language:?}: {least:?}");
        let share = (cpu_pressure() - before) / begun.elapsed().as_secs_f64();
        println!(
            "  {late} of them after {BOUND:?}; processes waited for a CPU {:.0} % of the time",
            share * 100.0
        );
        assert!(
            late as f64 <= (workers as f64 * share).ceil(),
            "{language:?}: {late} of {workers} late"
        );
        pool.stop();
    }
}
