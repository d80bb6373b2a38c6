//! Workers that reached a limit, and the measurement of their memory.

use std::time::Duration;

use super::answer::{Action, Notice, Recycle};
use super::machine::Pool;
use super::phase::Phase;
use super::round::{Round, whole_second};
use super::slot::{Slot, Successor};

/// The memory of workers is measured at each full second, together with other work that is not
/// urgent. The kernel may have to walk through a worker's page tables: a thousand of them in one turn
/// would delay signals.
const MEASURES_PER_TICK: usize = 8;

impl Pool {
    /// The number of requests after which the worker in a slot is due for replacement; 0: never. It is
    /// chosen when its fork is requested.
    #[must_use]
    pub fn request_limit(&self, slot: usize) -> u64 {
        self.limits.get(slot).copied().unwrap_or(0)
    }

    /// Chooses the request limit of a worker that is about to be forked.
    pub(super) fn set_request_limit(&mut self, slot: usize) {
        self.forks = self.forks.wrapping_add(1);
        if self.limits.len() <= slot {
            self.limits.resize(slot + 1, 0);
        }
        let limit = match self.config.max_requests {
            0 => 0,
            limit => {
                let choice = u128::from(scramble(self.config.seed ^ scramble(self.forks)));
                let range = u128::from(self.config.max_requests_jitter) + 1;
                let extra = u64::try_from((choice * range) >> 64).unwrap_or(0);
                limit.saturating_add(extra)
            }
        };
        if let Some(held) = self.limits.get_mut(slot) {
            *held = limit;
        }
    }

    /// Marks a ready worker as due; the first limit that it reached is the one reported.
    pub(super) fn mark_due(&mut self, slot: usize, why: Recycle) {
        if let Some(Slot::Ready(serving)) = self.slots.get_mut(slot) {
            serving.due.get_or_insert(why);
        }
    }

    /// When the worker reaches `max_lifetime`.
    pub(super) fn end_of_life(&self, slot: &Slot) -> Option<Duration> {
        let limit = self.config.max_lifetime?;
        let serving = slot.serving().filter(|serving| serving.due.is_none())?;
        Some(whole_second(serving.born.saturating_add(limit)))
    }

    /// How many more workers may retire because of a limit.
    pub(super) fn recycling_room(&self) -> usize {
        let retiring = self.slots.iter().filter(|slot| match slot {
            Slot::Retiring(retirement) => retirement.successor == Successor::Replacement,
            Slot::Empty
            | Slot::Forking { .. }
            | Slot::Starting { .. }
            | Slot::Ready(_)
            | Slot::Killed { .. } => false,
        });
        self.surge().saturating_sub(retiring.count())
    }

    /// Retires up to this many of the workers that are due, the oldest first.
    pub(super) fn recycle(&mut self, now: Duration, count: usize, actions: &mut Vec<Action>) {
        if count == 0 {
            return;
        }
        let due = |(slot, held): (usize, &Slot)| {
            let serving = held.serving()?;
            let why = serving.due?;
            Some((serving.born, slot, why))
        };
        let mut due: Vec<_> = self.slots.iter().enumerate().filter_map(due).collect();
        due.sort_unstable_by_key(|&(born, slot, _)| (born, slot));
        for (_, slot, why) in due.into_iter().take(count) {
            self.retire_for_limit(now, slot, why, actions);
            if let Some(Slot::Retiring(retirement)) = self.slots.get_mut(slot) {
                retirement.successor = Successor::Replacement;
            }
        }
    }

    /// Retires a worker that is due, whether or not it has a replacement.
    pub(super) fn retire_for_limit(
        &mut self,
        now: Duration,
        slot: usize,
        why: Recycle,
        actions: &mut Vec<Action>,
    ) {
        actions.push(Action::Notice(Notice::Recycling { slot, why }));
        self.retire(now, slot, false, actions);
        self.recycled += 1;
    }

    /// Whether this worker's memory matters.
    fn is_measured(&self, slot: &Slot) -> bool {
        self.config.max_memory > 0
            && self.phase == Phase::Running
            && slot.serving().is_some_and(|serving| serving.due.is_none())
    }

    /// When a worker is to be measured next.
    pub(super) fn measure_at(&self, now: Duration) -> Option<Duration> {
        if self.config.max_memory == 0 {
            return None;
        }
        let next = self.round.done + 1;
        let turns = self.slots.iter().enumerate().filter_map(|(slot, held)| {
            let passed = slot < self.round.slot;
            self.is_measured(held)
                .then(|| Duration::from_secs(next + u64::from(passed)))
        });
        turns.min().map(|at| at.max(now))
    }

    /// Requests the memory of those that were not measured since the full second.
    pub(super) fn measure(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.config.max_memory == 0 {
            return;
        }
        if now.as_secs() > self.round.done + 1 {
            // No worker is measured twice in a row, however late this is.
            self.round = Round {
                done: now.as_secs() - 1,
                slot: 0,
            };
        }
        if self.round.done >= now.as_secs() {
            return;
        }
        let mut left = MEASURES_PER_TICK;
        let second = Duration::from_secs(self.round.done + 1);
        for slot in self.round.slot..self.slots.len() {
            let held = self.slots.get(slot).filter(|held| self.is_measured(held));
            // A worker that was not ready then is measured next time.
            if held
                .and_then(Slot::serving)
                .is_some_and(|held| held.ready_at <= second)
            {
                if left == 0 {
                    self.round.slot = slot;
                    return;
                }
                left -= 1;
                actions.push(Action::Measure { slot });
            }
        }
        self.round = Round {
            done: self.round.done + 1,
            slot: 0,
        };
    }
}

/// SplitMix64.
fn scramble(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
