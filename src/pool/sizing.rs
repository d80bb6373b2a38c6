//! The number of workers wanted, by load.

use std::cmp::Reverse;
use std::time::Duration;

use super::answer::{Action, Notice};
use super::config::Sizing;
use super::load::GROWTH_PAUSE;
use super::machine::Pool;
use super::phase::Phase;
use super::round::whole_second;
use super::slot::Slot;

/// The listening socket is not watched for this long after a poll: traffic must not wake the manager
/// for each request.
const LISTENER_PAUSE: Duration = Duration::from_millis(100);

/// The time between two workers that are retired because too many are idle.
const SHRINK_PAUSE: Duration = Duration::from_secs(1);

/// Growth doubles from poll to poll, up to this many workers at once.
const MAX_STEP: usize = 32;

/// After this many polls in a row at which a connection waited and no worker had changed its state,
/// workers that report to be idle do not count.
const UNSERVED: u32 = 3;

/// The ready workers, as of the last poll.
#[derive(Clone, Copy)]
struct Tally {
    ready: usize,
    idle: usize,
    /// Workers that are wanted and not ready yet.
    coming: usize,
}

impl Pool {
    /// From when on the listening socket is to be watched for [`Event::Connection`]; `None`: not at all.
    ///
    /// [`Event::Connection`]: super::event::Event::Connection
    #[must_use]
    pub fn watch_listener(&self) -> Option<Duration> {
        self.load.watch
    }

    pub(super) fn connection(&mut self, now: Duration) {
        match (self.phase, self.config.sizing) {
            (Phase::Running, Sizing::Dynamic { .. } | Sizing::OnDemand { .. }) => {
                self.load.connection = true;
                self.next_poll = Some(self.next_poll.map_or(now, |look| look.min(now)));
            }
            (Phase::New | Phase::Stopping | Phase::Stopped, _) | (_, Sizing::Static) => {}
        }
    }

    fn tally(&self) -> Tally {
        let serving = self.slots.iter().filter_map(Slot::serving);
        let (ready, idle) = serving.fold((0, 0), |(ready, idle), held| {
            (ready + 1, idle + usize::from(held.watch.is_idle()))
        });
        Tally {
            ready,
            idle,
            coming: self.wanted.saturating_sub(ready),
        }
    }

