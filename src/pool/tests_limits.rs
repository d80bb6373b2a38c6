//! The rules of request deadlines and of recycling, one by one.

use std::time::Duration;

use super::tests::{Driver, MS, SECOND};
use super::{
    Action, Activity, Cause, Config, Event, Exit, Notice, Observation, Offers, Overdue, Recycle,
    Report, SlotState,
};

fn timed(config: &mut Config) {
    config.processes = 2;
    config.request_timeout = Some(10 * SECOND);
    config.slow_request = Some(3 * SECOND);
}

impl Driver {
    /// Goes where the pool wants to look, with both workers saying what they said before.
    fn next_look(&mut self, said: Observation) {
        let at = self.pool.look_at().unwrap_or(Duration::MAX);
        assert!(at <= self.now + SECOND, "looks once a second at least");
        assert_eq!(self.pool.deadline(), Some(at));
        self.now = self.now.max(at);
        self.report(0, Report::Observed(said));
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
fn a_request_is_told_of_given_notice_and_killed_at_its_time() {
    let mut driver = Driver::serving(timed);
    let began = driver.now;
    let said = driver.busy_since(began);
    driver.report(0, Report::Observed(said));
    driver.tell(Event::Tick);
    let mut told = Vec::new();
    while driver.now < began + 16 * SECOND {
        driver.next_look(said);
        let now = driver.now - began;
        told.extend(driver.look().into_iter().map(|action| (now, action)));
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
        told,
        [
            (3 * SECOND, slow),
            (10 * SECOND, late),
            (10 * SECOND, Action::GiveNotice { slot: 0 }),
            (15 * SECOND, killing),
            (15 * SECOND, kill),
            // It had lived: its replacement waits for nothing.
            (15 * SECOND, Action::Fork { slot: 2 }),
        ]
    );
}

#[test]
fn workers_that_are_killed_for_their_requests_are_replaced_at_once_however_young_and_many() {
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
            .for_each(|slot| driver.report(*slot, Report::Ready));
        let said = driver.busy_since(driver.now);
        let end = driver.now + 1500 * MS;
        driver.look();
        driver.tell(Event::Tick);
        while driver.now < end
            && let Some(at) = driver.pool.look_at()
        {
            driver.now = driver.now.max(at);
            for slot in &alive {
                driver.report(*slot, Report::Observed(said));
            }
            driver.tell(Event::Tick);
        }
        let actions = driver.look();
        let killed = |action: &&Action| matches!(action, Action::Kill { .. });
        assert_eq!(actions.iter().filter(killed).count(), count);
        for slot in &alive {
            driver.report(*slot, Report::Exited(Exit::Signal(9)));
        }
        // The first was asked for with the kill.
        let forks = actions.iter().filter_map(|action| match action {
            Action::Fork { slot } => Some(*slot),
            _ => None,
        });
        alive = forks.collect();
        for slot in alive.clone() {
            driver.report(slot, Report::Forked);
        }
        alive.extend(driver.settle());
        let held_up = |action: &Action| matches!(action, Action::Notice(Notice::BackingOff { .. }));
        assert!(!actions.iter().any(held_up));
    }
}

#[test]
fn a_request_that_ends_after_the_notice_kills_nobody() {
    let mut driver = Driver::serving(timed);
    let said = driver.busy_since(driver.now);
    driver.report(0, Report::Observed(said));
    driver.tell(Event::Tick);
    let end = driver.now + 11 * SECOND;
    while driver.now < end {
        driver.next_look(said);
    }
    assert!(driver.look().contains(&Action::GiveNotice { slot: 0 }));
    for request in 2..20 {
        driver.next_look(Observation { request, ..said });
    }
    assert_eq!(driver.look(), []);
}

#[test]
fn a_worker_that_backdates_its_request_gains_nothing() {
    let mut driver = Driver::serving(timed);
    driver.tell(Event::Tick);
    let idle = Observation {
        activity: Activity::Idle,
        ..driver.busy_since(Duration::ZERO)
    };
    driver.next_look(idle);
    let seen = driver.now;
    driver.next_look(driver.busy_since(Duration::ZERO));
    while !driver.look().contains(&Action::GiveNotice { slot: 0 }) {
        driver.next_look(driver.busy_since(Duration::ZERO));
    }
    assert_eq!(driver.now, seen + 10 * SECOND);
}

#[test]
fn a_page_that_makes_no_sense_kills_nobody() {
    let mut driver = Driver::serving(timed);
    let said = driver.busy_since(driver.now);
    driver.report(0, Report::Observed(said));
    let end = driver.now + 100 * SECOND;
    let mut looks = 0;
    while driver.now < end {
        driver.tell(Event::Tick);
        driver.now = driver.pool.look_at().unwrap();
        looks += 1;
    }
    assert_eq!(driver.look(), []);
    assert!(looks < 110, "{looks}");
}

#[test]
fn an_absence_does_not_count_against_a_request() {
    let mut driver = Driver::serving(timed);
    let said = driver.busy_since(driver.now);
    driver.report(0, Report::Observed(said));
    driver.tell(Event::Tick);
    driver.now += 100 * SECOND;
    let back = driver.now;
    driver.report(0, Report::Observed(said));
    driver.tell(Event::Tick);
    while !driver.look().contains(&Action::GiveNotice { slot: 0 }) {
        driver.next_look(said);
    }
    assert_eq!(driver.now, back + 10 * SECOND);
}

#[test]
fn a_retiring_worker_is_held_to_its_request_too() {
    let mut driver = Driver::serving(timed);
    let began = driver.now;
    let said = driver.busy_since(began);
    driver.report(0, Report::Observed(said));
    driver.tell(Event::Stop);
    driver.tell(Event::Tick);
    driver.exits(1, 0);
    while driver.now < began + 15 * SECOND {
        assert_eq!(driver.pool.state(0), SlotState::Retiring);
        let at = driver.pool.deadline().unwrap();
        driver.now = driver.now.max(at);
        driver.report(0, Report::Observed(said));
        driver.tell(Event::Tick);
    }
    assert_eq!(driver.pool.state(0), SlotState::Gone);
}

#[test]
fn a_kill_of_who_does_not_leave_takes_its_client_over() {
    let mut driver = Driver::serving(|config| config.die_timeout = Some(SECOND));
    driver.sees(0, Activity::Busy, 1);
    driver.tell(Event::Stop);
    for _ in 0..3 {
        driver.now += 500 * MS;
        driver.tell(Event::Tick);
    }
    let actions = driver.look();
    for slot in 0..4 {
        let rescue = slot == 0;
        assert!(actions.contains(&Action::Kill { slot, rescue }), "{slot}");
    }
}

#[test]
fn the_successor_is_ready_before_a_worker_that_reached_a_limit_goes() {
    let mut driver = Driver::serving(|config| config.max_requests = 10);
    for slot in 0..4 {
        driver.sees(slot, Activity::Busy, 11);
    }
    // The surge is one.
    assert_eq!(driver.settle(), [4]);
    assert_eq!(driver.retired(), []);
    driver.report(4, Report::Ready);
    assert_eq!(driver.settle(), []);
    assert_eq!(driver.retired(), [0]);
    // Not the next one before this one is gone.
    driver.exits(0, 0);
    assert_eq!(driver.settle(), [0]);
    driver.report(0, Report::Ready);
    driver.settle();
    assert_eq!(driver.retired(), [1]);
    assert_eq!(driver.pool.counts().recycled, 2);
}

#[test]
fn a_successor_that_dies_leaves_the_worker_where_it_is() {
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
fn workers_that_claim_too_much_at_once_make_no_storm_of_forks() {
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
            driver.report(slot, Report::Ready);
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
fn each_worker_has_a_request_limit_of_its_own() {
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
        for action in driver.look() {
            match action {
                Action::Measure { slot } => {
                    measured[slot] += 1;
                    driver.report(slot, Report::Memory { bytes: 1_000 });
                }
                other => panic!("{other:?}"),
            }
        }
    }
    assert!(measured.iter().all(|times| (99..=101).contains(times)));
    assert!((99..=101).contains(&wakeups.len()), "{}", wakeups.len());
    driver.report(7, Report::Memory { bytes: 1_001 });
    for slot in driver.settle() {
        driver.report(slot, Report::Ready);
    }
    driver.look();
    driver.tell(Event::Tick);
    let why = Recycle::Memory;
    let recycling = Notice::Recycling { slot: 7, why };
    assert!(driver.notices().contains(&recycling));
}

#[test]
fn lifetimes_that_end_together_end_one_after_the_other() {
    let mut driver = Driver::serving(|config| config.max_lifetime = Some(60 * SECOND));
    assert_eq!(driver.pool.look_at(), None);
    assert_eq!(driver.pool.deadline(), Some(60 * SECOND));
    driver.now = 60 * SECOND;
    assert_eq!(driver.settle(), [4]);
    driver.report(4, Report::Ready);
    assert_eq!(driver.settle(), []);
    assert_eq!(driver.retired(), [0]);
}

#[test]
fn a_reload_recycles_nobody_on_top() {
    let mut driver = Driver::serving(|config| config.max_requests = 10);
    driver.tell(Event::Reload);
    driver.sees(0, Activity::Idle, 11);
    assert_eq!(driver.settle(), [4]);
    driver.look();
    for slot in 4..8 {
        driver.report(slot, Report::Ready);
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
fn a_reload_that_cannot_fork_fails_after_a_while() {
    let mut driver = Driver::serving(|_| {});
    driver.tell(Event::Reload);
    let begin = driver.now;
    while driver.pool.is_reloading() {
        driver.look();
        driver.tell(Event::Tick);
        if driver.look().contains(&Action::Fork { slot: 4 }) {
            driver.report(4, Report::ForkFailed { errno: 11 });
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

#[test]
fn an_empty_pool_is_an_emergency_once() {
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
    driver.report(0, Report::Exited(Exit::Signal(11)));
    driver.now = driver.pool.deadline().unwrap();
    driver.settle();
    assert_eq!(emptied(&mut driver), 0);
    driver.report(0, Report::Ready);
    driver.tell(Event::Tick);
    assert!(driver.notices().contains(&Notice::Recovered));
}

#[test]
fn parameters_that_arrive_one_after_the_other_add_up_to_no_request() {
    let mut driver = Driver::serving(timed);
    let busy = driver.busy_since(driver.now);
    driver.report(0, Report::Observed(busy));
    driver.tell(Event::Tick);
    let end = driver.now + 9 * SECOND;
    while driver.now < end {
        driver.next_look(busy);
    }
    let age = 3 * SECOND;
    let slow = Action::Notice(Notice::Slow { slot: 0, age });
    assert_eq!(driver.look(), [slow]);
    // A request that is read still goes by the number of the last one.
    let end = driver.now + 60 * SECOND;
    while driver.now < end {
        driver.next_look(Observation {
            activity: Activity::Reading,
            since: driver.now + MS,
            ..busy
        });
    }
    assert_eq!(driver.look(), []);
    let said = Observation {
        activity: Activity::Reading,
        since: driver.now,
        ..busy
    };
    let end = driver.now + 4 * SECOND;
    let mut told = Vec::new();
    while driver.now < end {
        driver.next_look(said);
        told.extend(driver.look());
    }
    assert_eq!(told, [slow]);
}

/// Requests of 250 ms, and what the pool makes of them with this limit: how late each notice came.
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
            let look = driver.pool.look_at().unwrap_or(Duration::MAX);
            driver.now = driver.now.max(look);
            let mut said = driver.busy_since(begins);
            said.request = u64::from(number);
            if driver.now < begins || driver.now >= ends {
                said.activity = Activity::Idle;
            }
            driver.report(0, Report::Observed(said));
            driver.tell(Event::Tick);
            if driver.look().contains(&Action::GiveNotice { slot: 0 }) {
                late.push(driver.now - begins - limit);
            }
        }
    }
    late
}

#[test]
fn short_limits_of_requests_are_kept_as_exactly_as_long_ones() {
    for limit in [10, 50, 200] {
        let late = lateness(limit * MS);
        assert_eq!(late.len(), 100, "{limit} ms: each request is noticed");
        let latest = late.iter().max().unwrap();
        assert!(*latest <= 20 * MS, "{limit} ms: {latest:?}");
    }
}
