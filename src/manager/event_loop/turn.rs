//! The steps of a turn, each of which takes the value of the one before.

use crate::manager::children::Newborn;
use crate::manager::watch::Ready;

/// How a turn of the loop ended.
pub(in crate::manager) enum Turn {
    /// There may be events, or not.
    Again,
    /// The time that the host waits is over, and there is no event.
    TimedOut,
    /// In the child of a fork, in which all signals are blocked.
    InWorker(Newborn),
    /// The host shall fork a worker.
    HostForks,
    /// The pool has stopped.
    Stopped,
    /// A signal of the host's arrived: the host may want to act on it.
    Interrupted,
}

/// Everything that happened was reported to the pool.
pub(super) struct Observed {
    pub(super) ready: Ready,
    /// A signal of the manager's arrived.
    pub(super) has_signal: bool,
}

/// The pool has decided, and its actions were performed, but for the fork.
pub(super) struct Decided {
    pub(super) observed: Observed,
    pub(super) fork: Option<usize>,
}

pub(super) enum Forked {
    Child(Newborn),
    ByHost,
    Parent(Observed),
}
