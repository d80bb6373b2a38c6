//! Starts, deaths and stops.

use std::time::Duration;

use super::sizing::on_demand;
use super::{Driver, MS, SECOND};
use crate::pool::{Action, Activity, Event, Exit, Notice, Overdue, Resize, WorkerEvent};

#[test]
fn the_first_workers_are_start_delay_apart() {
    let mut driver = Driver::new(|config| config.start_delay = 100 * MS);
    assert_eq!(driver.settle(), [0]);
    assert_eq!(driver.pool.deadline(), Some(100 * MS));
    driver.now += 100 * MS;
    assert_eq!(driver.settle(), [1]);
}

#[test]
fn an_idle_pool_needs_no_wakeup() {
    let mut driver = Driver::serving(|_| {});
    assert_eq!(driver.settle(), []);
    assert_eq!(driver.pool.deadline(), None);
}

#[test]
fn a_mature_worker_is_replaced_immediately() {
    let mut driver = Driver::serving(|_| {});
    driver.exits(2, 1);
    assert_eq!(driver.settle(), [2]);
}

#[test]
fn ten_forks_in_ten_seconds_then_one_a_second() {
    let mut driver = Driver::new(|config| config.processes = 1);
    let mut forks = Vec::new();
    while driver.now < 20 * SECOND {
        for slot in driver.settle() {
            forks.push(driver.now);
            driver.exits(slot, 1);
        }
        let due = driver.pool.deadline().unwrap();
        driver.now = due.max(driver.now);
    }
    let early = forks.iter().filter(|at| **at < 10 * SECOND).count();
    assert_eq!(early, 10);
    let late: Vec<_> = forks[10..].iter().map(Duration::as_secs).collect();
    assert_eq!(late, (10..20).collect::<Vec<_>>());
}

#[test]
fn the_healthy_rest_of_a_pool_does_not_feed_a_crash_loop() {
    let mut driver = Driver::new(|_| {});
    driver.settle();
    for slot in 0..3 {
        driver.report(slot, WorkerEvent::Ready);
    }
    driver.exits(3, 1);
    let mut forks = 0;
    while driver.now < 30 * SECOND {
        for slot in driver.settle() {
            forks += 1;
            driver.exits(slot, 1);
        }
        driver.now = driver.pool.deadline().unwrap().max(driver.now);
    }
    assert!(forks <= 10 + 20, "{forks}");
}

#[test]
fn a_failed_fork_is_tried_again_after_a_second() {
    let mut driver = Driver::new(|config| config.processes = 1);
    driver.tell(Event::Tick);
    driver.report(0, WorkerEvent::ForkFailed { errno: 11 });
    assert_eq!(driver.settle(), []);
    driver.now = driver.pool.deadline().unwrap();
    assert_eq!(driver.now, SECOND);
    assert_eq!(driver.settle(), [0]);
}

#[test]
fn a_stop_waits_for_a_starting_worker_until_its_start_timeout() {
    let mut driver = Driver::new(|config| config.start_timeout = Some(3 * SECOND));
    driver.settle();
    driver.report(0, WorkerEvent::Ready);
    driver.now += SECOND;
    driver.tell(Event::Stop);
    // Asked to exit, it becomes ready nevertheless, and answers what waits in the queue.
    driver.sees(1, Activity::Idle, 0);
    driver.taken();
    while driver.now < 3 * SECOND {
        driver.now = driver.pool.deadline().unwrap().min(3 * SECOND);
        driver.tell(Event::Tick);
    }
    let killed = |action| match action {
        Action::Notice(Notice::Killing { slot, overdue }) => Some((slot, overdue)),
        _ => None,
    };
    let killed: Vec<_> = driver.taken().into_iter().filter_map(killed).collect();
    assert_eq!(killed, [(2, Overdue::Start), (3, Overdue::Start)]);
}

#[test]
fn wake_ups_repeat_only_while_the_worker_waits() {
    let mut driver = Driver::serving(|config| config.processes = 1);
    driver.tell(Event::Stop);
    driver.taken();
    let mut wake_ups = Vec::new();
    let origin = driver.now;
    while driver.now < origin + 3 * SECOND {
        driver.now = driver.pool.deadline().unwrap();
        driver.tell(Event::Tick);
        if driver.taken().contains(&Action::Wake { slot: 0 }) {
            wake_ups.push((driver.now - origin).as_millis());
        }
    }
    assert_eq!(wake_ups, [10, 30, 70, 150, 310, 630, 1_270, 2_270, 3_270]);
    driver.sees(0, Activity::Busy, 1);
    driver.now += SECOND;
    driver.tell(Event::Tick);
    assert_eq!(driver.taken(), []);
}

