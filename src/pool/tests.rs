//! The rules one by one.

use std::time::Duration;

use super::{
    Action, Activity, Cause, Config, Event, Exit, Notice, Observation, Offers, Overdue, Pool,
    Report, Resize, Sizing,
};

pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) struct Driver {
    pub(super) pool: Pool,
    pub(super) now: Duration,
    /// Every action since the last look.
    pub(super) actions: Vec<Action>,
}

impl Driver {
    pub(super) fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            processes: 4,
            max_processes: 10,
            slots: 30,
            reload_surge: 0,
            start_delay: Duration::ZERO,
            start_timeout: Some(60 * SECOND),
            ready_delay: None,
            die_timeout: Some(60 * SECOND),
            sizing: Sizing::Static,
            max_requests: 0,
            max_requests_jitter: 0,
            max_memory: 0,
            max_lifetime: None,
            request_timeout: None,
            request_timeout_grace: 5 * SECOND,
            slow_request: None,
            seed: 1,
        };
        change(&mut config);
        let mut this = Self {
            pool: Pool::new(config),
            now: Duration::ZERO,
            actions: Vec::new(),
        };
        this.tell(Event::Start);
        this
    }

    pub(super) fn serving(change: impl FnOnce(&mut Config)) -> Self {
        let mut this = Self::new(change);
        this.settle();
        for slot in 0..this.pool.counts().wanted {
            this.report(slot, Report::Ready);
        }
        this.settle();
        this.now += 20 * SECOND;
        this.tell(Event::Tick);
        this.actions.clear();
        this
    }

    pub(super) fn tell(&mut self, event: Event) {
        self.pool.handle(self.now, event, &mut self.actions);
    }

    pub(super) fn report(&mut self, slot: usize, report: Report) {
        self.tell(Event::Worker { slot, report });
    }

    /// A look at the worker's page: what it does, with which request, since when the look says so.
    pub(super) fn sees(&mut self, slot: usize, activity: Activity, request: u64) {
        let observation = Observation {
            activity,
            request,
            requests: request.saturating_sub(1),
            since: self.now,
            offers: Offers::None,
        };
        self.report(slot, Report::Observed(observation));
    }

    pub(super) fn exits(&mut self, slot: usize, status: i32) {
        self.report(slot, Report::Exited(Exit::Code(status)));
    }

    /// Ticks, with every fork succeeding, as long as something is due now.
    pub(super) fn settle(&mut self) -> Vec<usize> {
        let mut forked = Vec::new();
        loop {
            let before = self.actions.len();
            self.tell(Event::Tick);
            let fork = self.actions[before..]
                .iter()
                .find_map(|action| match action {
                    Action::Fork { slot } => Some(*slot),
                    _ => None,
                });
            let Some(slot) = fork else { return forked };
            self.report(slot, Report::Forked);
            forked.push(slot);
        }
    }

    pub(super) fn notices(&mut self) -> Vec<Notice> {
        let actions = self.look().into_iter();
        actions
            .filter_map(|action| match action {
                Action::Notice(notice) => Some(notice),
                _ => None,
            })
            .collect()
    }

    /// Whom the actions since the last look retire.
    pub(super) fn retired(&mut self) -> Vec<usize> {
        let actions = self.look().into_iter();
        actions
            .filter_map(|action| match action {
                Action::Retire { slot, .. } => Some(slot),
                _ => None,
            })
            .collect()
    }

    pub(super) fn look(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }
}

#[test]
fn the_first_workers_are_start_delay_apart() {
    let mut driver = Driver::new(|config| config.start_delay = 100 * MS);
    assert_eq!(driver.settle(), [0]);
    assert_eq!(driver.pool.deadline(), Some(100 * MS));
    driver.now += 100 * MS;
    assert_eq!(driver.settle(), [1]);
}

#[test]
fn an_idle_pool_asks_for_no_wakeup() {
    let mut driver = Driver::serving(|_| {});
    assert_eq!(driver.settle(), []);
    assert_eq!(driver.pool.deadline(), None);
}

#[test]
fn a_worker_that_had_lived_is_replaced_at_once() {
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
        driver.report(slot, Report::Ready);
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
    driver.report(0, Report::ForkFailed { errno: 11 });
    assert_eq!(driver.settle(), []);
    driver.now = driver.pool.deadline().unwrap();
    assert_eq!(driver.now, SECOND);
    assert_eq!(driver.settle(), [0]);
}

#[test]
fn a_replacement_is_ready_before_an_old_worker_goes() {
    let mut driver = Driver::serving(|_| {});
    driver.tell(Event::Reload);
    assert_eq!(driver.settle(), [4]);
    let before = driver.look();
    assert!(!before.iter().any(|a| matches!(a, Action::Retire { .. })));
    driver.report(4, Report::Ready);
    assert_eq!(driver.settle(), [5]);
    let retire = Action::Retire {
        slot: 3,
        last: false,
    };
    let actions = driver.look();
    let position = actions.iter().position(|a| *a == retire).unwrap();
    // The flag first, then the wake-up.
    assert_eq!(actions[position + 1], Action::Wake { slot: 3 });
}

#[test]
fn a_stop_waits_for_one_that_was_not_ready_only_as_long_as_it_might_start() {
    let mut driver = Driver::new(|config| config.start_timeout = Some(3 * SECOND));
    driver.settle();
    driver.report(0, Report::Ready);
    driver.now += SECOND;
    driver.tell(Event::Stop);
    // Told to leave, it becomes ready all the same, and answers what waits in the queue.
    driver.sees(1, Activity::Idle, 0);
    driver.look();
    while driver.now < 3 * SECOND {
        driver.now = driver.pool.deadline().unwrap().min(3 * SECOND);
        driver.tell(Event::Tick);
    }
    let killed = |action| match action {
        Action::Notice(Notice::Killing { slot, overdue }) => Some((slot, overdue)),
        _ => None,
    };
    let killed: Vec<_> = driver.look().into_iter().filter_map(killed).collect();
    assert_eq!(killed, [(2, Overdue::Start), (3, Overdue::Start)]);
}

