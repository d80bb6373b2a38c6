//! Workers that execute another program.

use super::{Driver, MS, SECOND};
use crate::pool::{Action, Activity, Cause, Config, Event, Exit, Notice, Overdue, WorkerEvent};

/// One worker that has become a program.
fn program(change: impl FnOnce(&mut Config)) -> Driver {
    let mut driver = Driver::new(|config| {
        config.processes = 1;
        config.ready_delay = Some(SECOND);
        change(config);
    });
    driver.settle();
    driver.report(0, WorkerEvent::Executed);
    driver.settle();
    driver.taken();
    driver
}

#[test]
fn a_program_that_reports_nothing_is_ready_after_ready_delay() {
    let mut driver = program(|_| {});
    assert_eq!(driver.pool.deadline(), Some(driver.now + SECOND));
    driver.now += 999 * MS;
    driver.settle();
    assert_eq!(driver.notices(), []);
    driver.now += MS;
    driver.settle();
    assert_eq!(driver.notices(), [Notice::Ready { slot: 0 }]);
    let counts = driver.pool.counts();
    assert_eq!((counts.ready, counts.idle, counts.busy), (1, 0, 0));
    // It does not know what a wake-up is.
    driver.tell(Event::Stop);
    let actions = driver.taken();
    assert!(actions.contains(&Action::Terminate { slot: 0 }));
    assert!(!actions.contains(&Action::Wake { slot: 0 }));
}

#[test]
fn a_program_that_has_announced_itself_is_ready_only_with_its_first_accept() {
    for announced_first in [false, true] {
        let mut driver = Driver::new(|config| {
            config.processes = 1;
            config.ready_delay = Some(SECOND);
        });
        driver.settle();
        let mut reports = [WorkerEvent::Executed, WorkerEvent::Announced];
        if announced_first {
            reports.reverse();
        }
        for report in reports {
            driver.report(0, report);
        }
        driver.taken();
        driver.now += 30 * SECOND;
        driver.settle();
        assert_eq!(driver.notices(), []);
        driver.report(0, WorkerEvent::Ready);
        assert_eq!(driver.notices(), [Notice::Ready { slot: 0 }]);
        driver.tell(Event::Stop);
        assert!(driver.taken().contains(&Action::Wake { slot: 0 }));
    }
}

#[test]
fn a_program_that_begins_to_report_late_is_a_normal_worker_from_then_on() {
    let mut driver = program(|_| {});
    driver.now += SECOND;
    driver.settle();
    driver.sees(0, Activity::Idle, 0);
    assert_eq!(driver.pool.counts().idle, 1);
    driver.taken();
    driver.tell(Event::Stop);
    assert!(driver.taken().contains(&Action::Wake { slot: 0 }));
}

#[test]
fn a_program_that_ends_before_the_delay_was_never_ready() {
    let mut driver = program(|config| config.processes = 1);
    driver.now += SECOND;
    driver.settle();
    driver.tell(Event::Reload);
    driver.settle();
    driver.report(1, WorkerEvent::Executed);
    driver.settle();
    driver.taken();
    driver.exits(1, 3);
    let failed = Notice::ReloadFailed {
        slot: 1,
        cause: Cause::NeverReady(Exit::Code(3)),
    };
    assert!(driver.notices().contains(&failed));
}

#[test]
fn without_ready_delay_only_an_accept_makes_a_program_ready() {
    let mut driver = program(|config| config.ready_delay = None);
    // In steps: after a leap the manager would assume that it was stopped.
    for _ in 0..59 {
        driver.now += SECOND;
        driver.settle();
    }
    assert_eq!(driver.notices(), []);
    driver.now += SECOND;
    driver.settle();
    let killing = Notice::Killing {
        slot: 0,
        overdue: Overdue::Start,
    };
    assert!(driver.notices().contains(&killing));
}
