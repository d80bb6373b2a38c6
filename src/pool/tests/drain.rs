use std::time::Duration;

use super::{Driver, MS, SECOND};
use crate::pool::{Action, Event, Notice, WorkerEvent};

fn draining() -> Driver {
    let mut driver = Driver::serving(|config| config.drain_delay = 10 * SECOND);
    driver.tell(Event::Drain);
    driver
}

fn stops(driver: &mut Driver) -> bool {
    driver.taken().contains(&Action::Stop)
}

#[test]
fn everything_is_served_for_the_delay_and_then_the_stop_begins() {
    let mut driver = draining();
    let delay = 10 * SECOND;
    assert_eq!(driver.notices(), [Notice::Draining { delay }]);
    assert!(driver.pool.is_draining() && !driver.pool.is_stopping());
    driver.settle();
    assert_eq!(driver.pool.deadline(), Some(driver.now + delay));
    driver.now += delay - MS;
    driver.settle();
    assert_eq!(driver.taken(), []);
    driver.now += MS;
    driver.tell(Event::Tick);
    assert!(stops(&mut driver));
    driver.tell(Event::Stop);
    assert!(!driver.pool.is_draining() && driver.pool.is_stopping());
    assert_eq!(driver.retired().len(), 4);
}

#[test]
fn workers_are_replaced_and_reloaded_meanwhile() {
    let mut driver = draining();
    driver.exits(0, 0);
    assert_eq!(driver.settle(), [0]);
    driver.report(0, WorkerEvent::Ready);
    driver.tell(Event::Reload);
    assert!(!driver.settle().is_empty());
    assert!(driver.notices().contains(&Notice::ReloadBegun));
}

#[test]
fn a_second_request_ends_the_wait_and_one_within_a_second_is_the_same() {
    let mut driver = draining();
    driver.now += SECOND - MS;
    driver.tell(Event::Drain);
    assert!(!stops(&mut driver));
    driver.now += MS;
    driver.tell(Event::Drain);
    assert!(stops(&mut driver));
}

#[test]
fn without_a_delay_the_stop_begins_immediately() {
    let mut driver = Driver::serving(|config| config.drain_delay = Duration::ZERO);
    driver.tell(Event::Drain);
    assert_eq!(driver.taken(), [Action::Stop]);
}

#[test]
fn a_request_to_stop_does_not_wait() {
    let mut driver = draining();
    driver.taken();
    driver.tell(Event::Stop);
    assert_eq!(driver.retired().len(), 4);
    driver.now += 10 * SECOND;
    driver.tell(Event::Tick);
    assert!(!stops(&mut driver));
}
