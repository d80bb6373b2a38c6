//! Workers that serve and then exit on their own with status 0.

use super::{Driver, MS, SECOND};
use crate::pool::{Config, Event, Exit, Notice, Sizing, WorkerEvent};

impl Driver {
    /// The worker has served, and exits.
    fn departs(&mut self, slot: usize) {
        self.report(slot, WorkerEvent::Served);
        self.exits(slot, 0);
    }

    /// A pool whose workers have just become ready.
    fn young(change: impl FnOnce(&mut Config)) -> Self {
        let mut driver = Self::new(change);
        for slot in driver.settle() {
            driver.report(slot, WorkerEvent::Ready);
        }
        driver.settle();
        driver.taken();
        driver
    }
}

#[test]
fn a_young_worker_that_has_served_and_exits_with_0_is_replaced_immediately_however_often() {
    let mut driver = Driver::young(|config| config.processes = 1);
    for _ in 0..600 {
        driver.now += 100 * MS;
        driver.departs(0);
        assert_eq!(driver.settle(), [0]);
        driver.now += 20 * MS;
        driver.report(0, WorkerEvent::Ready);
        driver.settle();
    }
    let reported = |notice: &Notice| {
        matches!(
            notice,
            Notice::BackingOff { .. }
                | Notice::DeparturesLimited { .. }
                | Notice::Emptied
                | Notice::Recovered
        )
    };
    let reported: Vec<_> = driver.notices().into_iter().filter(reported).collect();
    assert_eq!(reported, []);
}

#[test]
fn a_worker_that_has_not_served_or_fails_counts_as_dying_young() {
    for (served, exit) in [
        (false, Exit::Code(0)),
        (true, Exit::Code(1)),
        (true, Exit::Signal(11)),
        (true, Exit::Unknown),
    ] {
        let mut driver = Driver::young(|config| config.processes = 1);
        let mut forks = 1;
        while driver.now < 20 * SECOND {
            if served {
                driver.report(0, WorkerEvent::Served);
            }
            driver.report(0, WorkerEvent::Exited(exit));
            forks += driver.settle().len();
            driver.report(0, WorkerEvent::Ready);
            driver.now = driver
                .pool
                .deadline()
                .map_or(driver.now + MS, |at| at.max(driver.now + MS));
        }
        assert!(forks <= 20, "{forks} forks, {served}, {exit:?}");
    }
}

#[test]
fn workers_that_falsely_report_to_have_served_cause_at_most_a_hundred_forks_a_second() {
    let on_demand = Sizing::OnDemand { idle_timeout: None };
    for sizing in [Sizing::Static, on_demand] {
        let mut driver = Driver::young(|config| {
            config.processes = 8;
            config.sizing = sizing;
        });
        let mut forks = Vec::new();
        while driver.now < 10 * SECOND {
            driver.tell(Event::Connection);
            for slot in driver.settle() {
                forks.push(driver.now);
                driver.report(slot, WorkerEvent::Ready);
                driver.departs(slot);
            }
            for slot in 0..8 {
                driver.departs(slot);
            }
            driver.now += MS;
        }
        let limit = if sizing == Sizing::Static { 0 } else { 8 };
        assert!(forks.len() <= 100 + 1_000 + limit, "{}", forks.len());
        assert!(forks.len() > 1_000, "{}", forks.len());
        let late = forks.split_off(150);
        assert!(late.windows(2).all(|pair| pair[1] - pair[0] >= 9 * MS));
        let limited = Notice::DeparturesLimited { limit: 100 };
        let reported = driver.notices();
        let reported = reported.iter().filter(|notice| **notice == limited);
        assert_eq!(reported.count(), 1);
    }
}

#[test]
fn a_reload_is_not_ended_by_a_new_worker_that_serves_and_exits_with_0() {
    let mut driver = Driver::serving(|_| {});
    driver.tell(Event::Reload);
    for slot in driver.settle() {
        driver.report(slot, WorkerEvent::Ready);
        driver.departs(slot);
    }
    assert!(driver.pool.is_reloading());
    assert_eq!(driver.settle(), [4]);
}

#[test]
fn the_exit_of_all_workers_is_an_emergency_only_if_no_replacement_is_ready_within_a_second() {
    let mut driver = Driver::young(|config| config.processes = 2);
    driver.departs(0);
    driver.departs(1);
    driver.settle();
    assert!(!driver.notices().contains(&Notice::Emptied));
    driver.now += SECOND;
    assert_eq!(driver.pool.deadline(), Some(driver.now));
    driver.settle();
    assert!(driver.notices().contains(&Notice::Emptied));
    driver.report(0, WorkerEvent::Ready);
    driver.settle();
    assert!(driver.notices().contains(&Notice::Recovered));

    // With replacements that fail it is one immediately.
    driver.departs(0);
    driver.exits(1, 1);
    driver.settle();
    assert!(driver.notices().contains(&Notice::Emptied));
}
