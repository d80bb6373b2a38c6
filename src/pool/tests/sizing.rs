//! The number of workers by load.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Driver, MS, SECOND};
use crate::pool::{
    Action, Activity, Config, Event, Exit, Notice, Resize, Sizing, SlotState, WorkerEvent,
};

fn dynamic(config: &mut Config) {
    config.processes = 20;
    config.max_processes = 30;
    config.slots = 60;
    config.sizing = Sizing::Dynamic {
        start: 2,
        min_spare: 1,
        max_spare: 3,
    };
}

pub(super) fn on_demand(config: &mut Config) {
    dynamic(config);
    config.sizing = Sizing::OnDemand {
        idle_timeout: Some(10 * SECOND),
    };
}

/// Workers that are ready some time after their fork, and slow requests that wait for them.
struct Site {
    driver: Driver,
    start: Duration,
    starting: BTreeMap<usize, Duration>,
    /// By slot, the requests that it has accepted; one at a time, and never finished.
    busy: BTreeMap<usize, u64>,
    waiting: usize,
    forks: usize,
    wakeups: usize,
}

impl Site {
    fn new(start: Duration, change: fn(&mut Config)) -> Self {
        let mut site = Self {
            driver: Driver::new(change),
            start,
            starting: BTreeMap::new(),
            busy: BTreeMap::new(),
            waiting: 0,
            forks: 0,
            wakeups: 0,
        };
        site.turn();
        site.run(SECOND);
        site
    }

    fn turn(&mut self) {
        let now = self.driver.now;
        let pool = &self.driver.pool;
        if self.waiting > 0 && pool.watch_listener().is_some_and(|at| at <= now) {
            self.driver.tell(Event::Connection);
        }
        let ready = self.starting.iter().filter(|(_, at)| **at <= now);
        for slot in ready.map(|(slot, _)| *slot).collect::<Vec<_>>() {
            self.starting.remove(&slot);
            self.driver.report(slot, WorkerEvent::Ready);
        }
        for slot in 0..60 {
            if self.driver.pool.state(slot) == SlotState::Ready
                && self.waiting > 0
                && !self.busy.contains_key(&slot)
            {
                self.waiting -= 1;
                self.busy.insert(slot, 1);
            }
        }
        if self.driver.pool.poll_at().is_some_and(|at| at <= now) {
            for slot in 0..60 {
                let activity = match self.busy.contains_key(&slot) {
                    true => Activity::Busy,
                    false => Activity::Idle,
                };
                self.driver.sees(slot, activity, self.busy.len() as u64);
            }
        }
        for slot in self.driver.settle() {
            self.forks += 1;
            self.starting.insert(slot, now + self.start);
        }
        let retired = self.driver.actions.clone();
        for action in retired {
            if let Action::Retire { slot, .. } = action {
                if self.driver.pool.state(slot) == SlotState::Retiring {
                    assert!(!self.busy.contains_key(&slot));
                    self.driver.exits(slot, 0);
                }
            }
        }
        self.driver.settle();
    }

    fn run(&mut self, time: Duration) {
        let end = self.driver.now + time;
        loop {
            let watch = self.driver.pool.watch_listener();
            let next = [
                self.driver.pool.deadline(),
                self.starting.values().min().copied(),
                watch.filter(|_| self.waiting > 0),
            ];
            let next = next.into_iter().flatten().min().unwrap_or(end);
            if next >= end {
                self.driver.now = end;
                return;
            }
            self.driver.now = next.max(self.driver.now);
            self.wakeups += 1;
            self.turn();
        }
    }

    fn ready(&self) -> usize {
        self.driver.pool.counts().ready
    }
}

