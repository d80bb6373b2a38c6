//! Workers that reach a limit.

use super::{Driver, MS, SECOND};
use crate::pool::{Action, Activity, Event, Notice, Recycle, SlotState, WorkerEvent};

#[test]
fn a_replacement_is_ready_before_a_worker_that_reached_a_limit_retires() {
    let mut driver = Driver::serving(|config| config.max_requests = 10);
    for slot in 0..4 {
        driver.sees(slot, Activity::Busy, 11);
    }
    // The surge is one.
    assert_eq!(driver.settle(), [4]);
    assert_eq!(driver.retired(), []);
    driver.report(4, WorkerEvent::Ready);
    assert_eq!(driver.settle(), []);
    assert_eq!(driver.retired(), [0]);
    // The next one only after the exit of this one.
    driver.exits(0, 0);
    assert_eq!(driver.settle(), [0]);
    driver.report(0, WorkerEvent::Ready);
    driver.settle();
    assert_eq!(driver.retired(), [1]);
    assert_eq!(driver.pool.counts().recycled, 2);
}

#[test]
fn a_worker_that_reached_a_limit_stays_when_its_replacement_dies() {
    let mut driver = Driver::serving(|config| config.max_requests = 10);
    driver.sees(2, Activity::Idle, 11);
    let mut forks = 0;
    let end = driver.now + 60 * SECOND;
    while driver.now < end {
        for slot in driver.settle() {
            forks += 1;
            driver.exits(slot, 1);
        }
        driver.now = driver.pool.deadline().unwrap().max(driver.now);
    }
    assert_eq!(driver.retired(), []);
    assert_eq!(driver.pool.state(2), SlotState::Ready);
    assert!(forks <= 10 + 60, "{forks}");
}

#[test]
fn workers_that_falsely_report_many_requests_cause_no_fork_storm() {
    let mut driver = Driver::serving(|config| {
        config.processes = 1;
        config.max_requests = 1_000;
    });
    let begin = driver.now;
    let mut forks = 0;
    while driver.now < begin + 60 * SECOND {
        for slot in 0..30 {
            driver.sees(slot, Activity::Idle, u64::MAX);
        }
        for slot in driver.settle() {
            forks += 1;
            driver.report(slot, WorkerEvent::Ready);
        }
        driver.settle();
        for slot in driver.retired() {
            driver.exits(slot, 0);
        }
        driver.now += 10 * MS;
    }
    assert!(forks <= 12 + 60, "{forks}");
}

#[test]
fn each_worker_has_its_own_request_limit() {
    let mut driver = Driver::serving(|config| {
        config.processes = 8;
        config.max_requests = 1_000;
        config.max_requests_jitter = 100;
    });
    let mut limits: Vec<_> = (0..8).map(|s| driver.pool.request_limit(s)).collect();
    assert!(limits.iter().all(|limit| (1_000..=1_100).contains(limit)));
    limits.sort_unstable();
    limits.dedup();
    assert!(limits.len() > 4, "{limits:?}");
    driver.sees(0, Activity::Idle, 1_000);
    assert_eq!(driver.settle(), []);
}

#[test]
fn memory_is_measured_every_second_with_one_wakeup_a_second() {
    let mut driver = Driver::serving(|config| {
        config.processes = 40;
        config.slots = 100;
        config.max_memory = 1_000;
    });
    let begin = driver.now;
    let mut wakeups = std::collections::BTreeSet::new();
    let mut measured = [0; 40];
    while driver.now < begin + 100 * SECOND {
        driver.now = driver.pool.deadline().unwrap().max(driver.now);
        wakeups.insert(driver.now);
        driver.tell(Event::Tick);
        for action in driver.taken() {
            match action {
                Action::Measure { slot } => {
                    measured[slot] += 1;
                    driver.report(slot, WorkerEvent::Memory { bytes: 1_000 });
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(measured.iter().all(|times| (99..=101).contains(times)));
    assert!((99..=101).contains(&wakeups.len()), "{}", wakeups.len());
    driver.report(7, WorkerEvent::Memory { bytes: 1_001 });
    for slot in driver.settle() {
        driver.report(slot, WorkerEvent::Ready);
    }
    driver.taken();
    driver.tell(Event::Tick);
    let why = Recycle::Memory;
    let recycling = Notice::Recycling { slot: 7, why };
    assert!(driver.notices().contains(&recycling));
}

#[test]
fn workers_whose_lifetimes_end_together_are_replaced_one_by_one() {
    let mut driver = Driver::serving(|config| config.max_lifetime = Some(60 * SECOND));
    assert_eq!(driver.pool.poll_at(), None);
    assert_eq!(driver.pool.deadline(), Some(60 * SECOND));
    driver.now = 60 * SECOND;
    assert_eq!(driver.settle(), [4]);
    driver.report(4, WorkerEvent::Ready);
    assert_eq!(driver.settle(), []);
    assert_eq!(driver.retired(), [0]);
}

#[test]
fn a_reload_recycles_no_additional_workers() {
    let mut driver = Driver::serving(|config| config.max_requests = 10);
    driver.tell(Event::Reload);
    driver.sees(0, Activity::Idle, 11);
    assert_eq!(driver.settle(), [4]);
    driver.taken();
    for slot in 4..8 {
        driver.report(slot, WorkerEvent::Ready);
        driver.settle();
    }
    assert!(driver.notices().contains(&Notice::ReloadRolled { old: 4 }));
    for slot in 0..4 {
        driver.exits(slot, 0);
    }
    driver.settle();
    assert!(driver.notices().contains(&Notice::ReloadDone));
    assert_eq!(driver.pool.counts().recycled, 0);
    assert_eq!(driver.pool.counts().reloads, 1);
}

#[test]
fn all_other_workers_are_replaced_after_a_refork() {
    let mut driver = Driver::serving(|config| config.reload_surge = 4);
    assert_eq!(driver.pool.warm_worker(10), None);
    for (slot, requests) in [(0, 9), (1, 12), (2, 11)] {
        driver.sees(slot, Activity::Idle, requests);
    }
    assert_eq!(driver.pool.warm_worker(10), Some(1));
    // It could not fork before its request is answered.
    driver.sees(1, Activity::Busy, 12);
    assert_eq!(driver.pool.warm_worker(10), Some(2));
    driver.sees(2, Activity::Busy, 11);
    assert_eq!(driver.pool.warm_worker(10), Some(1));
    driver.tell(Event::Reforked);
    assert_eq!(driver.pool.warm_worker(10), None, "they are due");
    let mut forked = Vec::new();
    for _ in 0..4 {
        forked.extend(driver.settle());
    }
    assert_eq!(forked.len(), 4);
    for slot in forked {
        driver.report(slot, WorkerEvent::Ready);
    }
    driver.settle();
    assert_eq!(driver.retired(), [0, 1, 2, 3]);
}

#[test]
fn a_worker_that_was_starting_at_a_refork_is_replaced_when_it_is_ready() {
    let mut driver = Driver::serving(|_| {});
    driver.exits(3, 1);
    let slot = driver.settle()[0];
    driver.now += SECOND;
    driver.tell(Event::Reforked);
    driver.report(slot, WorkerEvent::Ready);
    driver.tell(Event::ReforkEnded);
    driver.settle();
    assert_eq!(driver.retired(), [], "the warm template has ended");
    driver.now += SECOND;
    driver.tell(Event::Reforked);
    driver.settle();
    assert_eq!(driver.pool.warm_worker(0), None, "all are due");
}
