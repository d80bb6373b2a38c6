//! Deadlines of workers and requests, and when to poll for them.

use std::time::Duration;

use super::answer::{Action, Cause, Notice, Overdue, Recycle};
use super::event::Activity;
use super::machine::Pool;
use super::phase::Starts;
use super::slot::{Proof, Slot};
use super::watch::Missed;

/// Polls for new requests are at least this far apart.
const POLL_INTERVAL_MIN: Duration = Duration::from_millis(10);

impl Pool {
    /// When the pages of all workers are to be polled next, and reported before the tick; `None`: only
    /// when something else wakes the manager.
    #[must_use]
    pub fn poll_at(&self) -> Option<Duration> {
        self.next_poll
    }

    /// Acts on every deadline that has passed.
    pub(super) fn timers(&mut self, now: Duration, actions: &mut Vec<Action>) {
        for slot in 0..self.slots.len() {
            self.request_deadlines(now, slot, actions);
            let life_is_over = self.slots.get(slot).and_then(|held| self.end_of_life(held));
            if life_is_over.is_some_and(|at| at <= now) {
                self.mark_due(slot, Recycle::Lifetime);
            }
            match &mut self.slots[slot] {
                &mut Slot::Starting {
                    deadline,
                    proof: Proof::Alive(at),
                    ..
                } if at <= now && deadline.is_none_or(|deadline| at <= deadline) => {
                    self.become_ready(now, slot, Activity::Silent, actions);
                }
                &mut Slot::Starting {
                    generation,
                    deadline: Some(deadline),
                    ..
                } if deadline <= now => {
                    self.kill(slot, Overdue::Start, false, actions);
                    self.starts = Starts::NeverReady;
                    self.died_young(now, slot, generation, Some(Cause::TimedOut), actions);
                }
                Slot::Retiring(retirement) if retirement.kill_at.is_some_and(|at| at <= now) => {
                    let rescue = retirement.watch.is_running();
                    self.kill(slot, Overdue::Exit, rescue, actions);
                }
                Slot::Retiring(retirement) if retirement.start_by.is_some_and(|at| at <= now) => {
                    self.kill(slot, Overdue::Start, false, actions);
                }
                Slot::Retiring(retirement) if retirement.wake_at <= now => {
                    retirement.woken(now);
                    if retirement.idle {
                        actions.push(Action::Wake { slot });
                    }
                }
                Slot::Retiring(_)
                | Slot::Starting { .. }
                | Slot::Empty
                | Slot::Forking { .. }
                | Slot::Ready(_)
                | Slot::Killed { .. } => {}
            }
        }
    }

    fn request_deadlines(&mut self, now: Duration, slot: usize, actions: &mut Vec<Action>) {
        while let Some(watch) = self.slots.get_mut(slot).and_then(Slot::watch_mut) {
            let Some(missed) = watch.missed(now, &self.config) else {
                return;
            };
            match missed {
                Missed::Slow { age } => actions.push(Action::Notice(Notice::Slow { slot, age })),
                Missed::Timeout { age } => {
                    actions.push(Action::Notice(Notice::Overdue { slot, age }));
                    actions.push(Action::GiveNotice { slot });
                }
                Missed::Grace => {
                    let served = self.slots.get(slot).and_then(Slot::serving).is_some();
                    self.kill(slot, Overdue::Request, true, actions);
                    // However young, it did not die on its own. A back-end that does not respond must not
                    // look like workers that cannot start, and delay their replacements.
                    if served {
                        self.lower_demand(actions);
                    }
                }
            }
        }
    }

    fn kill(&mut self, slot: usize, overdue: Overdue, rescue: bool, actions: &mut Vec<Action>) {
        let generation = self.slots[slot].generation().unwrap_or_default();
        self.slots[slot] = Slot::Killed { generation };
        actions.push(Action::Notice(Notice::Killing { slot, overdue }));
        actions.push(Action::Kill { slot, rescue });
    }

    /// The next poll if no deadline is near: at the next full second, together with other work that is
    /// not urgent.
    pub(super) fn regular_poll(&self, now: Duration) -> Duration {
        Duration::from_secs(self.polled_at.as_secs() + 1).max(now)
    }

    /// When to poll for requests: as a deadline passes, and once a second, or once per shortest limit if
    /// that is less, because workers do not report when a request begins. So every request is seen
    /// before its limit.
    pub(super) fn request_poll(&self, now: Duration) -> Option<Duration> {
        let limits = self.config.request_timeout.into_iter();
        let shortest = limits.chain(self.config.slow_request).min()?;
        let apart = shortest.max(POLL_INTERVAL_MIN);
        let regular = self.regular_poll(now).min(self.polled_at + apart).max(now);
        let watches = self.slots.iter().filter_map(Slot::watch);
        let polls = watches.map(|watch| match watch.next(&self.config) {
            Some(at) if at > now => at.min(regular),
            // No poll since then saw the request. A worker with an invalid page is polled again together
            // with all others.
            Some(at) if at <= self.covered => regular,
            Some(_) => now,
            None => regular,
        });
        polls.min()
    }
}
