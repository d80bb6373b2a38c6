//! What the pool returns: actions to perform, and notices for the log and the host.

use std::time::Duration;

use super::event::Exit;

/// Something to perform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Fork a worker into this slot and report how that went.
    Fork {
        /// The slot.
        slot: usize,
    },
    /// Ask the worker, by its scoreboard page, to exit.
    Retire {
        /// The slot.
        slot: usize,
        /// No other worker will be left to receive its idle connections.
        last: bool,
    },
    /// Interrupt the worker's wait, so that it reads its page.
    Wake {
        /// The slot.
        slot: usize,
    },
    /// Ask a worker that never used Accept to exit, by a signal.
    Terminate {
        /// The slot.
        slot: usize,
    },
    /// Notify the worker that its request has exceeded [`Config::request_timeout`](super::Config::request_timeout).
    GiveNotice {
        /// The slot.
        slot: usize,
    },
    /// Kill the worker with SIGKILL.
    Kill {
        /// The slot.
        slot: usize,
        /// It serves a request: copy the client's connection first, so that the client gets an end
        /// of its response, and not a reset.
        rescue: bool,
    },
    /// Give the parked connections of the worker to other workers.
    ClaimOffers {
        /// The slot.
        slot: usize,
    },
    /// Ask the worker to hand over one of its keep-alive connections: several of them are in use,
    /// and another worker is idle.
    Rebalance {
        /// The slot.
        slot: usize,
    },
    /// Read how much private memory the worker has, and report it.
    Measure {
        /// The slot.
        slot: usize,
    },
    /// Log this, and report it to the host.
    Notice(Notice),
    /// Stop arrivals, and report [`Event::Stop`](super::Event::Stop).
    Stop,
    /// The last worker of a stopping pool has exited.
    Stopped,
}

/// Something for the log and the host.
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
    /// A worker has exited.
    Exited {
        /// The slot it had.
        slot: usize,
        /// How it exited.
        exit: Exit,
    },
    /// A reload has begun.
    ReloadBegun,
    /// A reload was requested during another one, and follows it.
    ReloadQueued,
    /// All workers of the new generation are ready. Old ones were asked to exit, and still exist.
    ReloadRolled {
        /// The number of old ones.
        old: usize,
    },
    /// The old workers have exited.
    ReloadDone,
    /// The reload has failed. The old generation continues.
    ReloadFailed {
        /// The slot of the new worker that failed.
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
    /// Workers die young; the next fork is delayed by this time.
    BackingOff {
        /// The wait.
        pause: Duration,
    },
    /// Workers exit on their own so often that their replacements are limited to a rate.
    DeparturesLimited {
        /// Replacements a second.
        limit: u32,
    },
    /// A fork failed. It is tried again after this time.
    ForkFailed {
        /// Why.
        errno: i32,
        /// The wait.
        pause: Duration,
    },
    /// Another size was requested.
    Resized {
        /// Workers wanted from now on; the maximum, if the load decides.
        wanted: usize,
    },
    /// The load requires another size.
    Sized {
        /// Workers wanted from now on.
        wanted: usize,
        /// It is more than before.
        up: bool,
    },
    /// A request has exceeded [`Config::slow_request`](super::Config::slow_request).
    Slow {
        /// The worker that serves it.
        slot: usize,
        /// How long it has taken so far.
        age: Duration,
    },
    /// A request has exceeded [`Config::request_timeout`](super::Config::request_timeout), and its worker was notified.
    Overdue {
        /// The worker that serves it.
        slot: usize,
        /// How long it has taken so far.
        age: Duration,
    },
    /// A worker is retired because it reached a limit; its replacement is ready.
    Recycling {
        /// Its slot.
        slot: usize,
        /// The limit.
        why: Recycle,
    },
    /// An emergency: workers are wanted, and none is ready. Reported once until one is.
    Emptied,
    /// A worker is ready again.
    Recovered,
    /// The pool will end after this time. Everything is still served.
    Draining {
        /// The wait.
        delay: Duration,
    },
    /// The pool is ending.
    Stopping,
}

/// Why a reload failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A new worker exited before it was ready.
    NeverReady(Exit),
    /// A new worker was ready, and failed soon after.
    DiedYoung(Exit),
    /// A new worker was not ready in time.
    TimedOut,
    /// The process that new workers are copies of has ended.
    SourceEnded,
    /// There was no new worker: every fork failed, for as long as a worker may take to start.
    CannotFork {
        /// Why the latest one did.
        errno: i32,
    },
}

/// A deadline that a worker missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// [`Config::start_timeout`](super::Config::start_timeout).
    Start,
    /// [`Config::die_timeout`](super::Config::die_timeout).
    Exit,
    /// [`Config::request_timeout`](super::Config::request_timeout) and the grace period after it.
    Request,
}

/// A limit that a worker reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recycle {
    /// [`Pool::request_limit`](super::Pool::request_limit).
    Requests,
    /// [`Config::max_memory`](super::Config::max_memory).
    Memory,
    /// [`Config::max_lifetime`](super::Config::max_lifetime).
    Lifetime,
    /// It is no copy of the worker that was reforked ([`Event::Reforked`](super::Event::Reforked)).
    Refork,
}

/// How many workers are wanted, exist, and were replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Workers wanted.
    pub wanted: usize,
    /// Existing processes, retiring ones included.
    pub processes: usize,
    /// Forked and not ready yet.
    pub starting: usize,
    /// Ready, and not asked to exit.
    pub ready: usize,
    /// Ready ones that waited for a request when last polled.
    pub idle: usize,
    /// Ready ones that served a request when last polled.
    pub busy: usize,
    /// Asked to exit, or killed, and not yet reaped.
    pub retiring: usize,
    /// Workers that were retired because they reached a limit.
    pub recycled: u64,
    /// Reloads that are done.
    pub reloads: u64,
    /// Reloads that failed.
    pub failed_reloads: u64,
}
