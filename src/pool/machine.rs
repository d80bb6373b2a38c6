//! The state machine: the effect of each event in each state.

use std::time::Duration;

use super::answer::{Action, Counts, Notice};
use super::backoff::{Backoff, Departures};
use super::config::{Config, Sizing};
use super::event::{Activity, Event, Resize};
use super::load::Load;
use super::phase::{Drain, Emergency, LastWorker, Phase, Reload, Rolled, Starts};
use super::round::Round;
use super::slot::{Retirement, Slot, SlotState, Successor};
use super::watch::Watch;

/// A tick that comes later than this after the deadline shows that the manager did not run: it was
/// stopped, or the machine slept.
const LATE: Duration = Duration::from_secs(1);

/// The longest sleep while a deadline runs.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The workers as the manager knows them, and what it wants.
#[derive(Debug)]
pub struct Pool {
    pub(super) config: Config,
    pub(super) phase: Phase,
    pub(super) wanted: usize,
    /// Grows on demand up to [`Config::slots`].
    pub(super) slots: Vec<Slot>,
    /// The request limits of the workers in the slots.
    pub(super) limits: Vec<u64>,
    /// The generation that new workers belong to.
    pub(super) generation: u64,
    pub(super) reload: Reload,
    pub(super) rolled: Rolled,
    /// Initial forks still to be made.
    pub(super) first: usize,
    /// Forks still to be made because the load requires more workers.
    pub(super) grown: usize,
    /// Replacements, still to be made, for workers that died young.
    pub(super) owed: usize,
    /// Replacements, still to be made, for young workers that had served and exited on their own.
    pub(super) departed: usize,
    pub(super) last_worker: LastWorker,
    /// Nothing is forked before this time.
    pub(super) fork_gate: Duration,
    /// Every fork since this time has failed.
    pub(super) forks_fail_since: Option<Duration>,
    pub(super) backoff: Backoff,
    pub(super) departures: Departures,
    /// Until this time it is not an emergency if no worker is ready: the last ones exited on their
    /// own, and their replacements start.
    pub(super) calm_until: Duration,
    pub(super) load: Load,
    pub(super) round: Round,
    /// When all pages are to be polled next.
    pub(super) next_poll: Option<Duration>,
    /// The tick after the last poll.
    pub(super) polled_at: Duration,
    /// The time from which that poll was due: every page was read after it.
    pub(super) covered: Duration,
    /// Forks requested so far.
    pub(super) forks: u64,
    pub(super) recycled: u64,
    /// Workers that were forked before this are no copies of a warm one.
    pub(super) reforked_at: Duration,
    pub(super) reloads: u64,
    pub(super) failed_reloads: u64,
    /// A worker has been ready.
    pub(super) had_ready: bool,
    /// How starts went since a worker last became ready.
    pub(super) starts: Starts,
    pub(super) emergency: Emergency,
    /// The stop was requested, and everything is still served.
    pub(super) drain: Option<Drain>,
    last_event: Duration,
    /// The value of [`deadline`](Self::deadline).
    next_tick: Option<Duration>,
}