#[test]
fn a_death_before_ready_ends_the_reload_and_nothing_else() {
    let mut driver = Driver::serving(|_| {});
    driver.tell(Event::Reload);
    driver.settle();
    driver.look();
    driver.exits(4, 255);
    let actions = driver.look();
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
            driver.report(slot, Report::Ready);
        }
        for action in driver.look() {
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

#[test]
fn kicks_repeat_while_the_worker_waits_and_only_then() {
    let mut driver = Driver::serving(|config| config.processes = 1);
    driver.tell(Event::Stop);
    driver.look();
    let mut wake_ups = Vec::new();
    let origin = driver.now;
    while driver.now < origin + 3 * SECOND {
        driver.now = driver.pool.deadline().unwrap();
        driver.tell(Event::Tick);
        if driver.look().contains(&Action::Wake { slot: 0 }) {
            wake_ups.push((driver.now - origin).as_millis());
        }
    }
    assert_eq!(wake_ups, [10, 30, 70, 150, 310, 630, 1_270, 2_270, 3_270]);
    driver.sees(0, Activity::Busy, 1);
    driver.now += SECOND;
    driver.tell(Event::Tick);
    assert_eq!(driver.look(), []);
}

#[test]
fn a_worker_that_never_used_accept_is_terminated() {
    let mut driver = Driver::new(|config| config.processes = 1);
    driver.settle();
    driver.look();
    driver.tell(Event::Stop);
    let actions = driver.look();
    assert!(actions.contains(&Action::Terminate { slot: 0 }));
    assert!(!actions.contains(&Action::Wake { slot: 0 }));
    driver.exits(0, 0);
    assert_eq!(driver.look().last(), Some(&Action::Stopped));
}

#[test]
fn deadlines_kill_and_an_absence_does_not() {
    let mut driver = Driver::new(|config| {
        config.processes = 1;
        config.start_timeout = Some(5 * SECOND);
    });
    driver.settle();
    driver.now += SECOND;
    driver.tell(Event::Tick);
    driver.look();
    // The manager was stopped: what the worker had left, it has again.
    driver.now += 100 * SECOND;
    driver.tell(Event::Tick);
    assert_eq!(driver.look(), []);
    for _ in 0..4 {
        driver.now += SECOND;
        driver.tell(Event::Tick);
    }
    let killing = Notice::Killing {
        slot: 0,
        overdue: Overdue::Start,
    };
    assert_eq!(
        driver.look()[..2],
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
fn the_last_worker_cannot_be_sent_away() {
    let mut driver = Driver::serving(|config| config.processes = 1);
    driver.tell(Event::Resize(Resize::Down));
    assert_eq!(driver.look(), []);
    assert_eq!(driver.pool.counts().wanted, 1);
}

#[test]
fn stop_before_any_worker_is_over_at_once() {
    let mut driver = Driver::new(|_| {});
    driver.tell(Event::Stop);
    assert_eq!(driver.look().last(), Some(&Action::Stopped));
}

impl Driver {
    /// A reload to where all new workers are ready; none of the old ones has exited.
    fn roll(&mut self) {
        self.tell(Event::Reload);
        loop {
            let forked = self.settle();
            if forked.is_empty() {
                return;
            }
            for slot in forked {
                self.report(slot, Report::Ready);
            }
        }
    }

    fn is_done(&mut self) -> bool {
        self.settle();
        self.notices().contains(&Notice::ReloadDone)
    }
}

#[test]
fn a_reload_is_done_when_the_last_old_worker_is_gone() {
    let mut driver = Driver::serving(|config| config.processes = 2);
    driver.roll();
    let told = driver.notices();
    assert!(told.contains(&Notice::ReloadRolled { old: 2 }));
    assert!(!told.contains(&Notice::ReloadDone));
    assert!(driver.pool.is_reloading());
    driver.exits(0, 0);
    assert!(!driver.is_done());
    // Killed is not gone.
    for _ in 0..60 {
        driver.sees(1, Activity::Busy, 1);
        driver.now += SECOND;
        driver.settle();
    }
    let overdue = Overdue::Leave;
    let told = driver.notices();
    assert!(told.contains(&Notice::Killing { slot: 1, overdue }));
    assert!(!told.contains(&Notice::ReloadDone));
    driver.report(1, Report::Exited(Exit::Signal(9)));
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
    driver.look();
    driver.roll();
    let told = driver.notices();
    assert!(told.contains(&Notice::ReloadBegun));
    assert!(told.contains(&Notice::ReloadRolled { old: 2 }));
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
fn a_reload_that_fails_leaves_the_one_before_to_be_done() {
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
fn a_stop_starts_one_worker_for_what_the_last_one_left_in_the_queue() {
    let mut driver = Driver::serving(|config| config.processes = 1);
    driver.tell(Event::Stop);
    driver.look();
    driver.tell(Event::Unanswered);
    driver.exits(0, 0);
    assert_eq!(driver.settle(), [0]);
    // Whatever becomes of it, there is no second one.
    driver.tell(Event::Unanswered);
    driver.exits(0, 1);
    assert_eq!(driver.settle(), []);
    assert_eq!(driver.look().last(), Some(&Action::Stopped));
}
