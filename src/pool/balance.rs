//! How the pool gets the wanted number of workers: forks, reloads, and which workers to retire.

use std::cmp::Reverse;
use std::time::Duration;

use super::answer::{Action, Cause, Notice};
use super::backoff::{Departures, MATURE};
use super::config::Sizing;
use super::machine::Pool;
use super::phase::{LastWorker, Phase, Reload};
use super::slot::{Reason, Slot};

/// The workers that count towards the pool, by generation and readiness.
#[derive(Debug, Default)]
pub(super) struct Census {
    old_ready: usize,
    old_starting: usize,
    new_ready: usize,
    new_starting: usize,
    /// Ready ones that reached a limit.
    due: usize,
    /// All processes, retiring ones included.
    processes: usize,
}

impl Census {
    fn old(&self) -> usize {
        self.old_ready + self.old_starting
    }

    fn fresh(&self) -> usize {
        self.new_ready + self.new_starting
    }

    fn ready(&self) -> usize {
        self.old_ready + self.new_ready
    }

    pub(super) fn alive(&self) -> usize {
        self.old() + self.fresh()
    }
}

impl Pool {
    pub(super) fn census(&self) -> Census {
        let mut census = Census::default();
        for slot in &self.slots {
            census.processes += usize::from(!matches!(slot, Slot::Empty));
            census.due += usize::from(slot.serving().is_some_and(|held| held.due.is_some()));
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

    pub(super) fn surge(&self) -> usize {
        self.config.surge(self.wanted)
    }

    /// How many workers there may be while no reload is in progress: those wanted, and the
    /// replacements of those that reached a limit.
    fn room(&self, census: &Census) -> usize {
        self.wanted + census.due.min(self.recycling_room())
    }

    /// Workers still to be forked.
    fn deficit(&self, census: &Census) -> usize {
        match self.reload {
            Reload::None => self.room(census).saturating_sub(census.alive()),
            Reload::Rolling { .. } => (self.wanted + self.surge())
                .saturating_sub(census.alive())
                .min(self.wanted.saturating_sub(census.fresh())),
        }
    }

    pub(super) fn begin_reload(&mut self, actions: &mut Vec<Action>) {
        self.generation += 1;
        self.reload = Reload::Rolling { again: false };
        // The first failure in the new generation ends the reload: no back-off is needed.
        self.first = 0;
        self.grown = 0;
        self.owed = 0;
        self.departed = 0;
        self.forks_fail_since = None;
        actions.push(Action::Notice(Notice::ReloadBegun));
    }

    /// Whether a reload is in progress.
    #[must_use]
    pub fn is_reloading(&self) -> bool {
        self.reload != Reload::None || self.rolled.count > 0
    }

    /// The old generation continues. New workers that are ready stay: each of them has replaced an old
    /// one, or may soon have to.
    pub(super) fn fail_reload(
        &mut self,
        now: Duration,
        slot: usize,
        cause: Cause,
        again: bool,
        actions: &mut Vec<Action>,
    ) {
        self.failed_reloads += 1;
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

    /// Retires surplus workers, ends a reload that is done, and adjusts the forks still to be made.
    pub(super) fn balance(&mut self, now: Duration, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Running => {}
            Phase::New | Phase::Stopping | Phase::Stopped => return,
        }
        let census = self.census();
        match self.reload {
            Reload::None => {
                // A worker that reached a limit is retired only when there are enough ready ones
                // without it.
                let covered = census.ready().saturating_sub(self.wanted);
                let count = covered.min(census.due).min(self.recycling_room());
                self.recycle(now, count, actions);
                let census = self.census();
                let surplus = census.alive().saturating_sub(self.room(&census));
                self.retire_surplus(now, surplus, true, |_| true, actions);
            }
            Reload::Rolling { again } => {
                // An old worker is retired only when there are enough ready ones without it.
                let covered = (census.old() + census.new_ready).saturating_sub(self.wanted);
                let current = self.generation;
                self.retire_surplus(
                    now,
                    covered.min(census.old()),
                    false,
                    |g| g != current,
                    actions,
                );
                // Fewer may be wanted now than when the new ones were forked.
                let kept = census.alive() - covered.min(census.old());
                let excess = kept.saturating_sub(self.wanted + self.surge());
                let surplus = census.fresh().saturating_sub(self.wanted);
                let surplus = surplus.max(excess.min(census.new_starting));
                self.retire_surplus(now, surplus, false, |g| g == current, actions);
                if covered >= census.old() && census.new_ready >= self.wanted {
                    self.reload = Reload::None;
                    self.rolled.count += 1;
                    self.rolled.generation = self.generation;
                    let old = self.older_than(self.generation);
                    if old > 0 {
                        actions.push(Action::Notice(Notice::ReloadRolled { old }));
                    }
                    if again {
                        self.begin_reload(actions);
                    }
                }
            }
        }
        self.end_reloads(actions);
        let deficit = self.deficit(&self.census());
        self.first = self.first.min(deficit);
        let rest = deficit - self.first;
        // With `ondemand` a replacement is made when a connection needs it, and counts then.
        let most = match self.config.sizing {
            Sizing::Static | Sizing::Dynamic { .. } => rest,
            Sizing::OnDemand { .. } => self.load.most,
        };
        self.owed = self.owed.min(most);
        self.departed = self.departed.min(most - self.owed);
        let replacements = self.owed + self.departed;
        self.grown = self.grown.min(rest.saturating_sub(replacements));
    }

    /// A reload is done when every worker of an older generation has exited. Another one can begin
    /// before that: then both are done together.
    fn end_reloads(&mut self, actions: &mut Vec<Action>) {
        if self.reload != Reload::None
            || self.rolled.count == 0
            || self.older_than(self.rolled.generation) > 0
        {
            return;
        }
        for _ in 0..std::mem::take(&mut self.rolled.count) {
            self.reloads += 1;
            actions.push(Action::Notice(Notice::ReloadDone));
        }
    }

    /// Processes of older generations, in any state.
    fn older_than(&self, generation: u64) -> usize {
        let generations = self.slots.iter().filter_map(Slot::generation);
        generations.filter(|held| *held < generation).count()
    }

    /// Retires this many workers of these generations: first those that are not ready, then the
    /// oldest generation, then those that reached a limit, then, if `idle_first`, idle ones, then
    /// the highest slots. In a reload all old ones are retired anyway, so `idle_first` is not set.
    fn retire_surplus(
        &mut self,
        now: Duration,
        count: usize,
        idle_first: bool,
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
                let (generation, ready) = held.member()?;
                let serving = held.serving();
                let due = serving.is_some_and(|held| held.due.is_some());
                let idle = idle_first && serving.is_some_and(|held| held.watch.is_idle());
                eligible(generation).then_some((ready, generation, !due, !idle, Reverse(slot)))
            })
            .collect();
        candidates.sort_unstable();
        for (_, _, _, _, Reverse(slot)) in candidates.into_iter().take(count) {
            self.retire(now, slot, false, actions);
        }
    }