#[test]
fn a_worker_that_never_used_accept_is_terminated() {
    let mut driver = Driver::new(|config| config.processes = 1);
    driver.settle();
    driver.taken();
    driver.tell(Event::Stop);
    let actions = driver.taken();
    assert!(actions.contains(&Action::Terminate { slot: 0 }));
    assert!(!actions.contains(&Action::Wake { slot: 0 }));
    driver.exits(0, 0);
    assert_eq!(driver.taken().last(), Some(&Action::Stopped));
}

#[test]
fn deadlines_kill_and_time_without_the_manager_does_not() {
    let mut driver = Driver::new(|config| {
        config.processes = 1;
        config.start_timeout = Some(5 * SECOND);
    });
    driver.settle();
    driver.now += SECOND;
    driver.tell(Event::Tick);
    driver.taken();
    // The manager was stopped: the worker has the rest of its time again.
    driver.now += 100 * SECOND;
    driver.tell(Event::Tick);
    assert_eq!(driver.taken(), []);
    for _ in 0..4 {
        driver.now += SECOND;
        driver.tell(Event::Tick);
    }
    let killing = Notice::Killing {
        slot: 0,
        overdue: Overdue::Start,
    };
    assert_eq!(
        driver.taken()[..2],
        [
            Action::Notice(killing),
            Action::Kill {
                slot: 0,
                rescue: false
            }
        ]
    );
}

#[test]
fn the_last_worker_cannot_be_removed() {
    let mut driver = Driver::serving(|config| config.processes = 1);
    driver.tell(Event::Resize(Resize::Down));
    assert_eq!(driver.taken(), []);
    assert_eq!(driver.pool.counts().wanted, 1);
}

#[test]
fn a_stop_before_any_worker_ends_immediately() {
    let mut driver = Driver::new(|_| {});
    driver.tell(Event::Stop);
    assert_eq!(driver.taken().last(), Some(&Action::Stopped));
}

#[test]
fn a_stop_starts_one_worker_for_what_the_last_one_left_in_the_queue() {
    let mut driver = Driver::serving(|config| config.processes = 1);
    driver.tell(Event::Stop);
    driver.taken();
    driver.tell(Event::Unanswered);
    driver.exits(0, 0);
    assert_eq!(driver.settle(), [0]);
    // Whatever happens to it, there is no second one.
    driver.tell(Event::Unanswered);
    driver.exits(0, 1);
    assert_eq!(driver.settle(), []);
    assert_eq!(driver.taken().last(), Some(&Action::Stopped));
}

#[test]
fn an_empty_pool_is_reported_as_an_emergency_once() {
    let mut driver = Driver::serving(|config| config.processes = 1);
    driver.exits(0, 1);
    let emptied = |driver: &mut Driver| {
        let notices = driver.notices();
        notices.iter().filter(|n| **n == Notice::Emptied).count()
    };
    for slot in driver.settle() {
        driver.exits(slot, 1);
    }
    driver.settle();
    assert_eq!(emptied(&mut driver), 1);
    driver.report(0, WorkerEvent::Exited(Exit::Signal(11)));
    driver.now = driver.pool.deadline().unwrap();
    driver.settle();
    assert_eq!(emptied(&mut driver), 0);
    driver.report(0, WorkerEvent::Ready);
    driver.tell(Event::Tick);
    assert!(driver.notices().contains(&Notice::Recovered));
}

#[test]
fn a_stop_without_workers_forks_one_for_waiting_connections() {
    for waits in [false, true] {
        let mut driver = Driver::new(on_demand);
        driver.tell(Event::Tick);
        driver.actions.clear();
        if waits {
            driver.tell(Event::Connection);
        }
        driver.tell(Event::Stop);
        driver.tell(Event::Tick);
        let stopping = Action::Notice(Notice::Stopping);
        if !waits {
            assert_eq!(driver.taken(), [stopping, Action::Stopped]);
            continue;
        }
        assert_eq!(driver.taken(), [stopping, Action::Fork { slot: 0 }]);
        driver.report(0, WorkerEvent::Forked);
        driver.tell(Event::Tick);
        let (slot, last) = (0, true);
        let retire = Action::Retire { slot, last };
        let started = Action::Notice(Notice::Started { slot });
        assert_eq!(
            driver.taken(),
            [started, retire, Action::Terminate { slot }]
        );
        let exit = Exit::Code(0);
        driver.report(0, WorkerEvent::Exited(exit));
        let exited = Action::Notice(Notice::Exited { slot: 0, exit });
        assert_eq!(driver.taken(), [exited, Action::Stopped]);
    }
}
