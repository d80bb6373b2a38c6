//! What the pool does to have as many workers as wanted: forks, reloads, and whom to let go.

use std::time::Duration;

use super::backoff::MATURE;
use super::machine::{Phase, Pool, Reload};
use super::slot::{Reason, Slot};
use super::{Action, Cause, Notice};

/// The workers that count, by generation and readiness.
#[derive(Debug, Default)]
struct Census {
    old_ready: usize,
    old_starting: usize,
    new_ready: usize,
    new_starting: usize,
    /// Processes of any kind, those on their way out too.
    processes: usize,
}

impl Census {
    fn old(&self) -> usize {
        self.old_ready + self.old_starting
    }

    fn fresh(&self) -> usize {
        self.new_ready + self.new_starting
    }

    fn alive(&self) -> usize {
        self.old() + self.fresh()
    }
}

impl Pool {
    fn census(&self) -> Census {
        let mut census = Census::default();
        for slot in &self.slots {
            census.processes += usize::from(!matches!(slot, Slot::Empty));
            match slot.member() {
                Some((generation, true)) if generation == self.generation => census.new_ready += 1,
                Some((generation, false)) if generation == self.generation => {
                    census.new_starting += 1;
                }
                Some((_, true)) => census.old_ready += 1,
                Some((_, false)) => census.old_starting += 1,
                None => {}
            }
        }
        census
    }

    fn surge(&self) -> usize {
        match self.config.reload_surge {
            0 => (self.wanted / 4).max(1),
            surge => surge,
        }
    }

    /// Workers still to be forked.
    fn deficit(&self, census: &Census) -> usize {
        match self.reload {
            Reload::None => self.wanted.saturating_sub(census.alive()),
            Reload::Rolling { .. } => (self.wanted + self.surge())
                .saturating_sub(census.alive())
                .min(self.wanted.saturating_sub(census.fresh())),
        }
    }

    pub(super) fn begin_reload(&mut self, actions: &mut Vec<Action>) {
        self.generation += 1;
        self.reload = Reload::Rolling { again: false };
        // The new generation is on trial, and its first failure ends it: no back-off is needed.
        self.first = 0;
        self.owed = 0;
        actions.push(Action::Notice(Notice::ReloadBegun));
    }

    /// The old generation goes on. New workers that are ready stay: each of them has, or may soon
    /// be needed to have, taken an old one's place.
    pub(super) fn fail_reload(
        &mut self,
        now: Duration,
        slot: usize,
        cause: Cause,
        again: bool,
        actions: &mut Vec<Action>,
    ) {
        actions.push(Action::Notice(Notice::ReloadFailed { slot, cause }));
        for slot in 0..self.slots.len() {
            if self.slots[slot].member() == Some((self.generation, false)) {
                self.retire(now, slot, false, actions);
            }
        }
        self.reload = Reload::None;
        self.owed = self.deficit(&self.census());
        if again {
            self.begin_reload(actions);
        }
    }

