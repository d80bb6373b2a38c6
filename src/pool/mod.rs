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
//!
//! Two things are observed only when the pool wants to know. If [`Pool::watch_listener`] has come,
//! the listening socket is polled, for [`Event::Connection`]. After that, if [`Pool::look_at`] has
//! come, all pages are looked at, and what the sound ones say is handed in.
//!
//! What a page says is not trusted: times are held to what the pool has seen itself, a page that
//! makes no sense leaves everything as it was, and a lie reaches nobody but the liar.

mod answer;
mod backoff;
mod balance;
mod deadlines;
mod machine;
mod offers;
mod queue_age;
mod recycling;
mod report;
mod sizing;
mod slot;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_departures;
#[cfg(test)]
mod tests_limits;
#[cfg(test)]
mod tests_programs;
#[cfg(test)]
mod tests_sizing;
mod watch;

use std::time::Duration;

pub use answer::{Action, Cause, Counts, Notice, Overdue, Recycle};
pub use machine::Pool;
pub use queue_age::{Queue, QueueAge};
pub use slot::SlotState;

/// What does not change while a pool lives.
#[derive(Clone, Debug)]
pub struct Config {
    /// Workers to keep, or the most that [`Sizing`] may choose; at least 1.
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
    /// A program that was started ([`Report::Executed`]) and says nothing of itself counts as ready
    /// when it has run for so long; `None`: only its first Accept counts.
    pub ready_delay: Option<Duration>,
    /// Longest time from being told to leave to the end.
    pub die_timeout: Option<Duration>,
    /// How the number of workers is chosen.
    pub sizing: Sizing,
    /// Requests after which a worker is replaced; 0: no limit.
    pub max_requests: u64,
    /// Up to so many more, chosen for each worker.
    pub max_requests_jitter: u64,
    /// Bytes of private memory beyond which a worker is replaced; 0: no limit.
    pub max_memory: u64,
    /// Age at which a worker is replaced.
    pub max_lifetime: Option<Duration>,
    /// Longest time for a whole request; then the worker is given notice.
    pub request_timeout: Option<Duration>,
    /// Time between the notice and the kill.
    pub request_timeout_grace: Duration,
    /// A request that runs for so long is told of once.
    pub slow_request: Option<Duration>,
    /// What the jitter is made from: the pool has no randomness of its own.
    pub seed: u64,
}

impl Config {
    /// Workers beyond this number of wanted ones, during a reload or to recycle.
    #[must_use]
    pub fn surge(&self, wanted: usize) -> usize {
        match self.reload_surge {
            0 => (wanted / 4).max(1),
            surge => surge,
        }
    }
}

/// How the number of workers is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizing {
    /// Always [`Config::processes`].
    Static,
    /// By load, with [`Config::processes`] as the most.
    Dynamic {
        /// Workers to begin with; 0: as many as `min_spare`.
        start: usize,
        /// With fewer idle workers than this, more are started.
        min_spare: usize,
        /// With more idle workers than this, some are retired.
        max_spare: usize,
    },
    /// None until a connection waits, with [`Config::processes`] as the most.
    OnDemand {
        /// A worker that was idle for so long is retired.
        idle_timeout: Option<Duration>,
    },
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
    /// The listening socket has a connection that nobody has accepted yet.
    Connection,
    /// While stopping: the last worker has exited, nothing arrives any more, and connections wait in the listen
    /// queue. Handed in before the exit of that worker.
    Unanswered,
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
    /// So many, at least one.
    To(usize),
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
    /// The worker has become another program, which may never say anything of itself.
    Executed,
    /// It has said something of itself, so it will also say when it is ready.
    Announced,
    /// The worker has entered its first Accept.
    Ready,
    /// What a valid look into its page says, of a worker that is ready or on its way out.
    Observed(Observation),
    /// Its page says that it has taken a request. Handed in before [`Exited`](Self::Exited).
    Served,
    /// The answer to [`Action::Measure`].
    Memory {
        /// Its private memory.
        bytes: u64,
    },
    /// The worker is gone, and was reaped.
    Exited(Exit),
}

/// What a worker says of itself. It may be a lie: it moves nothing but what concerns this worker,
/// and that only within what the pool has seen itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// What it does.
    pub activity: Activity,
    /// The number of the request that runs, or of the last one.
    pub request: u64,
    /// Requests finished so far.
    pub requests: u64,
    /// When the running request began, in the pool's time.
    pub since: Duration,
    /// Whether connections stand aside in it that others could serve.
    pub offers: Offers,
}

/// What a worker offers of the connections that stand aside in it, while it serves a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offers {
    /// Nothing, and nothing since the last look.
    #[default]
    None,
    /// Something since the last look, and nothing now.
    Lately,
    /// Something.
    Now,
}

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It waits for a request.
    Idle,
    /// It has accepted a connection, and reads the request.
    Reading,
    /// It serves a request.
    Busy,
    /// It is about to end.
    Leaving,
    /// It says nothing: nobody knows whether it serves a request, and no wake-up reaches it.
    Silent,
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
