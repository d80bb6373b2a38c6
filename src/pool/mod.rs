//! The manager's mind: (state, now, event) → actions.
//!
//! Nothing here touches a process, a descriptor or a clock. The shell in [`manager`](crate::manager)
//! tells a [`Pool`] what happened and when, and performs what it answers. Time is a [`Duration`]
//! since an origin of the caller's choice that never goes back.
//!
//! The calling order: [`Pool::new`], then [`Event::Start`]. Whenever something was observed, or
//! [`Pool::deadline`] has come, every observation is handed in by [`Pool::handle`] and, after all
//! of them, one [`Event::Tick`]. Only a tick forks, and at most once, so that a request to stop
//! never waits behind a long row of forks.

mod backoff;
mod balance;
mod machine;
mod slot;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use machine::Pool;
pub use slot::SlotState;

/// What does not change while a pool lives.
#[derive(Clone, Debug)]
pub struct Config {
    /// Workers to keep, at least 1.
    pub processes: usize,
    /// The most that [`Event::Resize`] can ask for.
    pub max_processes: usize,
    /// Slots there are; all workers, those on their way out too, have one each.
    pub slots: usize,
    /// Workers beyond the wanted ones during a reload; 0: a quarter of the pool, at least 1.
    pub reload_surge: usize,
    /// Pause between the first forks.
    pub start_delay: Duration,
    /// Longest time from the fork to the first Accept.
    pub start_timeout: Option<Duration>,
    /// Longest time from being told to leave to the end.
    pub die_timeout: Option<Duration>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The manager is set up.
    Start,
    /// A new generation of workers is asked for.
    Reload,
    /// The pool is to end.
    Stop,
    /// A pool of another size is asked for.
    Resize(Resize),
    /// Something about the worker in a slot.
    Worker {
        /// The slot.
        slot: usize,
        /// What was observed.
        report: Report,
    },
    /// Everything observed so far was handed in; time has passed.
    Tick,
}

/// How the size of a pool changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// One worker more.
    Up,
    /// One worker less; the last one stays.
    Down,
}

/// What was observed of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The fork that [`Action::Fork`] asked for succeeded.
    Forked,
    /// It did not.
    ForkFailed {
        /// Why.
        errno: i32,
    },
    /// The worker has entered its first Accept.
    Ready,
    /// What the worker says of itself; asked for while it is on its way out.
    Activity {
        /// It waits for a request.
        idle: bool,
    },
    /// The worker is gone, and was reaped.
    Exited(Exit),
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By exit(3), with this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Another part of the host reaped it, so nobody knows.
    Unknown,
}

impl Exit {
    /// Whether this says that something is wrong with the worker.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        match self {
            Self::Code(status) => status != 0,
            Self::Signal(_) => true,
            Self::Unknown => false,
        }
    }
}

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
    Kick {
        /// The slot.
        slot: usize,
    },
    /// Ask a worker that never used Accept to end, as anything else is asked: SIGTERM.
    Terminate {
        /// The slot.
        slot: usize,
    },
    /// End the worker, whatever it does: SIGKILL.
    Kill {
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
    /// Every worker is one of the new generation, and ready.
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
    /// A fork failed and is tried again after this long.
    ForkFailed {
        /// Why.
        errno: i32,
        /// The wait.
        pause: Duration,
    },
    /// The pool was asked for another size.
    Resized {
        /// Workers wanted from now on.
        wanted: usize,
    },
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
}

/// A deadline that a worker missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// [`Config::start_timeout`].
    Start,
    /// [`Config::die_timeout`].
    Leave,
}

/// How many workers there are, and how many there should be.
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
    /// On their way out.
    pub retiring: usize,
}
