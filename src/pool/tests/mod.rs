//! The rules of the pool, one test each, by a driver in virtual time.

mod departures;
mod drain;
mod limits;
mod program_reload;
mod program_world;
mod programs;
mod recycling;
mod reloads;
mod sizing;
mod workers;

use std::time::Duration;

use crate::pool::{
    Action, Activity, Config, Event, Exit, Notice, Observation, Offers, Pool, Sizing, WorkerEvent,
};

pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) struct Driver {
    pub(super) pool: Pool,
    pub(super) now: Duration,
    /// Every action since the last check.
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
            drain_delay: Duration::ZERO,
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
            this.report(slot, WorkerEvent::Ready);
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

    pub(super) fn report(&mut self, slot: usize, event: WorkerEvent) {
        self.tell(Event::Worker { slot, event });
    }

    /// A report of the worker's page: its activity and request since now.
    pub(super) fn sees(&mut self, slot: usize, activity: Activity, request: u64) {
        let observation = Observation {
            activity,
            request,
            requests: request.saturating_sub(1),
            since: self.now,
            offers: Offers::None,
        };
        self.report(slot, WorkerEvent::Observed(observation));
    }

    pub(super) fn exits(&mut self, slot: usize, status: i32) {
        self.report(slot, WorkerEvent::Exited(Exit::Code(status)));
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
            self.report(slot, WorkerEvent::Forked);
            forked.push(slot);
        }
    }

    pub(super) fn notices(&mut self) -> Vec<Notice> {
        let actions = self.taken().into_iter();
        actions
            .filter_map(|action| match action {
                Action::Notice(notice) => Some(notice),
                _ => None,
            })
            .collect()
    }

    /// The workers that the actions since the last check retire.
    pub(super) fn retired(&mut self) -> Vec<usize> {
        let actions = self.taken().into_iter();
        actions
            .filter_map(|action| match action {
                Action::Retire { slot, .. } => Some(slot),
                _ => None,
            })
            .collect()
    }

    pub(super) fn taken(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }
}
