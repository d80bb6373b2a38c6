//! A program like gitweb in virtual time: each worker exits with status 0 after most of its
//! requests.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fcgipm::pool::{Action, Config, Event, Exit, Notice, Pool, Sizing, WorkerEvent};

use crate::random::Random;

const MS: Duration = Duration::from_millis(1);
const WORKERS: usize = 4;
/// From the fork to the first Accept.
const START: Duration = Duration::from_millis(50);
const REQUEST: Duration = Duration::from_millis(10);

/// A worker, and what it does.
struct Worker {
    ready_at: Duration,
    ready: bool,
    busy_until: Option<Duration>,
    exits: bool,
}

/// The result of ten minutes.
struct Tally {
    waits: Vec<Duration>,
    departures: usize,
    notices: Vec<Notice>,
}

/// Requests arrive evenly, `apart`, and after four of five of them the worker exits.
fn ten_minutes(sizing: Sizing, apart: Duration) -> Tally {
    let config = Config {
        processes: WORKERS,
        max_processes: WORKERS,
        slots: 4 * WORKERS,
        reload_surge: 0,
        start_delay: Duration::ZERO,
        start_timeout: Some(Duration::from_secs(60)),
        ready_delay: None,
        die_timeout: Some(Duration::from_secs(60)),
        sizing,
        max_requests: 0,
        max_requests_jitter: 0,
        max_memory: 0,
        max_lifetime: None,
        request_timeout: None,
        request_timeout_grace: Duration::from_secs(5),
        slow_request: None,
        drain_delay: Duration::ZERO,
        seed: 1,
    };
    let mut pool = Pool::new(config);
    let mut random = Random(1);
    let mut workers: BTreeMap<usize, Worker> = BTreeMap::new();
    let mut queue: VecDeque<Duration> = VecDeque::new();
    let mut tally = Tally {
        waits: Vec::new(),
        departures: 0,
        notices: Vec::new(),
    };
    let (mut now, mut next) = (Duration::ZERO, Duration::from_secs(1));
    let mut actions = Vec::new();
    pool.handle(now, Event::Start, &mut actions);
    while now < Duration::from_secs(600) {
        while next <= now {
            queue.push_back(next);
            next += apart;
        }
        for (&slot, worker) in &mut workers {
            if !worker.ready && worker.ready_at <= now {
                worker.ready = true;
                let event = WorkerEvent::Ready;
                pool.handle(now, Event::Worker { slot, event }, &mut actions);
            }
        }
        let gone: Vec<_> = workers
            .iter_mut()
            .filter(|(_, worker)| worker.busy_until.is_some_and(|at| at <= now))
            .filter_map(|(slot, worker)| {
                worker.busy_until = None;
                worker.exits.then_some(*slot)
            })
            .collect();
        for slot in gone {
            workers.remove(&slot);
            tally.departures += 1;
            for event in [WorkerEvent::Served, WorkerEvent::Exited(Exit::Code(0))] {
                pool.handle(now, Event::Worker { slot, event }, &mut actions);
            }
        }
        for worker in workers.values_mut() {
            if worker.ready && worker.busy_until.is_none() {
                if let Some(came) = queue.pop_front() {
                    tally.waits.push(now - came);
                    worker.busy_until = Some(now + REQUEST);
                    worker.exits = !random.one_in(5);
                }
            }
        }
        if !queue.is_empty() && pool.watch_listener().is_some_and(|at| at <= now) {
            pool.handle(now, Event::Connection, &mut actions);
        }
        pool.handle(now, Event::Tick, &mut actions);
        for action in std::mem::take(&mut actions) {
            match action {
                Action::Fork { slot } => {
                    let worker = Worker {
                        ready_at: now + START,
                        ready: false,
                        busy_until: None,
                        exits: false,
                    };
                    workers.insert(slot, worker);
                    let event = WorkerEvent::Forked;
                    pool.handle(now, Event::Worker { slot, event }, &mut actions);
                }
                Action::Notice(notice) => tally.notices.push(notice),
                _ => {}
            }
        }
        now += MS;
    }
    tally.waits.sort_unstable();
    tally
}

fn check(sizing: Sizing, apart: Duration, longest: Duration) {
    let tally = ten_minutes(sizing, apart);
    let count = tally.waits.len();
    let median = tally.waits[count / 2];
    let last = tally.waits[count - 1];
    println!(
        "measured: workers that exit behind their request, {sizing:?}, one per {apart:?}: {count} requests, {} exits, \
         waits of {median:?} (median) and {last:?} (longest)",
        tally.departures
    );
    assert!(tally.departures > count / 2);
    assert!(
        median <= longest / 2 && last <= longest,
        "{median:?}, {last:?}"
    );
    for notice in &tally.notices {
        assert!(
            !matches!(
                notice,
                Notice::BackingOff { .. }
                    | Notice::DeparturesLimited { .. }
                    | Notice::Emptied
                    | Notice::Killing { .. }
            ),
            "{notice:?}"
        );
    }
}

#[test]
fn eight_requests_per_second_do_not_wait_although_most_workers_exit_after_a_request() {
    let apart = 125 * MS;
    check(Sizing::Static, apart, 5 * MS);
    let dynamic = Sizing::Dynamic {
        start: 2,
        min_spare: 1,
        max_spare: 2,
    };
    check(dynamic, apart, 2 * START);
    let idle_timeout = Some(Duration::from_secs(10));
    check(Sizing::OnDemand { idle_timeout }, apart, 3 * START);
}

#[test]
fn all_requests_are_served_at_the_rate_of_worker_starts() {
    // Each of four workers needs 60 ms for a request and the start of its replacement: 66 per
    // second.
    check(Sizing::Static, 20 * MS, 2 * START);
}