    /// Lets workers go that are too many, ends a reload that is done, and settles the accounts.
    pub(super) fn balance(&mut self, now: Duration, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Running => {}
            Phase::New | Phase::Stopping | Phase::Stopped => return,
        }
        let census = self.census();
        match self.reload {
            Reload::None => {
                let surplus = census.alive().saturating_sub(self.wanted);
                self.let_go(now, surplus, |_| true, actions);
            }
            Reload::Rolling { again } => {
                // An old worker goes only when the ready ones without it are as many as wanted.
                let covered = (census.old() + census.new_ready).saturating_sub(self.wanted);
                let current = self.generation;
                self.let_go(now, covered.min(census.old()), |g| g != current, actions);
                let surplus = census.fresh().saturating_sub(self.wanted);
                self.let_go(now, surplus, |g| g == current, actions);
                if covered >= census.old() && census.new_ready >= self.wanted {
                    self.reload = Reload::None;
                    actions.push(Action::Notice(Notice::ReloadDone));
                    if again {
                        self.begin_reload(actions);
                    }
                }
            }
        }
        let deficit = self.deficit(&self.census());
        self.first = self.first.min(deficit);
        self.owed = self.owed.min(deficit - self.first);
    }

    /// Retires this many workers of these generations: first those that are not ready, then the
    /// oldest generation, then the highest slots.
    fn let_go(
        &mut self,
        now: Duration,
        count: usize,
        eligible: impl Fn(u64) -> bool,
        actions: &mut Vec<Action>,
    ) {
        if count == 0 {
            return;
        }
        let mut candidates: Vec<_> = self
            .slots
            .iter()
            .enumerate()
            .filter_map(|(slot, held)| {
                held.member()
                    .filter(|(generation, _)| eligible(*generation))
                    .map(|(generation, ready)| (ready, generation, std::cmp::Reverse(slot)))
            })
            .collect();
        candidates.sort_unstable();
        for (_, _, slot) in candidates.into_iter().take(count) {
            self.retire(now, slot.0, false, actions);
        }
    }

    /// The next fork and the earliest time for it, if one is to be made and nothing but time stands
    /// in its way.
    pub(super) fn next_fork(&self, now: Duration) -> Option<(Duration, Reason)> {
        match self.phase {
            Phase::Running => {}
            Phase::New | Phase::Stopping | Phase::Stopped => return None,
        }
        if self
            .slots
            .iter()
            .any(|slot| matches!(slot, Slot::Forking { .. }))
        {
            return None;
        }
        let census = self.census();
        let deficit = self.deficit(&census);
        if deficit == 0 || census.processes >= self.config.slots {
            return None;
        }
        // One reload after the other, with workers that take long to leave, must not fill the
        // machine: beyond two full pools a reload waits for them.
        if census.alive() >= self.wanted && census.processes >= 2 * self.wanted + self.surge() {
            return None;
        }
        let gate = self.fork_gate.max(now);
        if self.first > 0 {
            Some((gate, Reason::First))
        } else if deficit > self.owed {
            Some((gate, Reason::Free))
        } else {
            Some((gate.max(self.backoff.earliest(now)), Reason::Replacement))
        }
    }

    pub(super) fn fork(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.look_for_proof(now);
        let Some((at, reason)) = self.next_fork(now) else {
            return;
        };
        if at > now {
            if reason == Reason::Replacement && self.backoff.announce() {
                actions.push(Action::Notice(Notice::BackingOff { pause: at - now }));
            }
            return;
        }
        match reason {
            Reason::First => {
                self.first -= 1;
                self.backoff.first_fork(now);
                self.fork_gate = now + self.config.start_delay;
            }
            Reason::Replacement => {
                self.owed -= 1;
                self.backoff.replacement(now);
            }
            Reason::Free => {}
        }
        let forking = Slot::Forking {
            generation: self.generation,
            reason,
            doomed: false,
        };
        let free = self
            .slots
            .iter()
            .position(|slot| matches!(slot, Slot::Empty));
        let slot = match free {
            Some(slot) => {
                self.slots[slot] = forking;
                slot
            }
            None => {
                self.slots.push(forking);
                self.slots.len() - 1
            }
        };
        actions.push(Action::Fork { slot });
    }

    /// A mature worker among those forked since the deaths began ends the back-off. There is no
    /// timer for it: only a fork asks.
    fn look_for_proof(&mut self, now: Duration) {
        let proved = self.slots.iter().any(|slot| match slot {
            Slot::Ready { born, .. } => *born + MATURE <= now && self.backoff.is_proof(*born),
            Slot::Empty
            | Slot::Forking { .. }
            | Slot::Starting { .. }
            | Slot::Retiring(_)
            | Slot::Killed => false,
        });
        if proved {
            self.backoff.refill();
        }
    }
}
