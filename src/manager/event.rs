//! What a host may care about, and the line that a log gets of it.

use std::time::Duration;

use crate::error::Error;
use crate::pool::{Cause, Exit, Overdue, Recycle};
use crate::sys;
use crate::sys::log::{self, Level};

/// The kinds of events. The numbers are part of the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum EventKind {
    /// This is a fresh worker; its manager value is spent.
    InWorker = 1,
    /// All workers are gone, and the pid file is removed.
    Stopped = 2,
    /// The manager is set up; nothing was forked yet.
    Managing = 3,
    /// A worker was forked.
    WorkerStarted = 4,
    /// A worker has entered its first Accept.
    WorkerReady = 5,
    /// A worker is gone.
    WorkerExited = 6,
    /// A reload has begun.
    ReloadBegun = 7,
    /// Every worker is a new one, and ready, and the old ones are gone.
    ReloadDone = 8,
    /// The old workers go on.
    ReloadFailed = 9,
    /// The workers were told to leave.
    Stopping = 10,
    /// A signal arrived.
    Signal = 11,
    /// Worth a line in the log, and nothing else.
    Notice = 12,
    /// A worker has reached one of the limits that recycle it: a successor is started first.
    Recycling = 13,
    /// A request has been running for as long as `slow_request`.
    SlowRequest = 14,
    /// A request has been running for as long as `request_timeout`: its worker got notice.
    RequestTimedOut = 15,
    /// A worker has missed a deadline, and is killed.
    Killing = 16,
    /// Another number of workers is wanted, by a signal or by the load.
    Resized = 17,
    /// No worker is ready.
    Emergency = 18,
    /// A worker is ready again.
    Recovered = 19,
    /// The host is to fork a worker, and to say when, and what came of it.
    Fork = 20,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What kind of thing.
    pub kind: EventKind,
    /// The worker concerned, or 0.
    pub pid: i32,
    /// The wait status of a worker that is gone, or the number of a signal that arrived.
    pub status: i32,
    /// One line for people, without a prefix.
    pub message: String,
}

/// Passes an event on, and writes its line if there is a log to be written.
pub(super) fn logged(wanted: bool, event: Event) -> Event {
    if wanted && !event.message.is_empty() {
        let pid = sys::process::pid();
        let line = format!("fcgipm: manager (pid {pid}): {}", event.message);
        log::line(event.level(), &line);
    }
    event
}

impl Event {
    fn new(kind: EventKind, pid: i32, status: i32, message: impl Into<String>) -> Self {
        Self {
            kind,
            pid,
            status,
            message: message.into(),
        }
    }

    /// How much its line matters.
    #[must_use]
    pub fn level(&self) -> Level {
        match self.kind {
            EventKind::ReloadFailed | EventKind::Emergency => Level::Error,
            EventKind::SlowRequest | EventKind::RequestTimedOut | EventKind::Killing => {
                Level::Warning
            }
            EventKind::WorkerExited if self.status != 0 => Level::Warning,
            EventKind::InWorker
            | EventKind::Stopped
            | EventKind::Managing
            | EventKind::WorkerStarted
            | EventKind::WorkerReady
            | EventKind::WorkerExited
            | EventKind::ReloadBegun
            | EventKind::ReloadDone
            | EventKind::Stopping
            | EventKind::Signal
            | EventKind::Notice
            | EventKind::Recycling
            | EventKind::Resized
            | EventKind::Recovered
            | EventKind::Fork => Level::Info,
        }
    }

    pub(super) fn in_worker() -> Self {
        Self::new(EventKind::InWorker, sys::process::pid(), 0, "")
    }

    pub(super) fn fork() -> Self {
        Self::new(EventKind::Fork, 0, 0, "")
    }

    pub(super) fn stopped() -> Self {
        Self::new(EventKind::Stopped, 0, 0, "stopped")
    }

    pub(super) fn managing(workers: usize) -> Self {
        Self::new(
            EventKind::Managing,
            0,
            0,
            format!("managing {workers} worker{}", plural(workers)),
        )
    }

    pub(super) fn started(pid: i32) -> Self {
        let message = format!("worker (pid {pid}) started");
        Self::new(EventKind::WorkerStarted, pid, 0, message)
    }

    pub(super) fn ready(pid: i32) -> Self {
        let message = format!("worker (pid {pid}) ready");
        Self::new(EventKind::WorkerReady, pid, 0, message)
    }

    pub(super) fn exited(pid: i32, status: i32, exit: Exit) -> Self {
        let message = format!("worker (pid {pid}) {}", Ending(exit));
        Self::new(EventKind::WorkerExited, pid, status, message)
    }

    pub(super) fn reload_begun() -> Self {
        Self::new(EventKind::ReloadBegun, 0, 0, "reload begun")
    }

    pub(super) fn reload_rolled(old: usize) -> Self {
        let workers = plural(old);
        Self::notice(format!(
            "reload: all new workers are ready; waiting for {old} old worker{workers} to exit"
        ))
    }

