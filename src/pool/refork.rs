//! Copies of a warm worker.
//!
//! A worker that has served a number of requests has loaded and compiled what it needs. Copies of it
//! share that memory, which copies of a process that has served nothing do not. So a warm worker forks
//! a *warm template*, which is the source of workers instead of the cold one, until a reload asks for
//! workers that begin anew.
//!
//! | state | event | next state, actions |
//! |---|---|---|
//! | None | a worker is warm | Forking: refork |
//! | Forking | ready | Warm: replace the workers |
//! | Forking | ended, or not ready in time | None, a pause: end it, report |
//! | Forking | a reload | None: end it |
//! | Warm | a reload | Cooling: new workers are copies of the cold source |
//! | Warm | ended, or its copies fail | None, a pause: end it, report |
//! | Cooling | the reload is done | None: end it |
//! | Cooling | the reload has failed | Warm |
//! | any but Warm | stop | None: end it |

use std::time::Duration;

use super::answer::Recycle;
use super::machine::Pool;
use super::phase::Starts;
use super::program_event::{ProgramAction, ReforkFailure, TemplateId};
use super::slot::Slot;

/// The pause after the first failure. Each one in a row doubles it, so a reason that stays does not
/// fill the log.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(3_600);

/// How long a worker may take to fork if there is no `start_timeout`: first it answers its request.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    None,
    Forking {
        new: TemplateId,
        by: Duration,
    },
    Warm {
        template: TemplateId,
        since: Duration,
    },
    Cooling(TemplateId),
}

/// The warm template beside the cold source.
#[derive(Debug)]
pub(super) struct Refork {
    state: State,
    not_before: Duration,
    /// After the next failure.
    pause: Duration,
}

impl Refork {
    pub(super) const fn new() -> Self {
        Self {
            state: State::None,
            not_before: Duration::ZERO,
            pause: FIRST_PAUSE,
        }
    }

    /// The template that workers are copies of.
    pub(super) const fn source(&self) -> Option<TemplateId> {
        match self.state {
            State::Warm { template, .. } => Some(template),
            State::None | State::Forking { .. } | State::Cooling(_) => None,
        }
    }

    pub(super) fn is_at_rest(&self) -> bool {
        self.state == State::None && self.not_before == Duration::ZERO
    }

    pub(super) fn is_wanted(&self, now: Duration) -> bool {
        self.state == State::None && self.not_before <= now
    }

    pub(super) fn deadline(&self) -> Option<Duration> {
        match self.state {
            State::Forking { by, .. } => Some(by),
            // A worker that is warm already does not notify the manager again.
            State::None if self.not_before > Duration::ZERO => Some(self.not_before),
            State::None | State::Warm { .. } | State::Cooling(_) => None,
        }
    }

    /// A worker is asked to fork this template.
    pub(super) fn begin(&mut self, now: Duration, new: TemplateId, limit: Option<Duration>) {
        let by = now.saturating_add(limit.unwrap_or(PATIENCE));
        self.state = State::Forking { new, by };
    }

    /// True: this template is the source from here on.
    pub(super) fn ready(&mut self, now: Duration, template: TemplateId) -> bool {
        let is_new = matches!(self.state, State::Forking { new, .. } if new == template);
        if is_new {
            let since = now;
            self.state = State::Warm { template, since };
        }
        is_new
    }

    /// True: this template was part of it.
    pub(super) fn ended(
        &mut self,
        now: Duration,
        template: TemplateId,
        actions: &mut Vec<ProgramAction>,
    ) -> bool {
        match self.state {
            State::Forking { new: one, .. } | State::Warm { template: one, .. }
                if one == template =>
            {
                self.fail(now, one, ReforkFailure::Ended, actions);
            }
            State::Cooling(warm) if warm == template => self.state = State::None,
            State::None | State::Forking { .. } | State::Warm { .. } | State::Cooling(_) => {
                return false;
            }
        }
        true
    }

