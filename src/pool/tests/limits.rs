//! Deadlines of requests.

use std::time::Duration;

use super::{Driver, MS, SECOND};
use crate::pool::{
    Action, Activity, Config, Event, Exit, Notice, Observation, Offers, Overdue, SlotState,
    WorkerEvent,
};

fn timed(config: &mut Config) {
    config.processes = 2;
    config.request_timeout = Some(10 * SECOND);
    config.slow_request = Some(3 * SECOND);
}

impl Driver {
    /// Continues to the next poll, with an unchanged report of both workers.
    fn next_poll(&mut self, said: Observation) {
        let at = self.pool.poll_at().unwrap_or(Duration::MAX);
        assert!(at <= self.now + SECOND, "looks once a second at least");
        assert_eq!(self.pool.deadline(), Some(at));
        self.now = self.now.max(at);
        self.report(0, WorkerEvent::Observed(said));
        self.tell(Event::Tick);
    }

    fn busy_since(&self, since: Duration) -> Observation {
        Observation {
            activity: Activity::Busy,
            request: 1,
            requests: 0,
            since,
            offers: Offers::None,
        }
    }
}

#[test]
fn a_request_is_reported_as_slow_then_notified_then_killed_on_time() {
    let mut driver = Driver::serving(timed);
    let began = driver.now;
    let said = driver.busy_since(began);
    driver.report(0, WorkerEvent::Observed(said));
    driver.tell(Event::Tick);
    let mut reported = Vec::new();
    while driver.now < began + 16 * SECOND {
        driver.next_poll(said);
        let now = driver.now - began;
        reported.extend(driver.taken().into_iter().map(|action| (now, action)));
    }
    let age = 3 * SECOND;
    let slow = Action::Notice(Notice::Slow { slot: 0, age });
    let age = 10 * SECOND;
    let late = Action::Notice(Notice::Overdue { slot: 0, age });
    let killing = Action::Notice(Notice::Killing {
        slot: 0,
        overdue: Overdue::Request,
    });
    let kill = Action::Kill {
        slot: 0,
        rescue: true,
    };
    assert_eq!(
        reported,
        [
            (3 * SECOND, slow),
            (10 * SECOND, late),
            (10 * SECOND, Action::GiveNotice { slot: 0 }),
            (15 * SECOND, killing),
            (15 * SECOND, kill),
            // It was mature: its replacement is not delayed.
            (15 * SECOND, Action::Fork { slot: 2 }),
        ]
    );
}

#[test]
fn workers_killed_for_their_requests_are_replaced_immediately_however_young_and_many() {
    let count = 20;
    let mut driver = Driver::new(|config| {
        config.processes = count;
        config.max_processes = 2 * count;
        config.slots = 3 * count;
        config.request_timeout = Some(SECOND);
        config.request_timeout_grace = 500 * MS;
    });
    let mut alive: Vec<usize> = driver.settle();
    for round in 0..5 {
        assert_eq!(alive.len(), count, "round {round}");
        alive
            .iter()
            .for_each(|slot| driver.report(*slot, WorkerEvent::Ready));
        let said = driver.busy_since(driver.now);
        let end = driver.now + 1500 * MS;
        driver.taken();
        driver.tell(Event::Tick);
        while driver.now < end {
            let Some(at) = driver.pool.poll_at() else {
                break;
            };
            driver.now = driver.now.max(at);
            for slot in &alive {
                driver.report(*slot, WorkerEvent::Observed(said));
            }
            driver.tell(Event::Tick);
        }
        let actions = driver.taken();
        let killed = |action: &&Action| matches!(action, Action::Kill { .. });
        assert_eq!(actions.iter().filter(killed).count(), count);
        for slot in &alive {
            driver.report(*slot, WorkerEvent::Exited(Exit::Signal(9)));
        }
        // The first one was requested with the kill.
        let forks = actions.iter().filter_map(|action| match action {
            Action::Fork { slot } => Some(*slot),
            _ => None,
        });
        alive = forks.collect();
        for slot in alive.clone() {
            driver.report(slot, WorkerEvent::Forked);
        }
        alive.extend(driver.settle());
        let held_up = |action: &Action| matches!(action, Action::Notice(Notice::BackingOff { .. }));
        assert!(!actions.iter().any(held_up));
    }
}

#[test]
fn a_request_that_ends_after_the_notice_kills_no_worker() {
    let mut driver = Driver::serving(timed);
    let said = driver.busy_since(driver.now);
    driver.report(0, WorkerEvent::Observed(said));
    driver.tell(Event::Tick);
    let end = driver.now + 11 * SECOND;
    while driver.now < end {
        driver.next_poll(said);
    }
    assert!(driver.taken().contains(&Action::GiveNotice { slot: 0 }));
    for request in 2..20 {
        driver.next_poll(Observation { request, ..said });
    }
    assert_eq!(driver.taken(), []);
}

#[test]
fn a_worker_that_backdates_its_request_gains_nothing() {
    let mut driver = Driver::serving(timed);
    driver.tell(Event::Tick);
    let idle = Observation {
        activity: Activity::Idle,
        ..driver.busy_since(Duration::ZERO)
    };
    driver.next_poll(idle);
    let seen = driver.now;
    driver.next_poll(driver.busy_since(Duration::ZERO));
    while !driver.taken().contains(&Action::GiveNotice { slot: 0 }) {
        driver.next_poll(driver.busy_since(Duration::ZERO));
    }
    assert_eq!(driver.now, seen + 10 * SECOND);
}