    /// Decides how many workers are wanted. All of them have just been polled.
    pub(super) fn size(&mut self, now: Duration, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Running => {}
            Phase::New | Phase::Stopping | Phase::Stopped => return,
        }
        let connection = std::mem::take(&mut self.load.connection);
        let changed = std::mem::take(&mut self.load.changed);
        self.load.unserved = match connection && !changed {
            true => self.load.unserved.saturating_add(1),
            false => 0,
        };
        if self.load.follow_up.is_some_and(|at| at <= now) {
            self.load.follow_up = None;
        }
        let tally = self.tally();
        let available = match self.load.unserved >= UNSERVED {
            true => 0,
            false => tally.idle,
        };
        match self.config.sizing {
            Sizing::Static => {}
            Sizing::Dynamic {
                min_spare,
                max_spare,
                ..
            } => {
                let spare = available + tally.coming;
                let least = min_spare.max(1);
                // More workers that never become ready are no capacity.
                if spare < least && tally.ready > 0 && self.wanted < self.load.most {
                    self.grow(now, least - spare, actions);
                    return;
                }
                if tally.idle >= least {
                    self.load.step = 1;
                }
                if connection && self.wanted < self.load.most {
                    // A worker may be about to accept it.
                    self.load.follow_up_by(now + LISTENER_PAUSE);
                }
                // In a reload some idle ones are about to be retired.
                let idle = tally.idle.min(self.wanted);
                if idle > max_spare.max(least) && now >= self.load.shrink_at {
                    self.load.shrink_at = now + SHRINK_PAUSE;
                    if tally.coming > 0 {
                        self.want(self.wanted.saturating_sub(1), actions);
                    } else {
                        self.shrink(now, 1, |_| true, actions);
                    }
                }
            }
            Sizing::OnDemand { idle_timeout } => {
                if !connection {
                    if let Some(limit) = idle_timeout {
                        let all = tally.idle;
                        self.shrink(now, all, |since| idle_end(since, limit) <= now, actions);
                    }
                } else if available + tally.coming == 0 && self.wanted < self.load.most {
                    self.grow(now, 1, actions);
                    return;
                }
                if tally.idle > 0 {
                    self.load.step = 1;
                }
            }
        }
    }

    fn grow(&mut self, now: Duration, least: usize, actions: &mut Vec<Action>) {
        let room = self.load.most.saturating_sub(self.wanted);
        let count = self.load.step.max(least).min(room);
        self.load.step = (self.load.step * 2).min(MAX_STEP);
        self.load.unserved = 0;
        self.load.shrink_at = now + SHRINK_PAUSE;
        self.load.follow_up_by(now + GROWTH_PAUSE);
        self.grown += count;
        self.want(self.wanted + count, actions);
    }

    pub(super) fn want(&mut self, wanted: usize, actions: &mut Vec<Action>) {
        let up = wanted > self.wanted;
        self.wanted = wanted;
        actions.push(Action::Notice(Notice::Sized { wanted, up }));
    }

    /// Wants up to this many workers fewer, unless some are not ready yet. It retires those that this
    /// poll has found idle, and that have been idle since an eligible time.
    fn shrink(
        &mut self,
        now: Duration,
        count: usize,
        eligible: impl Fn(Duration) -> bool,
        actions: &mut Vec<Action>,
    ) {
        if count == 0 || self.tally().coming > 0 {
            return;
        }
        let idle = |(slot, held): (usize, &Slot)| {
            let serving = held.serving()?;
            let since = serving.watch.idle_since()?;
            (serving.watch.seen >= self.covered && eligible(since)).then_some((
                serving.due.is_none(),
                serving.generation,
                Reverse(slot),
                serving.due,
            ))
        };
        let mut idle: Vec<_> = self.slots.iter().enumerate().filter_map(idle).collect();
        idle.sort_unstable_by_key(|&(fresh, generation, slot, _)| (fresh, generation, slot));
        idle.truncate(count);
        if idle.is_empty() {
            return;
        }
        self.want(self.wanted.saturating_sub(idle.len()), actions);
        for (_, _, Reverse(slot), due) in idle {
            match due {
                Some(why) => self.retire_for_limit(now, slot, why, actions),
                None => self.retire(now, slot, false, actions),
            }
        }
    }

    /// When to poll for the load.
    pub(super) fn sizing_poll(&self, now: Duration) -> Option<Duration> {
        match self.phase {
            Phase::Running => {}
            Phase::New | Phase::Stopping | Phase::Stopped => return None,
        }
        let regular = self.regular_poll(now);
        let change = match self.config.sizing {
            Sizing::Static => return None,
            Sizing::Dynamic {
                min_spare,
                max_spare,
                ..
            } => {
                // With fewer workers, too many can never be idle.
                let tally = self.tally();
                (tally.ready > max_spare.max(min_spare).max(1)).then_some(regular)
            }
            Sizing::OnDemand { idle_timeout } => idle_timeout.and_then(|limit| {
                let serving = self.slots.iter().filter_map(Slot::serving);
                let polls = serving.map(|held| match held.watch.idle_since() {
                    Some(since) if idle_end(since, limit) > self.covered => {
                        idle_end(since, limit).max(now)
                    }
                    Some(_) | None => regular,
                });
                polls.min()
            }),
        };
        let follow_up = self.load.follow_up.map(|at| at.max(now));
        [change, follow_up].into_iter().flatten().min()
    }

    /// Decides from when on the listening socket is watched.
    pub(super) fn plan_watch(&mut self, now: Duration) {
        self.load.watch = match (self.phase, self.config.sizing) {
            (Phase::New | Phase::Stopping | Phase::Stopped, _) | (_, Sizing::Static) => None,
            (Phase::Running, Sizing::Dynamic { .. } | Sizing::OnDemand { .. }) => {
                let tally = self.tally();
                if self.wanted >= self.load.most {
                    None
                } else if tally.idle + tally.coming == 0 {
                    Some(now)
                } else if self.load.step > 1 {
                    Some(self.polled_at.saturating_add(GROWTH_PAUSE))
                } else {
                    Some(self.polled_at.saturating_add(LISTENER_PAUSE))
                }
            }
        };
    }
}

/// When a worker that has been idle since then reaches this limit.
fn idle_end(since: Duration, limit: Duration) -> Duration {
    whole_second(since.saturating_add(limit))
}
