//! What a host may want to know: kinds of events, and how much each matters.

mod outbox;
mod texts;

pub(super) use outbox::{LogTarget, Outbox};
pub(super) use texts::How;
pub use texts::count;

use crate::sys::log::Level;

/// The kinds of events. The numbers are part of the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum EventKind {
    /// This process is a new worker; its manager value is spent.
    InWorker = 1,
    /// All workers have exited, and the pid file is removed.
    Stopped = 2,
    /// The manager is set up; nothing was forked yet.
    Managing = 3,
    /// A worker was forked.
    WorkerStarted = 4,
    /// A worker has entered its first Accept.
    WorkerReady = 5,
    /// A worker has exited.
    WorkerExited = 6,
    /// A reload has begun.
    ReloadBegun = 7,
    /// Every worker is a new one and ready, and the old ones have exited.
    ReloadDone = 8,
    /// A reload has failed; the old workers continue.
    ReloadFailed = 9,
    /// The workers were asked to exit.
    Stopping = 10,
    /// A signal arrived.
    Signal = 11,
    /// A line for the log, without further meaning.
    Notice = 12,
    /// A worker has reached one of the limits that recycle it; its replacement is ready.
    Recycling = 13,
    /// A request has taken as long as `slow_request`.
    SlowRequest = 14,
    /// A request has taken as long as `request_timeout`: its worker was notified.
    RequestTimedOut = 15,
    /// A worker has missed a deadline, and is killed.
    Killing = 16,
    /// Another number of workers is wanted, because of a signal or of the load.
    Resized = 17,
    /// No worker is ready.
    Emergency = 18,
    /// A worker is ready again.
    Recovered = 19,
    /// The host shall fork a worker, and report when it does and with which result.
    Fork = 20,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The kind of event.
    pub kind: EventKind,
    /// The worker concerned, or 0.
    pub pid: i32,
    /// The wait status of a worker that has exited, or the number of a signal that arrived.
    pub status: i32,
    /// How much its line matters.
    pub level: Level,
    /// One line of text, without a prefix.
    pub message: String,
}

impl EventKind {
    /// How much a line about such an event matters. Of a worker that exited, the wait status decides.
    const fn level(self, status: i32) -> Level {
        match self {
            Self::ReloadFailed | Self::Emergency => Level::Error,
            Self::SlowRequest | Self::RequestTimedOut | Self::Killing => Level::Warning,
            Self::WorkerExited if status != 0 => Level::Warning,
            Self::Stopped
            | Self::Managing
            | Self::ReloadBegun
            | Self::ReloadDone
            | Self::Stopping
            | Self::Signal
            | Self::Notice
            | Self::Resized
            | Self::Recovered => Level::Notice,
            Self::InWorker
            | Self::WorkerStarted
            | Self::WorkerReady
            | Self::WorkerExited
            | Self::Recycling
            | Self::Fork => Level::Info,
        }
    }
}
