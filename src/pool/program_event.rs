//! What happens to the processes that workers are copies of, and what is to be done.

use std::time::Duration;

/// A template. Numbers are never reused.
pub type TemplateId = u64;

/// What the workers are copies of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The manager itself.
    Manager,
    /// A template that is ready.
    Template(TemplateId),
    /// The template has ended, and there is no other one yet: no worker can be forked.
    Lost,
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramEvent {
    /// A reload of the program is requested.
    Requested,
    /// A template is ready to fork workers.
    Ready(TemplateId),
    /// A template has ended, or could not be started.
    Ended(TemplateId),
    /// The pool's reload has failed.
    PoolFailed,
    /// The pool stops.
    Stop,
    /// The worker in this slot is warm, and [`ProgramReload::wants_refork`](super::ProgramReload::wants_refork).
    Warm {
        /// The slot.
        slot: usize,
    },
    /// Time has passed; what the pool does.
    Tick {
        /// A reload of the pool is in progress.
        is_rolling: bool,
        /// A template still forks a worker, which belongs to the generation before.
        is_forking: bool,
        /// [`Pool::are_starts_failing`](super::Pool::are_starts_failing)
        are_failing: bool,
    },
}

/// Why a refork has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReforkFailure {
    /// The template has ended, or could not be forked.
    Ended,
    /// The worker has not forked it in time.
    TimedOut,
    /// The workers that it forks fail.
    CopiesFail,
}

/// What is to be done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramAction {
    /// Start this template.
    Start(TemplateId),
    /// Ask the worker in this slot to fork this template.
    Refork {
        /// The template.
        template: TemplateId,
        /// The slot.
        slot: usize,
    },
    /// New workers are copies of this template: replace the other ones.
    Reforked(TemplateId),
    /// Report that a template of a warm worker could not be made, or has ended, and how long there is no
    /// other one.
    ReportReforkFailed {
        /// The template.
        template: TemplateId,
        /// What happened.
        why: ReforkFailure,
        /// The time until the next attempt.
        pause: Duration,
    },
    /// End this template. It may have ended already.
    End(TemplateId),
    /// Begin a reload of the pool.
    ReloadPool,
    /// The pool's reload is done: what the new program has set applies.
    Adopt,
    /// It has failed: what was set before applies again.
    Revert,
    /// End the reload of the pool as failed.
    FailPool,
    /// Report that the reload has failed, because this template did.
    ReportFailed {
        /// The template.
        template: TemplateId,
        /// It was not ready in time.
        timed_out: bool,
    },
    /// Report that the source of workers has ended, and is started again.
    ReportLost(TemplateId),
    /// Report that the attempt to start it again has failed, and when the next one is made.
    ReportStillLost {
        /// The template.
        template: TemplateId,
        /// The time until the next attempt.
        pause: Duration,
    },
}
