//! The effect of each event on the worker in a slot.

use std::time::Duration;

use super::answer::{Action, Cause, Notice, Recycle};
use super::backoff::MATURE;
use super::config::Sizing;
use super::event::{Activity, Exit, WorkerEvent};
use super::machine::Pool;
use super::phase::{Phase, Reload, Starts};
use super::slot::{Proof, Reason, Serving, Slot};
use super::watch::Watch;

/// After a failed fork nothing is forked for this long.
const FORK_PAUSE: Duration = Duration::from_secs(1);

/// For this long it is not an emergency if all workers have exited on their own.
const CALM: Duration = Duration::from_secs(1);

/// How long a reload tries to fork if there is no `start_timeout`.
const FORK_PATIENCE: Duration = Duration::from_secs(60);

impl Pool {
    pub(super) fn worker_event(
        &mut self,
        now: Duration,
        slot: usize,
        event: WorkerEvent,
        actions: &mut Vec<Action>,
    ) {
        let Some(held) = self.slots.get_mut(slot) else {
            return;
        };
        match (&mut *held, event) {
            (
                &mut Slot::Forking {
                    generation, doomed, ..
                },
                WorkerEvent::Forked,
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
            (&mut Slot::Forking { reason, doomed, .. }, WorkerEvent::ForkFailed { errno }) => {
                *held = Slot::Empty;
                self.fork_failed(now, slot, (!doomed).then_some(reason), errno, actions);
            }
            (Slot::Starting { proof, .. }, WorkerEvent::Executed) => {
                if let (Proof::Pending, Some(delay)) = (*proof, self.config.ready_delay) {
                    *proof = Proof::Alive(now.saturating_add(delay));
                }
            }
            // This one and Executed may be observed in either order.
            (Slot::Starting { proof, .. }, WorkerEvent::Announced) => *proof = Proof::Accept,
            (Slot::Starting { .. }, WorkerEvent::Ready) => {
                self.become_ready(now, slot, Activity::Idle, actions);
            }
            (&mut Slot::Starting { generation, .. }, WorkerEvent::Exited(exit)) => {
                *held = Slot::Empty;
                actions.push(Action::Notice(Notice::Exited { slot, exit }));
                let cause = Cause::NeverReady(exit);
                self.starts = Starts::NeverReady;
                self.died_young(now, slot, generation, Some(cause), actions);
            }
            (Slot::Ready(serving), WorkerEvent::Exited(exit)) => {
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
            (Slot::Retiring(_) | Slot::Killed { .. }, WorkerEvent::Exited(exit)) => {
                *held = Slot::Empty;
                actions.push(Action::Notice(Notice::Exited { slot, exit }));
            }
            (Slot::Ready(serving), WorkerEvent::Observed(observation)) => {
                if serving.watch.observe(now, observation) {
                    self.load.worker_changed();
                }
                serving.requests = observation.requests;
                let limit = self.request_limit(slot);
                if limit > 0 && observation.requests >= limit {
                    self.mark_due(slot, Recycle::Requests);
                }
            }
            (Slot::Retiring(retirement), WorkerEvent::Observed(observation)) => {
                retirement.start_by = None;
                retirement.watch.observe(now, observation);
                retirement.idle = retirement.watch.is_idle();
            }
            (Slot::Ready(serving), WorkerEvent::Served) => serving.served = true,
            (Slot::Ready(_), WorkerEvent::Memory { bytes }) => {
                if self.config.max_memory > 0 && bytes > self.config.max_memory {
                    self.mark_due(slot, Recycle::Memory);
                }
            }
            // Late news of a worker in a later state, or of no worker.
            (
                Slot::Empty,
                WorkerEvent::Forked
                | WorkerEvent::ForkFailed { .. }
                | WorkerEvent::Executed
                | WorkerEvent::Announced
                | WorkerEvent::Ready
                | WorkerEvent::Observed(_)
                | WorkerEvent::Served
                | WorkerEvent::Memory { .. }
                | WorkerEvent::Exited(_),
            )
            | (
                Slot::Forking { .. },
                WorkerEvent::Executed
                | WorkerEvent::Announced
                | WorkerEvent::Ready
                | WorkerEvent::Observed(_)
                | WorkerEvent::Served
                | WorkerEvent::Memory { .. }
                | WorkerEvent::Exited(_),
            )
            | (
                Slot::Starting { .. },
                WorkerEvent::Forked
                | WorkerEvent::ForkFailed { .. }
                | WorkerEvent::Observed(_)
                | WorkerEvent::Served
                | WorkerEvent::Memory { .. },
            )
            | (
                Slot::Ready(_),
                WorkerEvent::Forked
                | WorkerEvent::ForkFailed { .. }
                | WorkerEvent::Executed
                | WorkerEvent::Announced
                | WorkerEvent::Ready,
            )
            | (
                Slot::Retiring(_),
                WorkerEvent::Forked
                | WorkerEvent::ForkFailed { .. }
                | WorkerEvent::Executed
                | WorkerEvent::Announced
                | WorkerEvent::Ready
                | WorkerEvent::Served
                | WorkerEvent::Memory { .. },
            )
            | (
                Slot::Killed { .. },
                WorkerEvent::Forked
                | WorkerEvent::ForkFailed { .. }
                | WorkerEvent::Executed
                | WorkerEvent::Announced
                | WorkerEvent::Ready
                | WorkerEvent::Observed(_)
                | WorkerEvent::Served
                | WorkerEvent::Memory { .. },
            ) => {}
        }
    }

    /// A starting worker has become ready.
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
        let due = self.due_since_refork(born);
        self.slots[slot] = Slot::Ready(Serving {
            generation,
            born,
            ready_at: now,
            due,
            served: false,
            requests: 0,
            watch: Watch::new(now, activity),
        });
        self.starts = Starts::Succeed;
        self.had_ready = true;
        self.load.worker_ready(now, self.config.sizing);
        actions.push(Action::Notice(Notice::Ready { slot }));
    }

    /// A fork failed; `reason` is why it was wanted, if it still is.
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
        self.note_failure();
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

    /// A worker that served has exited on its own with status 0. Programs do so after some kinds of
    /// requests, or after a number of them: it does not count as a failure.
    fn departed(&mut self, now: Duration, serving: &Serving, actions: &mut Vec<Action>) {
        self.calm_until = now + CALM;
        if now < serving.born + MATURE {
            self.departed += 1;
        } else if self.backoff.is_proof(serving.born) {
            self.backoff.refill();
        }
        self.lower_demand(actions);
    }

    /// A worker that was ready has exited, and had not been asked to.
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
        self.lower_demand(actions);
    }

    /// A worker that was not asked to exit ended young. Its replacement counts towards the back-off.
    /// If it belonged to the new generation of a reload, that reload may have failed.
    pub(super) fn died_young(
        &mut self,
        now: Duration,
        slot: usize,
        generation: u64,
        cause: Option<Cause>,
        actions: &mut Vec<Action>,
    ) {
        self.owed += 1;
        self.note_failure();
        self.load.worker_failed();
        self.lower_demand(actions);
        match (self.reload, cause) {
            (Reload::Rolling { again }, Some(cause)) if generation == self.generation => {
                self.fail_reload(now, slot, cause, again, actions);
            }
            (Reload::Rolling { .. } | Reload::None, Some(_) | None) => {}
        }
    }

    fn note_failure(&mut self) {
        if self.starts == Starts::Succeed {
            self.starts = Starts::Fail;
        }
    }

    /// With `ondemand`, only a waiting connection needs a replacement, and it will be noticed.
    pub(super) fn lower_demand(&mut self, actions: &mut Vec<Action>) {
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
