//! Reloads.

use super::{Driver, SECOND};
use crate::pool::{Action, Activity, Cause, Event, Exit, Notice, Overdue, WorkerEvent};

#[test]
fn a_replacement_is_ready_before_an_old_worker_retires() {
    let mut driver = Driver::serving(|_| {});
    driver.tell(Event::Reload);
    assert_eq!(driver.settle(), [4]);
    let before = driver.taken();
    assert!(!before.iter().any(|a| matches!(a, Action::Retire { .. })));
    driver.report(4, WorkerEvent::Ready);
    assert_eq!(driver.settle(), [5]);
    let retire = Action::Retire {
        slot: 3,
        last: false,
    };
    let actions = driver.taken();
    let position = actions.iter().position(|a| *a == retire).unwrap();
    // The flag first, then the wake-up.
    assert_eq!(actions[position + 1], Action::Wake { slot: 3 });
}

#[test]
fn a_death_before_ready_ends_only_the_reload() {
    let mut driver = Driver::serving(|_| {});
    driver.tell(Event::Reload);
    driver.settle();
    driver.taken();
    driver.exits(4, 255);
    let actions = driver.taken();
    let failed = Notice::ReloadFailed {
        slot: 4,
        cause: Cause::NeverReady(Exit::Code(255)),
    };
    assert!(actions.contains(&Action::Notice(failed)));
    assert!(!actions.iter().any(|a| matches!(a, Action::Retire { .. })));
    assert_eq!(driver.pool.counts().ready, 4);
    assert!(!driver.pool.is_reloading());
    assert_eq!(driver.settle(), []);
    driver.tell(Event::Reload);
    assert_eq!(driver.settle(), [4]);
}

#[test]
fn hups_during_a_reload_make_one_more() {
    let mut driver = Driver::serving(|config| config.processes = 1);
    for _ in 0..5 {
        driver.tell(Event::Reload);
    }
    let mut begun = 0;
    let mut done = 0;
    for _ in 0..20 {
        for slot in driver.settle() {
            driver.report(slot, WorkerEvent::Ready);
        }
        for action in driver.taken() {
            match action {
                Action::Retire { slot, .. } => driver.exits(slot, 0),
                Action::Notice(Notice::ReloadBegun) => begun += 1,
                Action::Notice(Notice::ReloadDone) => done += 1,
                _ => {}
            }
        }
    }
    assert_eq!((begun, done), (2, 2));
}

impl Driver {
    /// A reload up to where all new workers are ready; none of the old ones has exited.
    fn roll(&mut self) {
        self.tell(Event::Reload);
        loop {
            let forked = self.settle();
            if forked.is_empty() {
                return;
            }
            for slot in forked {
                self.report(slot, WorkerEvent::Ready);
            }
        }
    }

    fn is_done(&mut self) -> bool {
        self.settle();
        self.notices().contains(&Notice::ReloadDone)
    }
}

#[test]
fn a_reload_is_done_when_the_last_old_worker_has_exited() {
    let mut driver = Driver::serving(|config| config.processes = 2);
    driver.roll();
    let reported = driver.notices();
    assert!(reported.contains(&Notice::ReloadRolled { old: 2 }));
    assert!(!reported.contains(&Notice::ReloadDone));
    assert!(driver.pool.is_reloading());
    driver.exits(0, 0);
    assert!(!driver.is_done());
    // A killed worker still has to be reaped.
    for _ in 0..60 {
        driver.sees(1, Activity::Busy, 1);
        driver.now += SECOND;
        driver.settle();
    }
    let overdue = Overdue::Exit;
    let reported = driver.notices();
    assert!(reported.contains(&Notice::Killing { slot: 1, overdue }));
    assert!(!reported.contains(&Notice::ReloadDone));
    driver.report(1, WorkerEvent::Exited(Exit::Signal(9)));
    assert!(driver.is_done());
    assert!(!driver.pool.is_reloading());
}

#[test]
fn a_reload_does_not_wait_for_the_old_workers_of_the_one_before() {
    let mut driver = Driver::serving(|config| {
        config.processes = 1;
        config.reload_surge = 2;
    });
    driver.roll();
    driver.taken();
    driver.roll();
    let reported = driver.notices();
    assert!(reported.contains(&Notice::ReloadBegun));
    assert!(reported.contains(&Notice::ReloadRolled { old: 2 }));
    driver.exits(0, 0);
    assert!(!driver.is_done());
    driver.exits(1, 0);
    driver.settle();
    let done = driver.notices();
    assert_eq!(
        done,
        [
            Notice::Exited {
                slot: 1,
                exit: Exit::Code(0)
            },
            Notice::ReloadDone,
            Notice::ReloadDone
        ]
    );
    assert_eq!(driver.pool.counts().reloads, 2);
}

#[test]
fn a_failed_reload_does_not_stop_the_one_before_from_being_done() {
    let mut driver = Driver::serving(|config| config.processes = 1);
    driver.roll();
    driver.tell(Event::Reload);
    let slot = driver.settle()[0];
    driver.exits(slot, 1);
    driver.settle();
    assert!(driver.pool.is_reloading());
    assert_eq!(driver.pool.counts().failed_reloads, 1);
    driver.exits(0, 0);
    assert!(driver.is_done());
    assert_eq!(driver.pool.counts().reloads, 1);
}

#[test]
fn a_reload_that_cannot_fork_fails_after_a_while() {
    let mut driver = Driver::serving(|_| {});
    driver.tell(Event::Reload);
    let begin = driver.now;
    while driver.pool.is_reloading() {
        driver.taken();
        driver.tell(Event::Tick);
        if driver.taken().contains(&Action::Fork { slot: 4 }) {
            driver.report(4, WorkerEvent::ForkFailed { errno: 11 });
        }
        let before = driver.pool.deadline().unwrap();
        if driver.pool.is_reloading() {
            driver.now = before.max(driver.now);
        }
    }
    assert_eq!(driver.now, begin + 60 * SECOND);
    let cause = Cause::CannotFork { errno: 11 };
    let failed = Notice::ReloadFailed { slot: 4, cause };
    assert!(driver.notices().contains(&failed));
    assert_eq!(driver.pool.counts().failed_reloads, 1);
    assert_eq!(driver.pool.counts().ready, 4);
}