    fn fail(
        &mut self,
        now: Duration,
        template: TemplateId,
        why: ReforkFailure,
        actions: &mut Vec<ProgramAction>,
    ) {
        match self.state {
            // It had no lasting reason.
            State::Warm { since, .. } if now.saturating_sub(since) > LONGEST_PAUSE => {
                self.pause = FIRST_PAUSE;
            }
            State::None | State::Forking { .. } | State::Warm { .. } | State::Cooling(_) => {}
        }
        let pause = self.pause;
        self.pause = (2 * pause).min(LONGEST_PAUSE);
        self.state = State::None;
        self.not_before = now.saturating_add(pause);
        actions.push(ProgramAction::End(template));
        actions.push(ProgramAction::ReportReforkFailed {
            template,
            why,
            pause,
        });
    }

    /// A reload is in progress: what made earlier attempts fail may be over with it.
    pub(super) const fn forget_failures(&mut self) {
        self.not_before = Duration::ZERO;
        self.pause = FIRST_PAUSE;
    }

    /// Time has passed. `are_failing`: workers fail before they are ready.
    pub(super) fn tick(
        &mut self,
        now: Duration,
        is_rolling: bool,
        are_failing: bool,
        actions: &mut Vec<ProgramAction>,
    ) {
        match self.state {
            State::Forking { new, by } if by <= now => {
                self.fail(now, new, ReforkFailure::TimedOut, actions);
            }
            State::Forking { .. } | State::Warm { .. } if is_rolling => self.cool(actions),
            State::Warm { template: warm, .. } if are_failing => {
                self.fail(now, warm, ReforkFailure::CopiesFail, actions);
            }
            State::Cooling(warm) if !is_rolling => {
                self.state = State::None;
                actions.push(ProgramAction::End(warm));
            }
            State::None | State::Forking { .. } | State::Warm { .. } | State::Cooling(_) => {}
        }
        if self.not_before <= now {
            self.not_before = Duration::ZERO;
        }
    }

    /// A reload begins.
    pub(super) fn cool(&mut self, actions: &mut Vec<ProgramAction>) {
        match self.state {
            State::Forking { new, .. } => {
                self.state = State::None;
                actions.push(ProgramAction::End(new));
            }
            State::Warm { template, .. } => self.state = State::Cooling(template),
            State::None | State::Cooling(_) => {}
        }
    }

    /// The reload has failed: the workers of before continue.
    pub(super) fn reload_failed(&mut self, now: Duration) {
        if let State::Cooling(template) = self.state {
            let since = now;
            self.state = State::Warm { template, since };
        }
    }

    /// The pool stops. The source stays, for the last worker.
    pub(super) fn stop(&mut self, actions: &mut Vec<ProgramAction>) {
        match self.state {
            State::Forking { new: template, .. } | State::Cooling(template) => {
                self.state = State::None;
                actions.push(ProgramAction::End(template));
            }
            State::None | State::Warm { .. } => {}
        }
    }
}

/// What a refork needs of the pool.
impl Pool {
    /// The worker that has served the most requests, if it is at least this number. One that waits for a
    /// request can fork at once.
    #[must_use]
    pub fn warm_worker(&self, requests: u64) -> Option<usize> {
        let workers = self.slots.iter().enumerate();
        let warm = workers.filter_map(|(slot, held)| {
            let serving = held.serving()?;
            let is_warm = serving.requests >= requests && serving.due.is_none();
            is_warm.then_some((serving.watch.is_idle(), serving.requests, slot))
        });
        warm.max().map(|(.., slot)| slot)
    }

    /// Whether a worker has failed before it was ready, and none has become ready since.
    #[must_use]
    pub fn are_starts_failing(&self) -> bool {
        self.starts == Starts::NeverReady
    }

    /// From here on forks are copies of a warm worker: all other workers are replaced, one after the
    /// other.
    pub(super) fn reforked(&mut self, now: Duration) {
        self.reforked_at = now;
        for slot in 0..self.slots.len() {
            self.mark_due(slot, Recycle::Refork);
        }
    }

    /// Why a worker that was forked at this time is due when it becomes ready.
    pub(super) fn due_since_refork(&self, born: Duration) -> Option<Recycle> {
        (born < self.reforked_at).then_some(Recycle::Refork)
    }

    /// The warm template has ended: the others need no replacement.
    pub(super) fn refork_ended(&mut self) {
        self.reforked_at = Duration::ZERO;
        for slot in &mut self.slots {
            if let Slot::Ready(serving) = slot {
                serving.due.take_if(|why| *why == Recycle::Refork);
            }
        }
    }
}
