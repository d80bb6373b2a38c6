//! What becomes late, and when to look.

use std::time::Duration;

use super::machine::Pool;
use super::slot::{Proof, Slot};
use super::watch::Missed;
use super::{Action, Activity, Cause, Notice, Overdue, Recycle};

/// Looks for requests that began are at least so far apart.
const LOOKS_APART: Duration = Duration::from_millis(10);

impl Pool {
    /// When the pages of all workers are to be looked at next, and what they say handed in, before
    /// the tick: `None` if only when something else wakes the manager.
    #[must_use]
    pub fn look_at(&self) -> Option<Duration> {
        self.look
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
                    self.died_young(now, slot, generation, Some(Cause::TimedOut), actions);
                }
                Slot::Retiring(retirement) if retirement.kill_at.is_some_and(|at| at <= now) => {
                    let rescue = retirement.watch.is_running();
                    self.kill(slot, Overdue::Leave, rescue, actions);
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
        while let Some(watch) = self.slots.get_mut(slot).and_then(Slot::watch_mut)
            && let Some(missed) = watch.missed(now, &self.config)
        {
            match missed {
                Missed::Slow { age } => actions.push(Action::Notice(Notice::Slow { slot, age })),
                Missed::Timeout { age } => {
                    actions.push(Action::Notice(Notice::Overdue { slot, age }));
                    actions.push(Action::GiveNotice { slot });
                }
                Missed::Grace => {
                    let served = self.slots.get(slot).and_then(Slot::serving).is_some();
                    self.kill(slot, Overdue::Request, true, actions);
                    // However young, it did not die of itself: a back-end that stands still must not look
                    // like workers that cannot live, and hold their replacements up.
                    if served {
                        self.do_without(actions);
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

    /// The look after the last one when nothing is near: with the next full second, when whatever
    /// else can wait is done, too.
    pub(super) fn regular_look(&self, now: Duration) -> Duration {
        Duration::from_secs(self.looked_at.as_secs() + 1).max(now)
    }

    /// When to look at the requests: once a second, or once in the shortest limit if that is less, because nothing else
    /// tells of one that began; and as a deadline passes. Whatever began between two looks is then seen before its limit.
    pub(super) fn request_look(&self, now: Duration) -> Option<Duration> {
        let limits = self.config.request_timeout.into_iter();
        let shortest = limits.chain(self.config.slow_request).min()?;
        let apart = shortest.max(LOOKS_APART);
        let regular = self.regular_look(now).min(self.looked_at + apart).max(now);
        let watches = self.slots.iter().filter_map(Slot::watch);
        let looks = watches.map(|watch| match watch.next(&self.config) {
            Some(at) if at > now => at.min(regular),
            // No look since then saw the request. Whoever has no sound page is looked at again
            // with all the others.
            Some(at) if at <= self.covered => regular,
            Some(_) => now,
            None => regular,
        });
        looks.min()
    }
}