    pub(super) fn reload_done() -> Self {
        Self::new(EventKind::ReloadDone, 0, 0, "reload done")
    }

    pub(super) fn reload_failed(
        pid: i32,
        cause: Cause,
        start_timeout: Option<Duration>,
        stderr_tail: Option<String>,
    ) -> Self {
        let limit = start_timeout.unwrap_or_default();
        let what = match cause {
            Cause::NeverReady(exit) => format!("{} before it was ready", Ending(exit)),
            Cause::DiedYoung(exit) => format!("{} soon after it was ready", Ending(exit)),
            Cause::TimedOut => format!("was not ready within {limit:?}"),
            Cause::CannotFork { errno } => {
                let error = Error::system("fork", errno);
                let message = format!("reload failed: no worker could be started: {error}");
                return Self::new(EventKind::ReloadFailed, 0, 0, message);
            }
        };
        let words = stderr_tail.map_or(String::new(), |words| format!("; {words}"));
        let message = format!("reload failed: worker (pid {pid}) {what}{words}");
        Self::new(EventKind::ReloadFailed, pid, 0, message)
    }

    pub(super) fn killing(
        pid: i32,
        overdue: Overdue,
        limit: Option<Duration>,
        request: &str,
    ) -> Self {
        let limit = limit.unwrap_or_default();
        let what = match overdue {
            Overdue::Start => format!("it was not ready within {limit:?}"),
            Overdue::Exit => format!("it did not leave within {limit:?}{request}"),
            Overdue::Request => {
                format!("it did not end its request within {limit:?} of the notice{request}")
            }
        };
        let message = format!("killing worker (pid {pid}): {what}");
        Self::new(EventKind::Killing, pid, 0, message)
    }

    pub(super) fn slow(pid: i32, age: Duration, request: &str) -> Self {
        let message = format!("slow request: worker (pid {pid}) for {age:.1?}{request}");
        Self::new(EventKind::SlowRequest, pid, 0, message)
    }

    pub(super) fn timed_out(pid: i32, age: Duration, request: &str) -> Self {
        let message = format!("request timed out: worker (pid {pid}) after {age:.1?}{request}");
        Self::new(EventKind::RequestTimedOut, pid, 0, message)
    }

    pub(super) fn recycling(pid: i32, why: Recycle) -> Self {
        let option = match why {
            Recycle::Requests => "max_requests",
            Recycle::Memory => "max_memory",
            Recycle::Lifetime => "max_lifetime",
        };
        let message = format!("recycling worker (pid {pid}): it has reached {option}");
        Self::new(EventKind::Recycling, pid, 0, message)
    }

    pub(super) fn resized(wanted: usize) -> Self {
        let message = format!("number of workers set to {wanted}");
        Self::new(EventKind::Resized, 0, 0, message)
    }

    /// By load; not worth a line in the log.
    pub(super) fn sized() -> Self {
        Self::new(EventKind::Resized, 0, 0, "")
    }

    pub(super) fn emergency() -> Self {
        let message = "emergency: no worker is ready";
        Self::new(EventKind::Emergency, 0, 0, message)
    }

    pub(super) fn overloaded(count: u64, limit: Duration) -> Self {
        let requests = if count == 1 {
            "a request"
        } else {
            &*format!("{count} requests")
        };
        let message = format!(
            "overload: {requests} refused, after longer than max_queue_age = {} s in the listen queue",
            limit.as_secs_f64()
        );
        Self::new(EventKind::Notice, 0, 0, message)
    }

    /// No more workers may be started.
    pub(super) fn saturated(busy: usize, waiting: usize) -> Self {
        let (workers, connections) = (plural(busy), plural(waiting));
        Self::notice(format!(
            "overload: all of {busy} worker{workers} busy, {waiting} connection{connections} waiting in the listen queue; \
             no more workers are allowed (n_processes), consider raising it"
        ))
    }

    pub(super) fn recovered() -> Self {
        Self::new(EventKind::Recovered, 0, 0, "a worker is ready again")
    }

    pub(super) fn stopping(workers: usize) -> Self {
        let message = format!("stopping {workers} worker{}", plural(workers));
        Self::new(EventKind::Stopping, 0, 0, message)
    }

    pub(super) fn signal(signal: i32) -> Self {
        let message = format!("received {}", sys::signal::handlers::name(signal));
        Self::new(EventKind::Signal, 0, signal, message)
    }

    pub(super) fn notice(message: impl Into<String>) -> Self {
        Self::new(EventKind::Notice, 0, 0, message)
    }
}

struct Ending(Exit);

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Exit::Code(status) => write!(f, "exited with status {status}"),
            Exit::Signal(signal) => write!(f, "killed by {}", sys::signal::handlers::name(signal)),
            Exit::Unknown => {
                f.write_str("is gone, and another part of this program took its status")
            }
        }
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
