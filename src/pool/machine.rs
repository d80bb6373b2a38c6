//! The state machine: what each event does in each state.

use std::time::Duration;

use super::backoff::{Backoff, MATURE};
use super::slot::{Reason, Retirement, Slot, SlotState};
use super::{Action, Cause, Config, Counts, Event, Notice, Overdue, Report, Resize};

/// A tick that comes later than this after the deadline says that the manager was not there: it
/// was stopped, or the machine slept.
const LATE: Duration = Duration::from_secs(1);

/// The longest sleep while a deadline runs.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// After a failed fork nothing is forked for this long.
const FORK_PAUSE: Duration = Duration::from_secs(1);

/// The manager's mind.
#[derive(Debug)]
pub struct Pool {
    pub(super) config: Config,
    pub(super) phase: Phase,
    pub(super) wanted: usize,
    /// Grows with use up to [`Config::slots`].
    pub(super) slots: Vec<Slot>,
    /// The generation that new workers belong to.
    pub(super) generation: u64,
    pub(super) reload: Reload,
    /// First forks still to be made.
    pub(super) first: usize,
    /// Replacements, still to be made, of workers that died young.
    pub(super) owed: usize,
    /// Nothing is forked before this time.
    pub(super) fork_gate: Duration,
    pub(super) backoff: Backoff,
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

impl Pool {
    /// A pool without workers.
    #[must_use]
    pub fn new(config: Config) -> Self {
        let wanted = config.processes.max(1);
        Self {
            phase: Phase::New,
            wanted,
            slots: Vec::new(),
            generation: 0,
            reload: Reload::None,
            first: wanted,
            owed: 0,
            fork_gate: Duration::ZERO,
            backoff: Backoff::default(),
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

    /// How many workers there are.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts {
            wanted: self.wanted,
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
        }
        counts
    }

    /// Whether a reload is going on.
    #[must_use]
    pub fn is_reloading(&self) -> bool {
        self.reload != Reload::None
    }

    /// Takes in one event, and appends what is to be done about it, in this order.
    pub fn handle(&mut self, now: Duration, event: Event, actions: &mut Vec<Action>) {
        let now = now.max(self.last_call);
        self.forgive_absence(now);
        match event {
            Event::Start => self.start(),
            Event::Reload => self.reload_requested(actions),
            Event::Stop => self.stop(now, actions),
            Event::Resize(resize) => self.resize(resize, actions),
            Event::Worker { slot, report } => self.report(now, slot, report, actions),
            Event::Tick => self.timers(now, actions),
        }
        self.balance(now, actions);
        if event == Event::Tick {
            self.fork(now, actions);
        }
        if self.phase == Phase::Stopping
            && self.slots.iter().all(|slot| matches!(slot, Slot::Empty))
        {
            self.phase = Phase::Stopped;
            actions.push(Action::Stopped);
        }
        self.last_call = now;
        // While a deadline runs, a tick per second shows whether the manager was away.
        self.asked = self
            .slots
            .iter()
            .filter_map(Slot::deadline)
            .map(|at| at.min(now + HEARTBEAT))
            .chain(self.next_fork(now).map(|(at, _)| at.max(now)))
            .min();
    }

    /// All the time since the last call does not count against the workers when the manager was
    /// away for a part of it: nobody knows which part, and they may have been stopped with it.
    fn forgive_absence(&mut self, now: Duration) {
        if self.asked.is_some_and(|asked| now > asked + LATE) {
            let away = now.saturating_sub(self.last_call);
            self.slots.iter_mut().for_each(|slot| slot.postpone(away));
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
        actions.push(Action::Notice(Notice::Stopping));
        for slot in 0..self.slots.len() {
            self.retire(now, slot, true, actions);
        }
    }

    fn resize(&mut self, resize: Resize, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Running => {}
            Phase::New | Phase::Stopping | Phase::Stopped => return,
        }
        let wanted = match resize {
            Resize::Up => (self.wanted + 1).min(self.config.max_processes),
            Resize::Down => (self.wanted - 1).max(1),
        };
        if wanted != self.wanted {
            self.wanted = wanted;
            actions.push(Action::Notice(Notice::Resized { wanted }));
        }
    }