impl Pool {
    /// A pool without workers.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let load = Load::new(&config);
        let wanted = load.initial(&config);
        Self {
            phase: Phase::New,
            wanted,
            slots: Vec::new(),
            limits: Vec::new(),
            generation: 0,
            reload: Reload::None,
            rolled: Rolled::default(),
            first: wanted,
            grown: 0,
            owed: 0,
            departed: 0,
            last_worker: LastWorker::NotNeeded,
            fork_gate: Duration::ZERO,
            forks_fail_since: None,
            backoff: Backoff::default(),
            departures: Departures::default(),
            calm_until: Duration::ZERO,
            load,
            round: Round::default(),
            next_poll: None,
            polled_at: Duration::ZERO,
            covered: Duration::ZERO,
            forks: 0,
            recycled: 0,
            reforked_at: Duration::ZERO,
            reloads: 0,
            failed_reloads: 0,
            had_ready: false,
            starts: Starts::Succeed,
            emergency: Emergency::None,
            drain: None,
            last_event: Duration::ZERO,
            next_tick: None,
            config,
        }
    }

    /// When a tick is due if nothing happens before; `None`: never.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.next_tick
    }

    /// What a slot holds.
    #[must_use]
    pub fn state(&self, slot: usize) -> SlotState {
        self.slots.get(slot).map_or(SlotState::Empty, Slot::state)
    }

    /// The maximum number of workers.
    #[must_use]
    pub fn most(&self) -> usize {
        self.load.most
    }

    /// Whether it is stopping, or has stopped.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        matches!(self.phase, Phase::Stopping | Phase::Stopped)
    }

    /// How many workers there are, and how many were replaced.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts {
            wanted: self.wanted,
            recycled: self.recycled,
            reloads: self.reloads,
            failed_reloads: self.failed_reloads,
            ..Counts::default()
        };
        for slot in &self.slots {
            match slot.state() {
                SlotState::Empty => continue,
                SlotState::Starting => counts.starting += 1,
                SlotState::Ready => counts.ready += 1,
                SlotState::Retiring | SlotState::Killed => counts.retiring += 1,
            }
            counts.processes += 1;
            if let Some(serving) = slot.serving() {
                counts.idle += usize::from(serving.watch.is_idle());
                counts.busy += usize::from(serving.watch.is_running());
            }
        }
        counts
    }

    /// Handles one event, and appends the actions to perform, in this order.
    ///
    /// Only a tick compares one worker with the others: a thousand events in one turn cost no more
    /// than a thousand times one.
    pub fn handle(&mut self, now: Duration, event: Event, actions: &mut Vec<Action>) {
        let now = now.max(self.last_event);
        self.forgive_absence(now);
        self.last_event = now;
        // Until the tick that follows.
        self.next_tick = Some(now);
        match event {
            Event::Start => self.start(),
            Event::Reload => self.reload_requested(actions),
            Event::Drain => self.drain_requested(now, actions),
            Event::Stop => self.stop(now, actions),
            Event::Resize(resize) => self.resize(resize, actions),
            Event::Worker { slot, event } => self.worker_event(now, slot, event, actions),
            Event::Connection => self.connection(now),
            Event::Unanswered => {
                if self.phase == Phase::Stopping && self.last_worker == LastWorker::NotNeeded {
                    self.last_worker = LastWorker::Due;
                }
            }
            Event::SourceEnded => self.source_ended(now, actions),
            Event::Reforked => self.reforked(now),
            Event::ReforkEnded => self.refork_ended(),
            Event::Tick => self.tick(now, actions),
        }
        if self.phase == Phase::Stopping
            && self.last_worker != LastWorker::Due
            && self.slots.iter().all(|slot| matches!(slot, Slot::Empty))
        {
            self.phase = Phase::Stopped;
            self.next_poll = None;
            self.next_tick = None;
            actions.push(Action::Stopped);
        }
    }

    fn tick(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.drain_ends_at().is_some_and(|at| at <= now) {
            return actions.push(Action::Stop);
        }
        let due = self.next_poll.filter(|at| *at <= now);
        if let Some(at) = due {
            self.polled_at = now;
            self.covered = at;
        }
        self.timers(now, actions);
        if due.is_some() {
            self.size(now, actions);
        }
        self.balance(now, actions);
        self.measure(now, actions);
        self.fork(now, actions);
        self.alarm(now, actions);
        self.distribute_offers(now, actions);
        self.next_poll = [
            self.request_poll(now),
            self.sizing_poll(now),
            self.offers_poll(now),
        ]
        .into_iter()
        .flatten()
        .min();
        self.plan_watch(now);
        self.next_tick = self.agenda(now);
    }

    /// The time of the next thing to do.
    fn agenda(&self, now: Duration) -> Option<Duration> {
        // While a deadline runs, a tick per second shows whether the manager was stopped.
        let deadlines = self.slots.iter().filter_map(Slot::deadline);
        deadlines
            .map(|at| at.min(now + HEARTBEAT))
            .chain(self.slots.iter().filter_map(|held| self.end_of_life(held)))
            .chain(self.next_fork(now).map(|(at, _)| at.max(now)))
            .chain(self.measure_at(now))
            .chain(self.alarm_at(now))
            .chain(self.drain_ends_at())
            .chain(self.next_poll)
            .min()
    }

    /// If the manager was stopped for a part of the time since the last event, none of that time
    /// counts against the workers: which part is unknown, and they may have been stopped, too.
    fn forgive_absence(&mut self, now: Duration) {
        if self.next_tick.is_some_and(|at| now > at + LATE) {
            let away = now.saturating_sub(self.last_event);
            self.slots.iter_mut().for_each(|slot| slot.postpone(away));
            if let Some(since) = &mut self.forks_fail_since {
                *since += away;
            }
        }
    }

    fn start(&mut self) {
        match self.phase {
            Phase::New => self.phase = Phase::Running,
            Phase::Running | Phase::Stopping | Phase::Stopped => {}
        }
    }

    fn reload_requested(&mut self, actions: &mut Vec<Action>) {
        match (self.phase, self.reload) {
            (Phase::Running, Reload::None) => self.begin_reload(actions),
            (Phase::Running, Reload::Rolling { again }) => {
                self.reload = Reload::Rolling { again: true };
                if !again {
                    actions.push(Action::Notice(Notice::ReloadQueued));
                }
            }
            (Phase::New | Phase::Stopping | Phase::Stopped, _) => {}
        }
    }

    fn stop(&mut self, now: Duration, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::New | Phase::Running => {}
            Phase::Stopping | Phase::Stopped => return,
        }
        self.phase = Phase::Stopping;
        self.drain = None;
        self.reload = Reload::None;
        self.rolled = Rolled::default();
        actions.push(Action::Notice(Notice::Stopping));
        if self.load.connection_waits() && self.census().alive() == 0 {
            self.last_worker = LastWorker::Due;
        }
        for slot in 0..self.slots.len() {
            self.retire(now, slot, true, actions);
        }
    }

    fn resize(&mut self, resize: Resize, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Running => {}
            Phase::New | Phase::Stopping | Phase::Stopped => return,
        }
        let most = match resize {
            Resize::Up => (self.load.most + 1).min(self.config.max_processes),
            Resize::Down => self.load.most.saturating_sub(1).max(1),
            Resize::To(most) => most.clamp(1, self.config.max_processes),
        };
        if most == self.load.most {
            return;
        }
        self.load.most = most;
        self.wanted = match self.config.sizing {
            Sizing::Static => most,
            Sizing::Dynamic { .. } | Sizing::OnDemand { .. } => self.wanted.min(most),
        };
        actions.push(Action::Notice(Notice::Resized { wanted: most }));
    }

    /// Asks the worker in the slot to exit.
    pub(super) fn retire(
        &mut self,
        now: Duration,
        slot: usize,
        last: bool,
        actions: &mut Vec<Action>,
    ) {
        let limit = self.config.die_timeout;
        match &mut self.slots[slot] {
            Slot::Forking { doomed, .. } => *doomed = true,
            held @ Slot::Starting { .. } => {
                // It does not wait in Accept, so no wake-up would reach it.
                let watch = Watch::new(now, Activity::Exiting);
                let generation = held.generation().unwrap_or_default();
                let mut retirement = Retirement::new(now, generation, last, watch, limit);
                retirement.start_by = held.start_by();
                *held = Slot::Retiring(retirement);
                actions.push(Action::Retire { slot, last });
                actions.push(Action::Terminate { slot });
            }
            Slot::Ready(serving) => {
                let generation = serving.generation;
                let mut retirement = Retirement::new(now, generation, last, serving.watch, limit);
                // Until the next poll: a superfluous wake-up does nothing, and without one it may wait
                // for ever. One that reports nothing does not know what a wake-up is.
                retirement.idle = !serving.watch.is_silent();
                let ask = if retirement.idle {
                    Action::Wake { slot }
                } else {
                    Action::Terminate { slot }
                };
                self.slots[slot] = Slot::Retiring(retirement);
                actions.push(Action::Retire { slot, last });
                actions.push(ask);
            }
            Slot::Retiring(retirement) if last && retirement.successor != Successor::None => {
                retirement.successor = Successor::None;
                actions.push(Action::Retire { slot, last });
            }
            Slot::Retiring(_) | Slot::Empty | Slot::Killed { .. } => {}
        }
    }
}
