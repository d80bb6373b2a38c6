//! Where a pool and its reloads stand.
//!
//! | phase | event | next phase |
//! |---|---|---|
//! | New | start | Running |
//! | New, Running | stop (for the wait before it see `drain`) | Stopping |
//! | Stopping | the last slot is empty, and nothing is left to answer | Stopped |
//!
//! | reload | event | next |
//! |---|---|---|
//! | None | reload | Rolling |
//! | Rolling | reload | Rolling, another one follows |
//! | Rolling | all new workers are ready and all old ones retire | None, or Rolling again |
//! | Rolling | a new worker fails | None, or Rolling again |
//! | any | stop | None |

use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    New,
    Running,
    Stopping,
    Stopped,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reload {
    None,
    /// Workers of older generations are being replaced.
    Rolling {
        /// Another reload was asked for meanwhile.
        again: bool,
    },
}

/// The worker that answers what waits in the listen queue when a stop finds, or leaves, no worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastWorker {
    NotNeeded,
    /// It is to be forked.
    Due,
    /// It was forked. There is no second one.
    Forked,
}

/// The wait before a stop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    /// When the stop was requested.
    pub(super) since: Duration,
    pub(super) until: Duration,
}

/// How starts of workers went since one last became ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Starts {
    Succeed,
    /// A fork has failed, or a worker has died young.
    Fail,
    /// A worker has ended before it was ready.
    NeverReady,
}

/// That no worker is ready although some are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Emergency {
    None,
    Reported,
}

/// Reloads whose new workers are all ready, and that wait for the old ones to exit.
#[derive(Debug, Default)]
pub(super) struct Rolled {
    pub(super) count: usize,
    /// The workers of older generations are those that must go.
    pub(super) generation: u64,
}
