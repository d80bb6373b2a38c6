//! The pool in virtual time: random events against a model of workers, with what must hold checked
//! after every one. `POOL_SEED=N` replays one episode; `POOL_EVENTS=N` sets how many are made.

use std::collections::BTreeMap;
use std::time::Duration;

use fcgipm::pool::{Action, Config, Event, Exit, Notice, Pool, Report, Resize};

const SECOND: Duration = Duration::from_secs(1);
const WINDOW: Duration = Duration::from_secs(10);
/// A manager that was away for less than this may not notice.
const UNNOTICED: Duration = Duration::from_secs(2);

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    fn millis(&mut self, bound: u64) -> Duration {
        Duration::from_millis(self.below(bound))
    }
}

#[derive(Debug)]
struct Worker {
    /// Start of the time that its start may take, without the time that it was stopped.
    born: Duration,
    ready: bool,
    ready_at: Option<Duration>,
    exit_at: Option<(Duration, Exit)>,
    /// Start of the time that it may take to leave.
    told: Option<Duration>,
    stubborn: bool,
}

/// What kind of workers an episode has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Code {
    Good,
    Mixed,
    Broken,
    /// Every worker dies young, and nobody asks for anything: the back-off can be counted exactly.
    CrashLoop,
}

struct World {
    pool: Pool,
    config: Config,
    random: Random,
    code: Code,
    now: Duration,
    wanted: usize,
    workers: BTreeMap<usize, Worker>,
    forks: Vec<Duration>,
    stopping: bool,
    stopped: bool,
    reloads: [usize; 3],
    events: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let processes = 1 + random.below(if random.0.is_multiple_of(7) { 40 } else { 8 }) as usize;
        let config = Config {
            processes,
            max_processes: processes + 5,
            slots: 2 * processes + 16,
            reload_surge: random.below(4) as usize,
            start_delay: if random.one_in(3) {
                random.millis(500)
            } else {
                Duration::ZERO
            },
            start_timeout: (!random.one_in(4)).then(|| SECOND + random.millis(60_000)),
            die_timeout: (!random.one_in(4)).then(|| SECOND + random.millis(60_000)),
        };
        let code = match random.below(5) {
            0 | 1 => Code::Good,
            2 => Code::Mixed,
            3 => Code::Broken,
            _ => Code::CrashLoop,
        };
        Self {
            pool: Pool::new(config.clone()),
            wanted: processes,
            config,
            random,
            code,
            now: Duration::ZERO,
            workers: BTreeMap::new(),
            forks: Vec::new(),
            stopping: false,
            stopped: false,
            reloads: [0; 3],
            events: 0,
        }
    }

    fn ready(&self) -> usize {
        let serving = |worker: &&Worker| worker.ready && worker.told.is_none();
        self.workers.values().filter(serving).count()
    }

    /// Hands in one event, performs the actions, checks what must hold.
    fn handle(&mut self, event: Event) {
        self.events += 1;
        assert!(!self.stopped || event == Event::Tick || !matches!(event, Event::Worker { .. }));
        match event {
            Event::Resize(Resize::Up) if !self.stopping => {
                self.wanted = (self.wanted + 1).min(self.config.max_processes);
            }
            Event::Resize(Resize::Down) if !self.stopping => self.wanted = (self.wanted - 1).max(1),
            Event::Stop => self.stopping = true,
            _ => {}
        }
        let mut actions = Vec::new();
        self.pool.handle(self.now, event, &mut actions);
        let mut retired_ready = false;
        let mut forks = Vec::new();
        for action in actions {
            match action {
                Action::Fork { slot } => {
                    assert!(!self.stopping, "fork while stopping");
                    assert_eq!(event, Event::Tick, "only a tick forks");
                    assert!(slot < self.config.slots);
                    assert!(!self.workers.contains_key(&slot), "fork into a full slot");
                    forks.push(slot);
                }
                Action::Retire { slot, last } => {
                    assert_eq!(last, self.stopping);
                    let now = self.now;
                    let worker = self.workers.get_mut(&slot).expect("retire nobody");
                    if worker.told.is_none() {
                        retired_ready |= worker.ready;
                        worker.told = Some(now);
                    } else {
                        assert!(last, "told twice");
                    }
                }
                Action::Kick { slot } => {
                    let worker = self.workers.get(&slot).expect("kick nobody");
                    assert!(worker.told.is_some(), "kick of a worker that serves");
                    self.may_leave(slot, worker.ready);
                }
                Action::Terminate { slot } => {
                    let worker = self.workers.get(&slot).expect("terminate nobody");
                    assert!(worker.told.is_some() && !worker.ready);
                    self.may_leave(slot, true);
                }
                Action::Kill { slot } => self.killed(slot),
                Action::Notice(notice) => self.notice(notice),
                Action::Stopped => {
                    assert!(self.stopping && self.workers.is_empty() && !self.stopped);
                    self.stopped = true;
                }
            }
        }
        // P2: whoever is let go is covered.
        assert!(
            !retired_ready || self.stopping || self.ready() >= self.wanted,
            "{} ready of {}",
            self.ready(),
            self.wanted
        );
        assert!(forks.len() <= 1);
        if event == Event::Tick && forks.is_empty() {
            let due = self.pool.deadline();
            assert!(
                due.is_none_or(|due| due > self.now),
                "a tick that changes nothing"
            );
        }
        self.agree();
        if let Some(slot) = forks.pop() {
            self.fork(slot);
        }
    }

    /// The pool's idea of its workers is the model's.
    fn agree(&self) {
        let counts = self.pool.counts();
        assert_eq!(counts.ready, self.ready());
        assert_eq!(counts.wanted, self.wanted);
        assert!((1..=self.config.max_processes).contains(&counts.wanted));
        assert!(counts.processes <= self.config.slots);
    }

    fn fork(&mut self, slot: usize) {
        if self.code != Code::CrashLoop && self.random.one_in(20) {
            return self.report(slot, Report::ForkFailed { errno: 11 });
        }
        self.forks.push(self.now);
        let now = self.now;
        let good = match self.code {
            Code::Good => true,
            Code::Mixed => !self.random.one_in(3),
            Code::Broken => self.random.one_in(4),
            Code::CrashLoop => false,
        };
        let ready_at = now + self.random.millis(3_000);
        let dies_at = now + self.random.millis(9_000);
        let exit = match self.random.below(3) {
            0 => Exit::Code(0),
            1 => Exit::Code(255),
            _ => Exit::Signal(11),
        };
        let hangs = !good && self.code != Code::CrashLoop && self.random.one_in(3);
        let worker = Worker {
            born: now,
            ready: false,
            ready_at: (good || (!hangs && self.random.one_in(2))).then_some(ready_at),
            exit_at: (!good && !hangs).then_some((dies_at, exit)),
            told: None,
            stubborn: self.config.die_timeout.is_some() && self.random.one_in(10),
        };
        self.workers.insert(slot, worker);
        self.report(slot, Report::Forked);
    }

    fn report(&mut self, slot: usize, report: Report) {
        self.handle(Event::Worker { slot, report });
    }

    /// A worker was reached: it leaves, unless it is busy for a while or will not.
    fn may_leave(&mut self, slot: usize, reached: bool) {
        let busy = if self.random.one_in(3) {
            self.random.millis(20_000)
        } else {
            self.random.millis(20)
        };
        // One kick in four falls between a look at the flag and the wait.
        let missed = self.random.one_in(4);
        let worker = self.workers.get_mut(&slot).expect("somebody");
        let starting = !worker.ready;
        if reached && !worker.stubborn && worker.exit_at.is_none() && (starting || !missed) {
            worker.exit_at = Some((self.now + busy, Exit::Code(0)));
        }
    }

    fn killed(&mut self, slot: usize) {
        let now = self.now;
        let worker = self.workers.get_mut(&slot).expect("kill nobody");
        let (since, limit) = match worker.told {
            Some(told) => (told, self.config.die_timeout),
            None => {
                assert!(!worker.ready, "kill of a worker that serves");
                (worker.born, self.config.start_timeout)
            }
        };
        let limit = limit.expect("kill without a limit");
        assert!(
            now >= since + limit,
            "killed after {:?} of {limit:?}",
            now - since
        );
        worker.told.get_or_insert(now);
        worker.exit_at = Some((now + Duration::from_millis(1), Exit::Signal(9)));
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::ReloadBegun => self.reloads[0] += 1,
            Notice::ReloadDone => {
                self.reloads[1] += 1;
                assert!(self.ready() >= self.wanted);
            }
            Notice::ReloadFailed { .. } => self.reloads[2] += 1,
            _ => {}
        }
        let ended = self.reloads[1] + self.reloads[2];
        assert!(self.reloads[0] == ended || self.reloads[0] == ended + 1 || self.stopping);
    }

    /// Observes everything that is due, then ticks.
    fn observe(&mut self) {
        let slots: Vec<_> = self.workers.keys().copied().collect();
        for slot in slots {
            let now = self.now;
            let worker = self.workers.get_mut(&slot).expect("somebody");
            if !worker.ready && worker.ready_at.is_some_and(|at| at <= now) {
                worker.ready_at = None;
                if worker.told.is_none() {
                    worker.ready = true;
                    self.report(slot, Report::Ready);
                }
            }
            let worker = &self.workers[&slot];
            if worker.told.is_some() && self.random.one_in(2) {
                let idle = worker.ready && !worker.stubborn;
                self.report(slot, Report::Activity { idle });
            }
            if let Some((at, exit)) = self.workers[&slot].exit_at
                && at <= now
            {
                self.workers.remove(&slot);
                self.report(slot, Report::Exited(exit));
            }
        }
        self.handle(Event::Tick);
    }

    /// Goes to the next thing that happens by itself; `false` if nothing will.
    fn advance(&mut self) -> bool {
        let workers = self.workers.values();
        let next = workers
            .flat_map(|w| [w.ready_at, w.exit_at.map(|(at, _)| at)])
            .chain([self.pool.deadline()])
            .flatten()
            .min();
        if let Some(next) = next {
            self.now = self.now.max(next);
            self.observe();
        }
        next.is_some()
    }

    /// The manager is not there for a while, and perhaps nobody is.
    fn absence(&mut self) {
        let away = self.random.millis(120_000);
        let workers_too = self.random.one_in(2);
        self.now += away;
        for worker in self.workers.values_mut() {
            if workers_too {
                worker.born += away.saturating_sub(UNNOTICED);
                worker.told = worker
                    .told
                    .map(|told| told + away.saturating_sub(UNNOTICED));
                worker.ready_at = worker.ready_at.map(|at| at + away);
                worker.exit_at = worker.exit_at.map(|(at, exit)| (at + away, exit));
            }
        }
        self.observe();
    }

    fn disturb(&mut self) {
        match self.random.below(40) {
            0 | 1 => self.handle(Event::Reload),
            2 => self.handle(Event::Resize(Resize::Up)),
            3 => self.handle(Event::Resize(Resize::Down)),
            4 if self.random.one_in(4) => self.absence(),
            5 => {
                let now = self.now;
                let victim = self.random.below(8) as usize;
                if let Some(worker) = self.workers.values_mut().nth(victim) {
                    worker.exit_at = Some((now, Exit::Signal(9)));
                }
            }
            6 => {
                // Garbage from a scoreboard page.
                let slot = self.random.below(16) as usize;
                let idle = self.random.one_in(2);
                self.report(slot, Report::Activity { idle });
            }
            7 => self.now += self.random.millis(900),
            8 if self.random.one_in(4) => {
                self.code = match self.random.below(3) {
                    0 => Code::Good,
                    1 => Code::Mixed,
                    _ => Code::Broken,
                };
            }
            _ => {}
        }
    }

    /// P4, exactly.
    fn check_crash_loop(&self) {
        let Some(&first) = self.forks.first() else {
            return;
        };
        let spent_first = self.config.processes;
        let early = self.forks.iter().filter(|at| **at < first + WINDOW).count();
        if self.config.start_delay.is_zero() {
            assert!(
                early <= 10.max(spent_first + 1),
                "{early} forks in 10 s, {spent_first} wanted"
            );
        }
        let late: Vec<_> = self.forks[spent_first.min(self.forks.len())..]
            .iter()
            .filter(|at| **at >= first + WINDOW)
            .collect();
        assert!(
            late.windows(2).all(|pair| *pair[1] >= *pair[0] + SECOND),
            "more than one a second"
        );
    }

    fn run(&mut self) {
        self.handle(Event::Start);
        self.observe();
        for _ in 0..self.random.below(400) {
            if self.code != Code::CrashLoop {
                self.disturb();
            }
            if !self.advance() {
                break;
            }
        }
        if self.code == Code::CrashLoop {
            self.check_crash_loop();
        } else if self.random.one_in(2) {
            self.calm_down();
        }
        // P4: TERM acts at once, and always leads to the end.
        self.handle(Event::Stop);
        for worker in self.workers.values() {
            assert!(worker.told.is_some(), "not told to leave");
        }
        let asked = self.now;
        while !self.stopped {
            assert!(
                self.now < asked + 1_000 * SECOND,
                "never stopped: {:?}",
                self.workers
            );
            assert!(
                self.advance(),
                "nothing will ever stop it: {:?}",
                self.workers
            );
        }
        assert!(self.pool.deadline().is_none());
    }

    /// With good code and limits, every reload ends, and the pool is full.
    fn calm_down(&mut self) {
        if self.config.start_timeout.is_none() || self.config.die_timeout.is_none() {
            return;
        }
        self.code = Code::Good;
        let since = self.now;
        while self.now < since + 20_000 * SECOND {
            if !self.pool.is_reloading() && self.ready() == self.wanted {
                return;
            }
            if !self.advance() {
                break;
            }
        }
        panic!(
            "not full: {:?}, reloading: {}",
            self.pool.counts(),
            self.pool.is_reloading()
        );
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn what_must_hold_holds_after_each_of_a_million_random_events() {
    let total = number("POOL_EVENTS").unwrap_or(1_000_000);
    let one = number("POOL_SEED");
    let mut events = 0;
    let mut seed = one.unwrap_or(1);
    let mut reloads = [0; 3];
    loop {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            world.run();
            (world.events, world.reloads)
        });
        match run {
            Ok((made, counts)) => {
                events += made;
                (0..3).for_each(|kind| reloads[kind] += counts[kind]);
            }
            Err(cause) => {
                eprintln!("replay with POOL_SEED={seed}");
                std::panic::resume_unwind(cause);
            }
        }
        if one.is_some() || events >= total {
            break;
        }
        seed += 1;
    }
    println!("{events} events in {seed} episodes; reloads begun, done, failed: {reloads:?}");
    assert!(one.is_some() || reloads.iter().all(|count| *count > 100));
}
