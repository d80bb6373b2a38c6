//! How many workers are wanted, by load.

use std::cmp::Reverse;
use std::time::Duration;

use super::machine::{Phase, Pool};
use super::recycling::whole_second;
use super::slot::Slot;
use super::{Action, Config, Notice, Sizing};

/// Between the looks at a pool that grows.
const GROWTH_PAUSE: Duration = Duration::from_millis(50);

/// The listening socket is left alone for this long after a look: traffic must not wake the
/// manager for each request.
const LISTENER_PAUSE: Duration = Duration::from_millis(100);

/// Between two workers that are retired because too many wait.
const SHRINK_PAUSE: Duration = Duration::from_secs(1);

/// Growth doubles from look to look, up to this many workers at once.
const MAX_STEP: usize = 32;

/// After so many looks in a row at which a connection waited and no worker had moved, those that
/// are said to wait for one do not count.
const UNSERVED: u32 = 3;

/// What is known of the load.
#[derive(Debug)]
pub(super) struct Load {
    /// The most workers that may be wanted.
    pub(super) most: usize,
    /// How many workers the next growth adds.
    step: usize,
    /// A connection was seen to wait since the last look.
    connection: bool,
    /// A worker has done something since the last look.
    moved: bool,
    /// Looks in a row at which a connection waited and nobody had moved.
    unserved: u32,
    /// When to look what became of the last change.
    follow_up: Option<Duration>,
    /// No idle worker is retired before this time.
    shrink_at: Duration,
    /// From when on the listening socket is worth a look.
    watch: Option<Duration>,
}

impl Load {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            most: config.processes.max(1),
            step: 1,
            connection: false,
            moved: false,
            unserved: 0,
            follow_up: None,
            shrink_at: Duration::ZERO,
            watch: None,
        }
    }

    pub(super) fn to_begin_with(&self, config: &Config) -> usize {
        match config.sizing {
            Sizing::Static => self.most,
            Sizing::Dynamic {
                start, min_spare, ..
            } => {
                let wanted = if start == 0 { min_spare } else { start };
                wanted.clamp(1, self.most)
            }
            Sizing::OnDemand { .. } => 0,
        }
    }

    /// A worker has become ready. It may have found a request waiting.
    pub(super) fn somebody_came(&mut self, now: Duration, sizing: Sizing) {
        self.moved = true;
        match sizing {
            Sizing::Dynamic { .. } => self.look_by(now + GROWTH_PAUSE),
            Sizing::Static | Sizing::OnDemand { .. } => {}
        }
    }

    /// A look at a worker found something new.
    pub(super) fn somebody_moved(&mut self) {
        self.moved = true;
    }

    /// A worker died young: growth begins anew with a small step.
    pub(super) fn somebody_failed(&mut self) {
        self.step = 1;
    }

    /// A connection was seen to wait since the last look.
    pub(super) fn connection_waits(&self) -> bool {
        self.connection
    }

    fn look_by(&mut self, at: Duration) {
        self.follow_up = Some(self.follow_up.map_or(at, |follow_up| follow_up.min(at)));
    }
}

/// The ready workers, as last looked at.
#[derive(Clone, Copy)]
struct Tally {
    ready: usize,
    idle: usize,
    /// Capacity that was asked for and is not there yet.
    coming: usize,
}

impl Pool {
    /// From when on the listening socket is to be polled for [`Event::Connection`]: `None` if not.
    ///
    /// [`Event::Connection`]: super::Event::Connection
    #[must_use]
    pub fn watch_listener(&self) -> Option<Duration> {
        self.load.watch
    }

    pub(super) fn connection(&mut self, now: Duration) {
        match (self.phase, self.config.sizing) {
            (Phase::Running, Sizing::Dynamic { .. } | Sizing::OnDemand { .. }) => {
                self.load.connection = true;
                self.look = Some(self.look.map_or(now, |look| look.min(now)));
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

    /// Decides anew how many workers are wanted. All of them have just been looked at.
    pub(super) fn size(&mut self, now: Duration, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Running => {}
            Phase::New | Phase::Stopping | Phase::Stopped => return,
        }
        let connection = std::mem::take(&mut self.load.connection);
        let moved = std::mem::take(&mut self.load.moved);
        self.load.unserved = match connection && !moved {
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
                // More of what never becomes ready is no capacity.
                if spare < least && tally.ready > 0 && self.wanted < self.load.most {
                    self.grow(now, least - spare, actions);
                    return;
                }
                if tally.idle >= least {
                    self.load.step = 1;
                }
                if connection && self.wanted < self.load.most {
                    // Whoever takes it may not have done so yet.
                    self.load.look_by(now + LISTENER_PAUSE);
                }
                // In a reload some are idle that are about to go.
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
        self.load.look_by(now + GROWTH_PAUSE);
        self.grown += count;
        self.want(self.wanted + count, actions);
    }

    pub(super) fn want(&mut self, wanted: usize, actions: &mut Vec<Action>) {
        let up = wanted > self.wanted;
        self.wanted = wanted;
        actions.push(Action::Notice(Notice::Sized { wanted, up }));
    }

    /// Wants up to so many workers less, and none as long as some are not ready: those that this look has found waiting, and that have
    /// waited since such a time.
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
                Some(why) => self.send_for_limit(now, slot, why, actions),
                None => self.retire(now, slot, false, actions),
            }
        }
    }

    /// When to look at the load.
    pub(super) fn sizing_look(&self, now: Duration) -> Option<Duration> {
        match self.phase {
            Phase::Running => {}
            Phase::New | Phase::Stopping | Phase::Stopped => return None,
        }
        let regular = self.regular_look(now);
        let change = match self.config.sizing {
            Sizing::Static => return None,
            Sizing::Dynamic {
                min_spare,
                max_spare,
                ..
            } => {
                // Only with so many workers can too many be idle.
                let tally = self.tally();
                (tally.ready > max_spare.max(min_spare).max(1)).then_some(regular)
            }
            Sizing::OnDemand { idle_timeout } => idle_timeout.and_then(|limit| {
                let serving = self.slots.iter().filter_map(Slot::serving);
                let looks = serving.map(|held| match held.watch.idle_since() {
                    Some(since) if idle_end(since, limit) > self.covered => {
                        idle_end(since, limit).max(now)
                    }
                    Some(_) | None => regular,
                });
                looks.min()
            }),
        };
        let follow_up = self.load.follow_up.map(|at| at.max(now));
        [change, follow_up].into_iter().flatten().min()
    }

    /// Settles from when on the listening socket is watched.
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
                    Some(self.looked_at.saturating_add(GROWTH_PAUSE))
                } else {
                    Some(self.looked_at.saturating_add(LISTENER_PAUSE))
                }
            }
        };
    }
}

/// When a worker that waits since then has waited for long enough.
fn idle_end(since: Duration, limit: Duration) -> Duration {
    whole_second(since.saturating_add(limit))
}
