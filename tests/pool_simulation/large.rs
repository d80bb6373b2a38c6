//! A reload of a thousand workers, with every page polled in every turn.

use std::collections::BTreeMap;
use std::time::Duration;

use fcgipm::pool::{
    Action, Activity, Config, Event, Exit, Observation, Offers, Pool, Sizing, SlotState,
    WorkerEvent,
};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

const WORKERS: usize = 1_000;
const MS: Duration = Duration::from_millis(1);

/// The CPU time of this thread, which does not depend on other processes.
fn spent() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).expect("getrusage");
    let (user, system) = (usage.user_time(), usage.system_time());
    Duration::from_micros((user.num_microseconds() + system.num_microseconds()).unsigned_abs())
}

struct Site {
    pool: Pool,
    now: Duration,
    actions: Vec<Action>,
    ready: BTreeMap<usize, Duration>,
    leaving: Vec<usize>,
}

impl Site {
    fn send(&mut self, event: Event) {
        self.pool.handle(self.now, event, &mut self.actions);
    }

    fn report(&mut self, slot: usize, event: WorkerEvent) {
        self.send(Event::Worker { slot, event });
    }

    /// Runs one turn of the loop of a manager, and returns the time that the pool took.
    fn turn(&mut self, slots: usize) -> Duration {
        let begin = spent();
        for slot in std::mem::take(&mut self.leaving) {
            self.report(slot, WorkerEvent::Exited(Exit::Code(0)));
        }
        let now = self.now;
        let ready: Vec<_> = self.ready.iter().filter(|(_, at)| **at <= now).collect();
        let ready: Vec<_> = ready.into_iter().map(|(slot, _)| *slot).collect();
        for slot in ready {
            self.ready.remove(&slot);
            self.report(slot, WorkerEvent::Ready);
        }
        for slot in 0..slots {
            let report = Observation {
                activity: Activity::Busy,
                request: now.as_secs(),
                requests: now.as_secs(),
                since: now,
                offers: Offers::None,
            };
            self.report(slot, WorkerEvent::Observed(report));
        }
        self.send(Event::Tick);
        for action in std::mem::take(&mut self.actions) {
            match action {
                Action::Fork { slot } => {
                    self.ready.insert(slot, now + 5 * MS);
                    self.report(slot, WorkerEvent::Forked);
                }
                Action::Retire { slot, .. } => {
                    self.ready.remove(&slot);
                    self.leaving.push(slot);
                }
                _ => {}
            }
        }
        spent() - begin
    }
}

#[test]
fn every_turn_in_a_reload_of_a_thousand_workers_is_short() {
    let config = Config {
        processes: WORKERS,
        max_processes: 2_000,
        slots: 4_500,
        reload_surge: 0,
        start_delay: Duration::ZERO,
        start_timeout: Some(Duration::from_secs(60)),
        ready_delay: None,
        die_timeout: Some(Duration::from_secs(60)),
        sizing: Sizing::Static,
        max_requests: 1 << 40,
        max_requests_jitter: 0,
        max_memory: 1 << 40,
        max_lifetime: Some(Duration::from_secs(86_400)),
        request_timeout: Some(Duration::from_secs(30)),
        request_timeout_grace: Duration::from_secs(5),
        slow_request: Some(Duration::from_secs(5)),
        drain_delay: Duration::ZERO,
        seed: 1,
    };
    let mut site = Site {
        pool: Pool::new(config),
        now: Duration::ZERO,
        actions: Vec::new(),
        ready: BTreeMap::new(),
        leaving: Vec::new(),
    };
    site.send(Event::Start);
    while site.pool.counts().ready < WORKERS {
        site.turn(0);
        site.now += MS;
    }
    site.send(Event::Reload);
    let mut turns = Vec::new();
    while site.pool.is_reloading() {
        turns.push(site.turn(2 * WORKERS));
        site.now += MS;
    }
    assert!((0..4_500).all(|slot| site.pool.state(slot) != SlotState::Starting));
    let all: Duration = turns.iter().sum();
    let longest = turns.iter().max().copied().unwrap_or_default();
    println!(
        "measured: a reload of {WORKERS} workers: {} turns, {all:?} in all, the longest {longest:?}",
        turns.len()
    );
    assert!(longest < 100 * MS, "{longest:?}");
    assert!(
        all < MS * u32::try_from(turns.len()).expect("too many turns"),
        "{all:?}"
    );
}