    /// The next fork and the earliest time for it, if one is to be made and only has to wait for that
    /// time.
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
        // Several reloads in a row, with workers that take long to exit, must not fill the machine:
        // beyond two full pools a reload waits for them.
        if census.alive() >= self.wanted && census.processes >= 2 * self.wanted + self.surge() {
            return None;
        }
        // Growth, or the replacement of a worker that still serves.
        let missing = self.wanted.saturating_sub(census.alive());
        let replacement_ahead = self.reload == Reload::None && missing <= self.owed;
        let extra = self.grown > 0 || replacement_ahead;
        let gate = self.fork_gate.max(now);
        if self.first > 0 {
            Some((gate, Reason::First))
        } else if self.departed > 0 && deficit > self.owed {
            Some((gate.max(self.departures.earliest(now)), Reason::Departure))
        } else if deficit > self.owed
            && !(extra && self.backoff.is_spent())
            && !(replacement_ahead && self.grown == 0 && self.all_due_are_young(now))
        {
            let growth = self.grown > 0;
            let reason = if growth { Reason::Growth } else { Reason::Free };
            Some((gate, reason))
        } else {
            Some((gate.max(self.backoff.earliest(now)), Reason::Replacement))
        }
    }

    /// Workers that reach a limit as soon as they serve count like ones that die: their report may be
    /// false, and without a limit there would be no end of forks.
    fn all_due_are_young(&self, now: Duration) -> bool {
        const YOUNG: Duration = Duration::from_secs(1);
        let serving = self.slots.iter().filter_map(Slot::serving);
        let mut due = serving.filter(|held| held.due.is_some());
        due.all(|held| now < held.born + YOUNG)
    }

    pub(super) fn fork(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.last_worker == LastWorker::Due {
            self.last_worker = LastWorker::Forked;
            // It is asked to exit immediately, and answers what waits before it exits.
            self.ask_for_fork(Reason::Free, true, actions);
            return;
        }
        self.check_proof(now);
        let Some((at, reason)) = self.next_fork(now) else {
            return;
        };
        if at > now {
            if reason == Reason::Replacement && self.owed > 0 && self.backoff.announce() {
                actions.push(Action::Notice(Notice::BackingOff { pause: at - now }));
            }
            if reason == Reason::Departure
                && self.departures.earliest(now) > now
                && self.departures.announce(now)
            {
                let limit = Departures::LIMIT;
                actions.push(Action::Notice(Notice::DeparturesLimited { limit }));
            }
            return;
        }
        match reason {
            Reason::First => {
                self.first -= 1;
                self.backoff.first_fork(now);
                self.fork_gate = now + self.config.start_delay;
            }
            Reason::Growth => {
                self.grown -= 1;
                self.backoff.first_fork(now);
            }
            Reason::Replacement => {
                self.owed = self.owed.saturating_sub(1);
                self.backoff.replacement(now);
            }
            Reason::Departure => {
                self.departed -= 1;
                self.departures.replacement(now);
            }
            Reason::Free => {}
        }
        self.ask_for_fork(reason, false, actions);
    }

    fn ask_for_fork(&mut self, reason: Reason, doomed: bool, actions: &mut Vec<Action>) {
        let forking = Slot::Forking {
            generation: self.generation,
            reason,
            doomed,
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
        self.set_request_limit(slot);
        actions.push(Action::Fork { slot });
    }

    /// A mature worker among those forked since the deaths began ends the back-off. There is no timer
    /// for this: it is checked before each fork.
    fn check_proof(&mut self, now: Duration) {
        let proved = self.slots.iter().any(|slot| match slot {
            Slot::Ready(held) => held.born + MATURE <= now && self.backoff.is_proof(held.born),
            Slot::Empty
            | Slot::Forking { .. }
            | Slot::Starting { .. }
            | Slot::Retiring(_)
            | Slot::Killed { .. } => false,
        });
        if proved {
            self.backoff.refill();
        }
    }
}
