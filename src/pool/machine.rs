//! The state machine: what each event does in each state.

use std::time::Duration;

use super::backoff::{Backoff, Departures};
use super::recycling::Round;
use super::sizing::Load;
use super::slot::{Retirement, Slot, SlotState};
use super::watch::Watch;
use super::{Action, Activity, Config, Counts, Event, Notice, Resize, Sizing};

/// A tick that comes later than this after the deadline says that the manager was not there: it
/// was stopped, or the machine slept.
const LATE: Duration = Duration::from_secs(1);

/// The longest sleep while a deadline runs.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The manager's mind.
#[derive(Debug)]
pub struct Pool {
    pub(super) config: Config,
    pub(super) phase: Phase,
    pub(super) wanted: usize,
    /// Grows with use up to [`Config::slots`].
    pub(super) slots: Vec<Slot>,
    /// The request limits of the workers in the slots.
    pub(super) limits: Vec<u64>,
    /// The generation that new workers belong to.
    pub(super) generation: u64,
    pub(super) reload: Reload,
    pub(super) rolled: Rolled,
    /// First forks still to be made.
    pub(super) first: usize,
    /// Forks still to be made because the load asked for more workers.
    pub(super) grown: usize,
    /// Replacements, still to be made, of workers that died young.
    pub(super) owed: usize,
    /// Replacements, still to be made, of young workers that had served and exited by themselves.
    pub(super) departed: usize,
    /// A stop left nobody who could answer what waits in the listen queue: one more worker is forked for it.
    pub(super) drain: bool,
    /// That worker was forked. There is only one.
    pub(super) has_drained: bool,
    /// Nothing is forked before this time.
    pub(super) fork_gate: Duration,
    /// Since when every fork has failed.
    pub(super) forks_fail_since: Option<Duration>,
    pub(super) backoff: Backoff,
    pub(super) departures: Departures,
    /// Until then it is no emergency that nobody is ready, if the replacements start: the last ones exited by themselves.
    pub(super) calm_until: Duration,
    pub(super) load: Load,
    pub(super) round: Round,
    /// When the pages are to be looked at next.
    pub(super) look: Option<Duration>,
    /// The tick after the last look.
    pub(super) looked_at: Duration,
    /// The time from which on that look was made.
    pub(super) covered: Duration,
    /// Forks asked for so far.
    pub(super) forks: u64,
    pub(super) recycled: u64,
    pub(super) reloads: u64,
    pub(super) failed_reloads: u64,
    /// A worker was ready at some time.
    pub(super) had_ready: bool,
    /// What was tried since a worker became ready has failed.
    pub(super) failing: bool,
    emptied: bool,
    last_call: Duration,
    /// What [`deadline`](Self::deadline) answered.
    asked: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    New,
    Running,
    Stopping,
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reload {
    None,
    /// Workers of older generations are being replaced.
    Rolling {
        /// Another reload was asked for meanwhile.
        again: bool,
    },
}

/// Reloads whose new workers are all ready, and that wait for the old ones to be gone.
#[derive(Debug, Default)]
pub(super) struct Rolled {
    pub(super) count: usize,
    /// The workers of older generations are those that must go.
    pub(super) generation: u64,
}

impl Pool {
    /// A pool without workers.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let load = Load::new(&config);
        let wanted = load.to_begin_with(&config);
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
            drain: false,
            has_drained: false,
            fork_gate: Duration::ZERO,
            forks_fail_since: None,
            backoff: Backoff::default(),
            departures: Departures::default(),
            calm_until: Duration::ZERO,
            load,
            round: Round::default(),
            look: None,
            looked_at: Duration::ZERO,
            covered: Duration::ZERO,
            forks: 0,
            recycled: 0,
            reloads: 0,
            failed_reloads: 0,
            had_ready: false,
            failing: false,
            emptied: false,
            last_call: Duration::ZERO,
            asked: None,
            config,
        }
    }

    /// When a tick is due, if nothing happens before: `None` if never.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        self.asked
    }

    /// What a slot holds.
    #[must_use]
    pub fn state(&self, slot: usize) -> SlotState {
        self.slots.get(slot).map_or(SlotState::Empty, Slot::state)
    }

    /// The most workers that may be wanted.
    #[must_use]
    pub fn most(&self) -> usize {
        self.load.most
    }

    /// Whether it goes to its end, or has come there.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        matches!(self.phase, Phase::Stopping | Phase::Stopped)
    }

    /// How many workers there are, and what became of the others.
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
                SlotState::Retiring | SlotState::Gone => counts.retiring += 1,
            }
            counts.processes += 1;
            if let Some(serving) = slot.serving() {
                counts.idle += usize::from(serving.watch.is_idle());
                counts.busy += usize::from(serving.watch.is_running());
            }
        }
        counts
    }

    /// Whether a reload is going on.
    #[must_use]
    pub fn is_reloading(&self) -> bool {
        self.reload != Reload::None || self.rolled.count > 0
    }

    /// Takes in one event, and appends what is to be done about it, in this order.
    ///
    /// Only a tick weighs one worker against the others: a thousand reports in one turn cost no
    /// more than a thousand times one.
    pub fn handle(&mut self, now: Duration, event: Event, actions: &mut Vec<Action>) {
        let now = now.max(self.last_call);
        self.forgive_absence(now);
        self.last_call = now;
        // Until the tick that follows.
        self.asked = Some(now);
        match event {
            Event::Start => self.start(),
            Event::Reload => self.reload_requested(actions),
            Event::Stop => self.stop(now, actions),
            Event::Resize(resize) => self.resize(resize, actions),
            Event::Worker { slot, report } => self.report(now, slot, report, actions),
            Event::Connection => self.connection(now),
            Event::Unanswered => self.drain = self.phase == Phase::Stopping && !self.has_drained,
            Event::Tick => self.tick(now, actions),
        }
        if self.phase == Phase::Stopping
            && !self.drain
            && self.slots.iter().all(|slot| matches!(slot, Slot::Empty))
        {
            self.phase = Phase::Stopped;
            self.look = None;
            self.asked = None;
            actions.push(Action::Stopped);
        }
    }

    fn tick(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let look = self.look.filter(|at| *at <= now);
        if let Some(at) = look {
            self.looked_at = now;
            self.covered = at;
        }
        self.timers(now, actions);
        if look.is_some() {
            self.size(now, actions);
        }
        self.balance(now, actions);
        self.measure(now, actions);
        self.fork(now, actions);
        self.alarm(now, actions);
        self.pass_offers_on(now, actions);
        self.look = [
            self.request_look(now),
            self.sizing_look(now),
            self.offers_look(now),
        ]
        .into_iter()
        .flatten()
        .min();
        self.plan_watch(now);
        self.asked = self.agenda(now);
    }

    /// When there is something to do.
    fn agenda(&self, now: Duration) -> Option<Duration> {
        // While a deadline runs, a tick per second shows whether the manager was away.
        let deadlines = self.slots.iter().filter_map(Slot::deadline);
        deadlines
            .map(|at| at.min(now + HEARTBEAT))
            .chain(self.slots.iter().filter_map(|held| self.end_of_life(held)))
            .chain(self.next_fork(now).map(|(at, _)| at.max(now)))
            .chain(self.measure_at(now))
            .chain(self.alarm_at(now))
            .chain(self.look)
            .min()
    }

    /// All the time since the last call does not count against the workers when the manager was
    /// away for a part of it: nobody knows which part, and they may have been stopped with it.
    fn forgive_absence(&mut self, now: Duration) {
        if self.asked.is_some_and(|asked| now > asked + LATE) {
            let away = now.saturating_sub(self.last_call);
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
        self.reload = Reload::None;
        self.rolled = Rolled::default();
        actions.push(Action::Notice(Notice::Stopping));
        self.drain = self.load.connection_waits() && self.census().alive() == 0;
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

    /// Tells the world when no worker is ready though some are wanted, and when one is again.
    fn alarm(&mut self, now: Duration, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Running => {}
            Phase::New | Phase::Stopping | Phase::Stopped => return,
        }
        let empty = self.is_empty();
        // On demand it is usual that nobody is ready yet when a connection comes.
        let expected = match self.config.sizing {
            Sizing::OnDemand { .. } => !self.failing,
            Sizing::Static | Sizing::Dynamic { .. } => {
                !self.failing && (!self.had_ready || now < self.calm_until)
            }
        };
        if empty && self.wanted > 0 && !expected && !self.emptied {
            self.emptied = true;
            actions.push(Action::Notice(Notice::Emptied));
        } else if !empty && self.emptied {
            self.emptied = false;
            actions.push(Action::Notice(Notice::Recovered));
        }
    }

    /// When it becomes an emergency that nobody is ready.
    fn alarm_at(&self, now: Duration) -> Option<Duration> {
        let is_near = self.phase == Phase::Running && !self.emptied && now < self.calm_until;
        (is_near && self.is_empty()).then_some(self.calm_until)
    }

    /// Whether no worker is ready.
    fn is_empty(&self) -> bool {
        !self.slots.iter().any(|slot| matches!(slot, Slot::Ready(_)))
    }

    /// Tells whoever is in the slot to leave.
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
                // It does not wait, so no wake-up would reach it.
                let watch = Watch::new(now, Activity::Leaving);
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
                // Until it is looked at again: a wake-up too many does nothing, and one too few may
                // leave it waiting. One that says nothing does not know what a wake-up is.
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
            Slot::Retiring(retirement) if last && !retirement.last => {
                retirement.last = true;
                actions.push(Action::Retire { slot, last });
            }
            Slot::Retiring(_) | Slot::Empty | Slot::Killed { .. } => {}
        }
    }
}
