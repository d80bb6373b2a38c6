//! What the pool answers: what is to be done, and what the world may want to know.

use std::time::Duration;

#[cfg(doc)]
use super::Config;
use super::Exit;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Fork a worker into this slot and report how that went.
    Fork {
        /// The slot.
        slot: usize,
    },
    /// Tell the worker, through its scoreboard page, to leave.
    Retire {
        /// The slot.
        slot: usize,
        /// No other worker will be left to take over idle connections.
        last: bool,
    },
    /// Interrupt the worker's wait, so that it looks at its page.
    Wake {
        /// The slot.
        slot: usize,
    },
    /// Ask a worker that never used Accept to end, as anything else is asked: by a signal.
    Terminate {
        /// The slot.
        slot: usize,
    },
    /// Tell the worker that its request has run past [`Config::request_timeout`].
    GiveNotice {
        /// The slot.
        slot: usize,
    },
    /// End the worker, whatever it does: SIGKILL.
    Kill {
        /// The slot.
        slot: usize,
        /// It serves a request: the client's connection is taken over first, so that the client
        /// gets an end of its response and not a reset.
        rescue: bool,
    },
    /// Give the connections that stand aside in the worker to others.
    ClaimOffers {
        /// The slot.
        slot: usize,
    },
    /// Ask the worker to hand one of its kept connections on: several are in use there, and somebody has nothing to do.
    Share {
        /// The slot.
        slot: usize,
    },
    /// Read how much private memory the worker has, and report it.
    Measure {
        /// The slot.
        slot: usize,
    },
    /// Tell the world.
    Notice(Notice),
    /// The last worker of a stopping pool is gone.
    Stopped,
}

/// What the world may want to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A worker was forked.
    Started {
        /// Its slot.
        slot: usize,
    },
    /// A worker is ready.
    Ready {
        /// Its slot.
        slot: usize,
    },
    /// A worker is gone.
    Exited {
        /// The slot it had.
        slot: usize,
        /// How it ended.
        exit: Exit,
    },
    /// A reload has begun.
    ReloadBegun,
    /// A reload was asked for while one is going on: another follows.
    ReloadQueued,
    /// Every worker is one of the new generation, and ready. So many old ones were asked to exit and are not gone.
    ReloadRolled {
        /// The old ones.
        old: usize,
    },
    /// The old ones are gone, too.
    ReloadDone,
    /// The reload ended early, and the old generation goes on.
    ReloadFailed {
        /// The slot of the new worker that ended it.
        slot: usize,
        /// What it did.
        cause: Cause,
    },
    /// A worker is about to be killed.
    Killing {
        /// Its slot.
        slot: usize,
        /// What it missed.
        overdue: Overdue,
    },
    /// Workers die young; the next one is not forked before this long.
    BackingOff {
        /// The wait.
        pause: Duration,
    },
    /// Workers exit by themselves so often that their replacements are limited to a rate.
    DeparturesLimited {
        /// Replacements a second.
        limit: u32,
    },
    /// A fork failed and is tried again after this long.
    ForkFailed {
        /// Why.
        errno: i32,
        /// The wait.
        pause: Duration,
    },
    /// The pool was asked for another size.
    Resized {
        /// Workers wanted from now on; if the load chooses, the most of them.
        wanted: usize,
    },
    /// The load asked for another size.
    Sized {
        /// Workers wanted from now on.
        wanted: usize,
        /// They are more than before.
        up: bool,
    },
    /// A request has run past [`Config::slow_request`].
    Slow {
        /// Who serves it.
        slot: usize,
        /// How long it has run.
        age: Duration,
    },
    /// A request has run past [`Config::request_timeout`], and its worker was given notice.
    Overdue {
        /// Who serves it.
        slot: usize,
        /// How long it has run.
        age: Duration,
    },
    /// A worker is retired because it reached a limit; its successor is ready.
    Recycling {
        /// Its slot.
        slot: usize,
        /// The limit.
        why: Recycle,
    },
    /// An emergency: workers are wanted, and not one is ready. Once, until one is.
    Emptied,
    /// A worker is ready again.
    Recovered,
    /// The pool is ending.
    Stopping,
}

/// What a new worker did to end a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It ended before it was ready.
    NeverReady(Exit),
    /// It was ready, and failed soon after.
    DiedYoung(Exit),
    /// It was not ready in time.
    TimedOut,
    /// There was none: every fork failed, for as long as a worker may take to be ready.
    CannotFork {
        /// Why the latest did.
        errno: i32,
    },
}

/// A deadline that a worker missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// [`Config::start_timeout`].
    Start,
    /// [`Config::die_timeout`].
    Leave,
    /// [`Config::request_timeout`] and the grace after it.
    Request,
}

/// A limit that a worker reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recycle {
    /// [`Pool::request_limit`](super::Pool::request_limit).
    Requests,
    /// [`Config::max_memory`].
    Memory,
    /// [`Config::max_lifetime`].
    Lifetime,
}

/// How many workers there are, how many there should be, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Workers to keep.
    pub wanted: usize,
    /// Processes that exist, those on their way out too.
    pub processes: usize,
    /// Forked and not ready yet.
    pub starting: usize,
    /// Ready, and not told to leave.
    pub ready: usize,
    /// Those of the ready ones that waited for a request when last looked at.
    pub idle: usize,
    /// Those of the ready ones that served one.
    pub busy: usize,
    /// On their way out.
    pub retiring: usize,
    /// Workers retired so far because they reached a limit.
    pub recycled: u64,
    /// Reloads so far that were done.
    pub reloads: u64,
    /// Reloads so far that failed.
    pub failed_reloads: u64,
}
