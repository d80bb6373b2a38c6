//! What each report does to the worker in a slot.

use std::time::Duration;

use super::backoff::MATURE;
use super::machine::{Phase, Pool, Reload};
use super::slot::{Proof, Reason, Serving, Slot};
use super::watch::Watch;
use super::{Action, Activity, Cause, Exit, Notice, Recycle, Report, Sizing};

/// After a failed fork nothing is forked for this long.
const FORK_PAUSE: Duration = Duration::from_secs(1);

/// For so long it is no emergency that all workers have exited by themselves.
const CALM: Duration = Duration::from_secs(1);

/// How long a reload tries to fork when a worker may take for ever to be ready.
const FORK_PATIENCE: Duration = Duration::from_secs(60);

impl Pool {
    pub(super) fn report(
        &mut self,
        now: Duration,
        slot: usize,
        report: Report,
        actions: &mut Vec<Action>,
    ) {
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
                let limit = self.config.start_timeout;
                *held = Slot::Starting {
                    generation,
                    born: now,
                    deadline: limit.map(|limit| now.saturating_add(limit)),
                    proof: Proof::Pending,
                };
                self.forks_fail_since = None;
                actions.push(Action::Notice(Notice::Started { slot }));
                if doomed {
                    self.retire(now, slot, self.phase != Phase::Running, actions);
                }
            }
            (&mut Slot::Forking { reason, doomed, .. }, Report::ForkFailed { errno }) => {
                *held = Slot::Empty;
                self.fork_failed(now, slot, (!doomed).then_some(reason), errno, actions);
            }
            (Slot::Starting { proof, .. }, Report::Executed) => {
                if let (Proof::Pending, Some(delay)) = (*proof, self.config.ready_delay) {
                    *proof = Proof::Alive(now.saturating_add(delay));
                }
            }
            // The two may be observed in either order.
            (Slot::Starting { proof, .. }, Report::Announced) => *proof = Proof::Accept,
            (Slot::Starting { .. }, Report::Ready) => {
                self.become_ready(now, slot, Activity::Idle, actions);
            }
            (&mut Slot::Starting { generation, .. }, Report::Exited(exit)) => {
                *held = Slot::Empty;
                actions.push(Action::Notice(Notice::Exited { slot, exit }));
                let cause = Cause::NeverReady(exit);
                self.died_young(now, slot, generation, Some(cause), actions);
            }
            (Slot::Ready(serving), Report::Exited(exit)) => {
                let serving = serving.clone();
                *held = Slot::Empty;
                actions.push(Action::Notice(Notice::Exited { slot, exit }));
                if serving.served && exit == Exit::Code(0) {
                    self.departed(now, &serving, actions);
                } else {
                    let cause = exit.is_failure().then_some(Cause::DiedYoung(exit));
                    self.lost(now, slot, &serving, cause, actions);
                }
            }
            (Slot::Retiring(_) | Slot::Killed { .. }, Report::Exited(exit)) => {
                *held = Slot::Empty;
                actions.push(Action::Notice(Notice::Exited { slot, exit }));
            }
            (Slot::Ready(serving), Report::Observed(observation)) => {
                if serving.watch.observe(now, observation) {
                    self.load.somebody_moved();
                }
                let limit = self.request_limit(slot);
                if limit > 0 && observation.requests >= limit {
                    self.mark_due(slot, Recycle::Requests);
                }
            }
            (Slot::Retiring(retirement), Report::Observed(observation)) => {
                retirement.start_by = None;
                retirement.watch.observe(now, observation);
                retirement.idle = retirement.watch.is_idle();
            }
            (Slot::Ready(serving), Report::Served) => serving.served = true,
            (Slot::Ready(_), Report::Memory { bytes }) => {
                if self.config.max_memory > 0 && bytes > self.config.max_memory {
                    self.mark_due(slot, Recycle::Memory);
                }
            }
            // Late news of a worker that is beyond it, or news of nobody.
            (
                Slot::Empty,
                Report::Forked
                | Report::ForkFailed { .. }
                | Report::Executed
                | Report::Announced
                | Report::Ready
                | Report::Observed(_)
                | Report::Served
                | Report::Memory { .. }
                | Report::Exited(_),
            )
            | (
                Slot::Forking { .. },
                Report::Executed
                | Report::Announced
                | Report::Ready
                | Report::Observed(_)
                | Report::Served
                | Report::Memory { .. }
                | Report::Exited(_),
            )
            | (
                Slot::Starting { .. },
                Report::Forked
                | Report::ForkFailed { .. }
                | Report::Observed(_)
                | Report::Served
                | Report::Memory { .. },
            )
            | (
                Slot::Ready(_),
                Report::Forked
                | Report::ForkFailed { .. }
                | Report::Executed
                | Report::Announced
                | Report::Ready,
            )
            | (
                Slot::Retiring(_),
                Report::Forked
                | Report::ForkFailed { .. }
                | Report::Executed
                | Report::Announced
                | Report::Ready
                | Report::Served
                | Report::Memory { .. },
            )
            | (
                Slot::Killed { .. },
                Report::Forked
                | Report::ForkFailed { .. }
                | Report::Executed
                | Report::Announced
                | Report::Ready
                | Report::Observed(_)
                | Report::Served
                | Report::Memory { .. },
            ) => {}
        }
    }

    /// A worker that was starting serves.
    pub(super) fn become_ready(
        &mut self,
        now: Duration,
        slot: usize,
        activity: Activity,
        actions: &mut Vec<Action>,
    ) {
        let Some(held) = self.slots.get_mut(slot) else {
            return;
        };
        let &mut Slot::Starting {
            generation, born, ..
        } = held
        else {
            return;
        };
        *held = Slot::Ready(Serving {
            generation,
            born,
            ready_at: now,
            due: None,
            served: false,
            watch: Watch::new(now, activity),
        });
        self.failing = false;
        self.had_ready = true;
        self.load.somebody_came(now, self.config.sizing);
        actions.push(Action::Notice(Notice::Ready { slot }));
    }

    /// A fork failed; `reason` tells why it was wanted, if it still is.
    fn fork_failed(
        &mut self,
        now: Duration,
        slot: usize,
        reason: Option<Reason>,
        errno: i32,
        actions: &mut Vec<Action>,
    ) {
        match reason {
            Some(Reason::First) => self.first += 1,
            Some(Reason::Growth) => self.grown += 1,
            Some(Reason::Replacement) => self.owed += 1,
            Some(Reason::Departure) => self.departed += 1,
            Some(Reason::Free) | None => {}
        }
        self.failing = true;
        self.fork_gate = self.fork_gate.max(now + FORK_PAUSE);
        actions.push(Action::Notice(Notice::ForkFailed {
            errno,
            pause: FORK_PAUSE,
        }));
        let since = *self.forks_fail_since.get_or_insert(now);
        let patience = self.config.start_timeout.unwrap_or(FORK_PATIENCE);
        match self.reload {
            Reload::Rolling { again } if now >= since.saturating_add(patience) => {
                self.fail_reload(now, slot, Cause::CannotFork { errno }, again, actions);
            }
            Reload::Rolling { .. } | Reload::None => {}
        }
    }

    /// A worker that served has exited by itself, and says that all is well. Programs do so after some kinds of requests,
    /// or after so many of them: it is not held against those that come after it.
    fn departed(&mut self, now: Duration, serving: &Serving, actions: &mut Vec<Action>) {
        self.calm_until = now + CALM;
        if now < serving.born + MATURE {
            self.departed += 1;
        } else if self.backoff.is_proof(serving.born) {
            self.backoff.refill();
        }
        self.do_without(actions);
    }

    /// A worker that served is gone, and nobody had told it to leave.
    pub(super) fn lost(
        &mut self,
        now: Duration,
        slot: usize,
        serving: &Serving,
        cause: Option<Cause>,
        actions: &mut Vec<Action>,
    ) {
        if now < serving.born + MATURE {
            self.died_young(now, slot, serving.generation, cause, actions);
            return;
        }
        if self.backoff.is_proof(serving.born) {
            self.backoff.refill();
        }
        self.do_without(actions);
    }

    /// A worker that nobody told to leave ended young. Its replacement counts towards the back-off,
    /// and if it was of the generation that a reload brings in, that reload may be over.
    pub(super) fn died_young(
        &mut self,
        now: Duration,
        slot: usize,
        generation: u64,
        cause: Option<Cause>,
        actions: &mut Vec<Action>,
    ) {
        self.owed += 1;
        self.failing = true;
        self.load.somebody_failed();
        self.do_without(actions);
        match (self.reload, cause) {
            (Reload::Rolling { again }, Some(cause)) if generation == self.generation => {
                self.fail_reload(now, slot, cause, again, actions);
            }
            (Reload::Rolling { .. } | Reload::None, Some(_) | None) => {}
        }
    }

    /// On demand a lost worker is missed only by a connection that waits, and that will tell.
    pub(super) fn do_without(&mut self, actions: &mut Vec<Action>) {
        match self.config.sizing {
            Sizing::OnDemand { .. } => {
                if self.census().alive() < self.wanted {
                    self.want(self.wanted - 1, actions);
                }
            }
            Sizing::Static | Sizing::Dynamic { .. } => {}
        }
    }
}