#[test]
fn twenty_slow_requests_at_once_have_twenty_workers_in_less_than_a_second() {
    for (start, limit) in [(5 * MS, 500 * MS), (100 * MS, 1_000 * MS)] {
        for change in [dynamic, on_demand] {
            let mut site = Site::new(start, change);
            let begin = site.driver.now;
            site.waiting = 20;
            while site.ready() < 20 {
                site.run(MS);
                assert!(
                    site.driver.now < begin + limit,
                    "{:?}",
                    site.driver.pool.counts()
                );
            }
            assert_eq!(site.driver.pool.counts().wanted, 20);
        }
    }
}

#[test]
fn one_slow_request_starts_few_workers() {
    for change in [dynamic, on_demand] {
        let mut site = Site::new(500 * MS, change);
        site.waiting = 1;
        site.run(60 * SECOND);
        assert!(site.ready() <= 3, "{:?}", site.driver.pool.counts());
        assert_eq!(site.waiting, 0);
    }
}

#[test]
fn surplus_idle_workers_retire_one_a_second() {
    let mut site = Site::new(5 * MS, dynamic);
    site.waiting = 20;
    site.run(SECOND);
    assert_eq!(site.ready(), 20);
    site.busy.retain(|slot, _| *slot < 2);
    let begin = site.driver.now;
    site.run(10 * SECOND);
    let left = site.ready();
    assert!((9..=11).contains(&left), "{left}");
    site.run(20 * SECOND);
    // Two serve, three wait.
    assert_eq!(site.ready(), 5, "after {:?}", site.driver.now - begin);
}

#[test]
fn an_idle_pool_sleeps_with_each_kind_of_sizing() {
    for change in [dynamic, on_demand] {
        let mut site = Site::new(5 * MS, change);
        site.waiting = 5;
        site.run(SECOND);
        site.busy.clear();
        site.run(60 * SECOND);
        assert_eq!(site.driver.pool.deadline(), None);
        assert_eq!(site.driver.pool.poll_at(), None);
        let before = site.wakeups;
        site.run(1_000 * SECOND);
        assert_eq!(site.wakeups, before);
        assert!(site.driver.pool.watch_listener().unwrap() <= site.driver.now);
    }
}

#[test]
fn on_demand_starts_and_ends_without_workers() {
    let mut site = Site::new(5 * MS, on_demand);
    assert_eq!((site.forks, site.ready()), (0, 0));
    assert_eq!(site.driver.pool.watch_listener(), Some(Duration::ZERO));
    site.waiting = 1;
    site.turn();
    site.run(SECOND);
    assert_eq!(site.ready(), 1);
    site.busy.clear();
    let begin = site.driver.now;
    site.run(9 * SECOND);
    assert_eq!(site.ready(), 1);
    site.run(4 * SECOND);
    assert_eq!(site.ready(), 0, "after {:?}", site.driver.now - begin);
    let emptied = site.driver.notices().contains(&Notice::Emptied);
    assert!(!emptied, "it wants none");
}

#[test]
fn traffic_wakes_the_manager_ten_times_a_second_at_most() {
    let mut site = Site::new(5 * MS, dynamic);
    site.run(5 * SECOND);
    let mut connections = 0;
    let end = site.driver.now + 10 * SECOND;
    while site.driver.now < end {
        site.run(MS);
        let pool = &site.driver.pool;
        if pool
            .watch_listener()
            .is_some_and(|at| at <= site.driver.now)
        {
            connections += 1;
            site.waiting = 1;
            site.turn();
            site.busy.clear();
        }
    }
    assert!((50..=101).contains(&connections), "{connections}");
}

#[test]
fn workers_that_wait_and_accept_nothing_are_no_capacity() {
    let mut driver = Driver::new(on_demand);
    let mut forked = Vec::new();
    for _ in 0..200 {
        if driver
            .pool
            .watch_listener()
            .is_some_and(|at| at <= driver.now)
        {
            driver.tell(Event::Connection);
        }
        if driver.pool.poll_at().is_some_and(|at| at <= driver.now) {
            for slot in &forked {
                driver.sees(*slot, Activity::Idle, 1);
            }
        }
        for slot in driver.settle() {
            driver.report(slot, WorkerEvent::Ready);
            forked.push(slot);
        }
        driver.now += 10 * MS;
    }
    assert!(forked.len() > 1);
}

