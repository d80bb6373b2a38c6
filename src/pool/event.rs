//! What the manager reports to the pool.

use std::time::Duration;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The manager is set up.
    Start,
    /// A new generation of workers is requested.
    Reload,
    /// The pool shall end after [`Config::drain_delay`](super::Config::drain_delay); if this was
    /// requested before, immediately.
    Drain,
    /// The pool shall end.
    Stop,
    /// Another number of workers is requested.
    Resize(Resize),
    /// Something about the worker in a slot.
    Worker {
        /// The slot.
        slot: usize,
        /// What was observed.
        event: WorkerEvent,
    },
    /// A connection waits in the listen queue.
    Connection,
    /// While stopping: the last worker has exited, nothing arrives any more, and connections wait
    /// in the listen queue. Reported before the exit of that worker.
    Unanswered,
    /// The process that new workers are copies of has ended: a reload in progress fails.
    SourceEnded,
    /// From here on new workers are copies of a warm one: the other ones are replaced.
    Reforked,
    /// They are not any more.
    ReforkEnded,
    /// Every observation has been reported; time has passed.
    Tick,
}

/// How the size of a pool changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// One worker more.
    Up,
    /// One worker fewer; the last one stays.
    Down,
    /// This many, at least one.
    To(usize),
}

/// What was observed of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerEvent {
    /// The fork that [`Action::Fork`](super::Action::Fork) requested succeeded.
    Forked,
    /// It did not.
    ForkFailed {
        /// Why.
        errno: i32,
    },
    /// The worker has executed another program, which may never report anything.
    Executed,
    /// It has reported something, so it will also report when it is ready.
    Announced,
    /// The worker has entered its first Accept.
    Ready,
    /// The content of its page, for a worker that is ready or retiring.
    Observed(Observation),
    /// By its page, it has received a request. Reported before [`Exited`](Self::Exited).
    Served,
    /// The result of [`Action::Measure`](super::Action::Measure).
    Memory {
        /// Its private memory.
        bytes: u64,
    },
    /// The worker has exited, and was reaped.
    Exited(Exit),
}

/// What a worker reports of itself. It may be false: it affects only this worker, and only within
/// what the pool has seen itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observation {
    /// What it does.
    pub activity: Activity,
    /// The number of the current request, or of the last one.
    pub request: u64,
    /// Requests finished so far.
    pub requests: u64,
    /// When the current request began, in the pool's time.
    pub since: Duration,
    /// Whether it has parked connections that other workers could serve.
    pub offers: Offers,
}

/// Whether a worker offers its parked connections while it serves a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Offers {
    /// Nothing, and nothing since the last poll.
    #[default]
    None,
    /// Something since the last poll, and nothing now.
    Lately,
    /// Something.
    Now,
}

/// What a worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It waits for a request.
    Idle,
    /// It has accepted a connection, and reads the parameters of the request.
    Reading,
    /// It serves a request.
    Busy,
    /// It is about to exit.
    Exiting,
    /// It reports nothing: whether it serves a request is unknown, and no wake-up reaches it.
    Silent,
}

/// How a worker exited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By exit(3), with this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// Another part of the host reaped it, so the status is unknown.
    Unknown,
}

impl Exit {
    /// Whether this is a failure of the worker.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        match self {
            Self::Code(status) => status != 0,
            Self::Signal(_) => true,
            Self::Unknown => false,
        }
    }
}