    fn report(&mut self, now: Duration, slot: usize, report: Report, actions: &mut Vec<Action>) {
        let Some(held) = self.slots.get_mut(slot) else {
            return;
        };
        match (&mut *held, report) {
            (
                &mut Slot::Forking {
                    generation, doomed, ..
                },
                Report::Forked,
            ) => {
                *held = Slot::Starting {
                    generation,
                    born: now,
                    deadline: self
                        .config
                        .start_timeout
                        .map(|limit| now.saturating_add(limit)),
                };
                actions.push(Action::Notice(Notice::Started { slot }));
                if doomed {
                    self.retire(now, slot, self.phase != Phase::Running, actions);
                }
            }
            (&mut Slot::Forking { reason, doomed, .. }, Report::ForkFailed { errno }) => {
                *held = Slot::Empty;
                match reason {
                    Reason::First if !doomed => self.first += 1,
                    Reason::Replacement if !doomed => self.owed += 1,
                    Reason::First | Reason::Replacement | Reason::Free => {}
                }
                self.fork_gate = self.fork_gate.max(now + FORK_PAUSE);
                actions.push(Action::Notice(Notice::ForkFailed {
                    errno,
                    pause: FORK_PAUSE,
                }));
            }
            (
                &mut Slot::Starting {
                    generation, born, ..
                },
                Report::Ready,
            ) => {
                *held = Slot::Ready { generation, born };
                actions.push(Action::Notice(Notice::Ready { slot }));
            }
            (&mut Slot::Starting { generation, .. }, Report::Exited(exit)) => {
                *held = Slot::Empty;
                actions.push(Action::Notice(Notice::Exited { slot, exit }));
                self.died_young(
                    now,
                    slot,
                    generation,
                    Some(Cause::NeverReady(exit)),
                    actions,
                );
            }
            (&mut Slot::Ready { generation, born }, Report::Exited(exit)) => {
                *held = Slot::Empty;
                actions.push(Action::Notice(Notice::Exited { slot, exit }));
                if now >= born + MATURE {
                    if self.backoff.is_proof(born) {
                        self.backoff.refill();
                    }
                } else {
                    let cause = exit.is_failure().then_some(Cause::DiedYoung(exit));
                    self.died_young(now, slot, generation, cause, actions);
                }
            }
            (Slot::Retiring(_) | Slot::Killed, Report::Exited(exit)) => {
                *held = Slot::Empty;
                actions.push(Action::Notice(Notice::Exited { slot, exit }));
            }
            (Slot::Retiring(retirement), Report::Activity { idle }) => retirement.idle = idle,
            // Late news of a worker that is beyond it, or news of nobody.
            (
                Slot::Empty,
                Report::Forked
                | Report::ForkFailed { .. }
                | Report::Ready
                | Report::Activity { .. }
                | Report::Exited(_),
            )
            | (Slot::Forking { .. }, Report::Ready | Report::Activity { .. } | Report::Exited(_))
            | (
                Slot::Starting { .. },
                Report::Forked | Report::ForkFailed { .. } | Report::Activity { .. },
            )
            | (
                Slot::Ready { .. } | Slot::Killed,
                Report::Forked
                | Report::ForkFailed { .. }
                | Report::Ready
                | Report::Activity { .. },
            )
            | (Slot::Retiring(_), Report::Forked | Report::ForkFailed { .. } | Report::Ready) => {}
        }
    }

    /// A worker that nobody told to leave ended young. Its replacement counts towards the back-off,
    /// and if it was of the generation that a reload brings in, that reload may be over.
    fn died_young(
        &mut self,
        now: Duration,
        slot: usize,
        generation: u64,
        cause: Option<Cause>,
        actions: &mut Vec<Action>,
    ) {
        self.owed += 1;
        match (self.reload, cause) {
            (Reload::Rolling { again }, Some(cause)) if generation == self.generation => {
                self.fail_reload(now, slot, cause, again, actions);
            }
            (Reload::Rolling { .. } | Reload::None, Some(_) | None) => {}
        }
    }

    fn timers(&mut self, now: Duration, actions: &mut Vec<Action>) {
        for slot in 0..self.slots.len() {
            match &mut self.slots[slot] {
                &mut Slot::Starting {
                    generation,
                    deadline: Some(deadline),
                    ..
                } if deadline <= now => {
                    self.kill(slot, Overdue::Start, actions);
                    self.died_young(now, slot, generation, Some(Cause::TimedOut), actions);
                }
                Slot::Retiring(Retirement {
                    kill_at: Some(kill_at),
                    ..
                }) if *kill_at <= now => self.kill(slot, Overdue::Leave, actions),
                Slot::Retiring(retirement) if retirement.kick_at <= now => {
                    retirement.kicked(now);
                    if retirement.idle {
                        actions.push(Action::Kick { slot });
                    }
                }
                Slot::Retiring(_)
                | Slot::Starting { .. }
                | Slot::Empty
                | Slot::Forking { .. }
                | Slot::Ready { .. }
                | Slot::Killed => {}
            }
        }
    }

    fn kill(&mut self, slot: usize, overdue: Overdue, actions: &mut Vec<Action>) {
        self.slots[slot] = Slot::Killed;
        actions.push(Action::Notice(Notice::Killing { slot, overdue }));
        actions.push(Action::Kill { slot });
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
                *held = Slot::Retiring(Retirement::new(now, last, false, limit));
                actions.push(Action::Retire { slot, last });
                actions.push(Action::Terminate { slot });
            }
            held @ Slot::Ready { .. } => {
                *held = Slot::Retiring(Retirement::new(now, last, true, limit));
                actions.push(Action::Retire { slot, last });
                actions.push(Action::Kick { slot });
            }
            Slot::Retiring(retirement) if last && !retirement.last => {
                retirement.last = true;
                actions.push(Action::Retire { slot, last });
            }
            Slot::Retiring(_) | Slot::Empty | Slot::Killed => {}
        }
    }
}