#[test]
fn an_invalid_page_kills_no_worker() {
    let mut driver = Driver::serving(timed);
    let said = driver.busy_since(driver.now);
    driver.report(0, WorkerEvent::Observed(said));
    let end = driver.now + 100 * SECOND;
    let mut looks = 0;
    while driver.now < end {
        driver.tell(Event::Tick);
        driver.now = driver.pool.poll_at().unwrap();
        looks += 1;
    }
    assert_eq!(driver.taken(), []);
    assert!(looks < 110, "{looks}");
}

#[test]
fn time_without_the_manager_does_not_count_against_a_request() {
    let mut driver = Driver::serving(timed);
    let said = driver.busy_since(driver.now);
    driver.report(0, WorkerEvent::Observed(said));
    driver.tell(Event::Tick);
    driver.now += 100 * SECOND;
    let back = driver.now;
    driver.report(0, WorkerEvent::Observed(said));
    driver.tell(Event::Tick);
    while !driver.taken().contains(&Action::GiveNotice { slot: 0 }) {
        driver.next_poll(said);
    }
    assert_eq!(driver.now, back + 10 * SECOND);
}

#[test]
fn request_deadlines_apply_to_a_retiring_worker() {
    let mut driver = Driver::serving(timed);
    let began = driver.now;
    let said = driver.busy_since(began);
    driver.report(0, WorkerEvent::Observed(said));
    driver.tell(Event::Stop);
    driver.tell(Event::Tick);
    driver.exits(1, 0);
    while driver.now < began + 15 * SECOND {
        assert_eq!(driver.pool.state(0), SlotState::Retiring);
        let at = driver.pool.deadline().unwrap();
        driver.now = driver.now.max(at);
        driver.report(0, WorkerEvent::Observed(said));
        driver.tell(Event::Tick);
    }
    assert_eq!(driver.pool.state(0), SlotState::Killed);
}

#[test]
fn a_kill_at_die_timeout_rescues_the_client() {
    let mut driver = Driver::serving(|config| config.die_timeout = Some(SECOND));
    driver.sees(0, Activity::Busy, 1);
    driver.tell(Event::Stop);
    for _ in 0..3 {
        driver.now += 500 * MS;
        driver.tell(Event::Tick);
    }
    let actions = driver.taken();
    for slot in 0..4 {
        let rescue = slot == 0;
        assert!(actions.contains(&Action::Kill { slot, rescue }), "{slot}");
    }
}

#[test]
fn requests_whose_parameters_arrive_slowly_do_not_add_up_to_one_long_request() {
    let mut driver = Driver::serving(timed);
    let busy = driver.busy_since(driver.now);
    driver.report(0, WorkerEvent::Observed(busy));
    driver.tell(Event::Tick);
    let end = driver.now + 9 * SECOND;
    while driver.now < end {
        driver.next_poll(busy);
    }
    let age = 3 * SECOND;
    let slow = Action::Notice(Notice::Slow { slot: 0, age });
    assert_eq!(driver.taken(), [slow]);
    // A request that is being read has the number of the last one.
    let end = driver.now + 60 * SECOND;
    while driver.now < end {
        driver.next_poll(Observation {
            activity: Activity::Reading,
            since: driver.now + MS,
            ..busy
        });
    }
    assert_eq!(driver.taken(), []);
    let said = Observation {
        activity: Activity::Reading,
        since: driver.now,
        ..busy
    };
    let end = driver.now + 4 * SECOND;
    let mut reported = Vec::new();
    while driver.now < end {
        driver.next_poll(said);
        reported.extend(driver.taken());
    }
    assert_eq!(reported, [slow]);
}

/// Requests of 250 ms with this limit: how late each notice came.
fn lateness(limit: Duration) -> Vec<Duration> {
    let mut driver = Driver::serving(|config| {
        config.processes = 1;
        config.request_timeout = Some(limit);
    });
    let (began, apart) = (driver.now, Duration::from_micros(603_700));
    let mut late = Vec::new();
    for number in 1..=100 {
        let begins = began + apart * number;
        let ends = begins + 250 * MS;
        while driver.now < ends {
            let look = driver.pool.poll_at().unwrap_or(Duration::MAX);
            driver.now = driver.now.max(look);
            let mut said = driver.busy_since(begins);
            said.request = u64::from(number);
            if driver.now < begins || driver.now >= ends {
                said.activity = Activity::Idle;
            }
            driver.report(0, WorkerEvent::Observed(said));
            driver.tell(Event::Tick);
            if driver.taken().contains(&Action::GiveNotice { slot: 0 }) {
                late.push(driver.now - begins - limit);
            }
        }
    }
    late
}

#[test]
fn short_request_limits_are_as_exact_as_long_ones() {
    for limit in [10, 50, 200] {
        let late = lateness(limit * MS);
        assert_eq!(late.len(), 100, "{limit} ms: each request is noticed");
        let latest = late.iter().max().unwrap();
        assert!(*latest <= 20 * MS, "{limit} ms: {latest:?}");
    }
}