#[test]
fn a_crash_loop_is_as_slow_on_demand() {
    for change in [dynamic, on_demand] {
        let mut driver = Driver::new(change);
        let mut forks = Vec::new();
        while driver.now < 60 * SECOND {
            if driver
                .pool
                .watch_listener()
                .is_some_and(|at| at <= driver.now)
            {
                driver.tell(Event::Connection);
            }
            for slot in driver.settle() {
                forks.push(driver.now);
                driver.report(slot, WorkerEvent::Exited(Exit::Signal(11)));
            }
            driver.now += 10 * MS;
        }
        let early = forks.iter().filter(|at| **at < 10 * SECOND).count();
        assert_eq!(early, 10);
        assert!((55..=60).contains(&forks.len()), "{}", forks.len());
    }
}

#[test]
fn resizing_changes_the_maximum() {
    let mut site = Site::new(5 * MS, dynamic);
    for _ in 0..15 {
        site.driver.tell(Event::Resize(Resize::Down));
    }
    assert_eq!(site.driver.pool.counts().wanted, 2);
    site.waiting = 20;
    site.turn();
    site.run(10 * SECOND);
    assert_eq!(site.ready(), 5);
    assert_eq!(site.driver.pool.watch_listener(), None);
}

#[test]
fn a_reload_of_an_empty_pool_is_done_immediately() {
    let mut driver = Driver::new(on_demand);
    driver.tell(Event::Reload);
    driver.tell(Event::Tick);
    let notices = driver.notices();
    assert_eq!(notices, [Notice::ReloadBegun, Notice::ReloadDone]);
}

#[test]
fn growth_is_delayed_in_a_crash_loop() {
    let mut driver = Driver::new(|config| {
        dynamic(config);
        config.sizing = Sizing::Dynamic {
            start: 3,
            min_spare: 3,
            max_spare: 5,
        };
    });
    driver.settle();
    driver.report(0, WorkerEvent::Ready);
    driver.report(1, WorkerEvent::Ready);
    driver.exits(2, 1);
    // The two healthy ones existed before the deaths began, and prove nothing.
    while driver.now < 20 * SECOND {
        for slot in driver.settle() {
            driver.exits(slot, 1);
        }
        driver.now += 10 * MS;
    }
    driver.tell(Event::Connection);
    driver.sees(0, Activity::Busy, 1);
    driver.sees(1, Activity::Busy, 1);
    let mut forks = 0;
    let end = driver.now + 900 * MS;
    while driver.now < end {
        for slot in driver.settle() {
            forks += 1;
            driver.exits(slot, 1);
        }
        driver.now += 10 * MS;
    }
    assert!(driver.pool.counts().wanted > 3);
    assert!(forks <= 1, "{forks}");
}

#[test]
fn a_worker_with_an_invalid_page_is_not_retired_as_idle() {
    let mut site = Site::new(5 * MS, dynamic);
    site.waiting = 20;
    site.run(SECOND);
    site.busy.clear();
    let mut driver = site.driver;
    driver.now += SECOND;
    for slot in 0..20 {
        driver.sees(slot, Activity::Idle, 2);
    }
    driver.tell(Event::Tick);
    assert_eq!(driver.retired().len(), 1);
    // All were seen idle, but not since the poll was due.
    for _ in 0..30 {
        driver.now += SECOND;
        driver.tell(Event::Tick);
    }
    assert_eq!(driver.retired(), []);
    for _ in 0..30 {
        driver.now += SECOND;
        for slot in 0..20 {
            driver.sees(slot, Activity::Idle, 2);
        }
        driver.tell(Event::Tick);
    }
    assert_eq!(driver.retired().len(), 16);
}
