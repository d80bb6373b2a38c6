//! The text of each event, as operators read it in the log.

use std::fmt;
use std::time::Duration;

use super::{Event, EventKind};
use crate::error::Error;
use crate::pool::{Cause, Exit, Overdue, Recycle};
use crate::sys::log::Level;
use crate::sys::process;
use crate::sys::signal::handlers;

/// What `docker stop` waits by default.
const ENGINE_PATIENCE: Duration = Duration::from_secs(10);

impl Event {
    fn new(kind: EventKind, pid: i32, status: i32, message: impl Into<String>) -> Self {
        Self {
            kind,
            pid,
            status,
            level: kind.level(status),
            message: message.into(),
        }
    }

    pub(crate) fn in_worker() -> Self {
        Self::new(EventKind::InWorker, process::pid(), 0, "")
    }

    pub(crate) fn fork() -> Self {
        Self::new(EventKind::Fork, 0, 0, "")
    }

    pub(crate) fn stopped() -> Self {
        Self::new(EventKind::Stopped, 0, 0, "stopped")
    }

    pub(crate) fn managing(workers: usize) -> Self {
        let message = format!("managing {}", count(workers, "worker"));
        Self::new(EventKind::Managing, 0, 0, message)
    }

    pub(crate) fn started(pid: i32) -> Self {
        let message = format!("worker (pid {pid}) started");
        Self::new(EventKind::WorkerStarted, pid, 0, message)
    }

    pub(crate) fn ready(pid: i32) -> Self {
        let message = format!("worker (pid {pid}) ready");
        Self::new(EventKind::WorkerReady, pid, 0, message)
    }

    pub(crate) fn exited(pid: i32, status: i32, exit: Exit) -> Self {
        let message = format!("worker (pid {pid}) {}", How(exit));
        Self::new(EventKind::WorkerExited, pid, status, message)
    }

    pub(crate) fn reload_begun() -> Self {
        Self::new(EventKind::ReloadBegun, 0, 0, "reload begun")
    }

    pub(crate) fn reload_queued() -> Self {
        Self::notice("reload requested during a reload; another one follows")
    }

    pub(crate) fn reload_rolled(old: usize) -> Self {
        Self::notice(format!(
            "reload: all new workers are ready; waiting for {} to exit",
            count(old, "old worker")
        ))
    }

    pub(crate) fn reload_done() -> Self {
        Self::new(EventKind::ReloadDone, 0, 0, "reload done")
    }

    pub(crate) fn reload_failed(
        pid: i32,
        cause: Cause,
        start_timeout: Option<Duration>,
        stderr_tail: Option<String>,
    ) -> Self {
        const FAILED: &str = "reload failed, the old workers continue";
        let limit = start_timeout.unwrap_or_default();
        let what = match cause {
            Cause::NeverReady(exit) => format!("{} before it was ready", How(exit)),
            Cause::DiedYoung(exit) => format!("{} soon after it was ready", How(exit)),
            Cause::TimedOut => format!("was not ready within start_timeout = {limit:?}"),
            Cause::SourceEnded => {
                let message = format!("{FAILED}: the template of the new workers has ended");
                return Self::new(EventKind::ReloadFailed, 0, 0, message);
            }
            Cause::CannotFork { errno } => {
                let error = Error::system("fork", errno);
                let message = format!("{FAILED}: no worker could be started: {error}");
                return Self::new(EventKind::ReloadFailed, 0, 0, message);
            }
        };
        let tail = stderr_tail.map_or(String::new(), |tail| format!("; {tail}"));
        let message = format!("{FAILED}: worker (pid {pid}) {what}{tail}");
        Self::new(EventKind::ReloadFailed, pid, 0, message)
    }

    pub(crate) fn template_started(pid: i32) -> Self {
        Self::notice(format!(
            "reload of the program: template (pid {pid}) started"
        ))
    }

    pub(crate) fn template_failed(why: &str, timeout: Option<Duration>) -> Self {
        let what = match timeout {
            Some(limit) => format!("{why} was not ready within start_timeout = {limit:?}"),
            None => why.to_owned(),
        };
        let message = format!("reload failed, the old workers continue: {what}");
        Self::new(EventKind::ReloadFailed, 0, 0, message)
    }

    pub(crate) fn refork_begun(pid: i32, after: u64) -> Self {
        Self::notice(format!(
            "refork: worker (pid {pid}) has served {after} requests and forks a template"
        ))
    }

    pub(crate) fn reforked(template: i32) -> Self {
        Self::notice(format!(
            "refork: template (pid {template}) is ready; its copies replace the workers"
        ))
    }

    pub(crate) fn refork_failed(why: &str, pause: Duration) -> Self {
        Self::warning(format!(
            "refork failed: {why}; workers are forked as before, the next attempt is in {pause:?}"
        ))
    }

    pub(crate) fn template_lost(why: &str) -> Self {
        Self::notice(format!(
            "{why}; no worker can be forked until it has started again"
        ))
    }

    pub(crate) fn template_still_lost(why: &str, pause: Duration) -> Self {
        if pause.is_zero() {
            return Self::notice(format!("{why}; trying again"));
        }
        Self::notice(format!("{why}; trying again in {pause:?}"))
    }

    pub(crate) fn killing(
        pid: i32,
        overdue: Overdue,
        limit: Option<Duration>,
        request: &str,
    ) -> Self {
        let limit = limit.unwrap_or_default();
        let what = match overdue {
            Overdue::Start => format!("it was not ready within start_timeout = {limit:?}"),
            Overdue::Exit => format!("it did not exit within die_timeout = {limit:?}{request}"),
            Overdue::Request => {
                format!("it did not finish its request within {limit:?} of the notice{request}")
            }
        };
        let message = format!("killing worker (pid {pid}): {what}");
        Self::new(EventKind::Killing, pid, 0, message)
    }

    pub(crate) fn slow(pid: i32, age: Duration, request: &str) -> Self {
        let message = format!("slow request: worker (pid {pid}) for {age:.1?}{request}");
        Self::new(EventKind::SlowRequest, pid, 0, message)
    }

    pub(crate) fn timed_out(pid: i32, age: Duration, request: &str) -> Self {
        let message = format!("request timed out: worker (pid {pid}) after {age:.1?}{request}");
        Self::new(EventKind::RequestTimedOut, pid, 0, message)
    }

    pub(crate) fn recycling(pid: i32, why: Recycle) -> Self {
        let reason = match why {
            Recycle::Requests => "it has reached max_requests",
            Recycle::Memory => "it has reached max_memory",
            Recycle::Lifetime => "it has reached max_lifetime",
            Recycle::Refork => "it is replaced by a copy of the template",
        };
        let message = format!("recycling worker (pid {pid}): {reason}");
        Self::new(EventKind::Recycling, pid, 0, message)
    }

    pub(crate) fn backing_off(pause: Duration) -> Self {
        Self::warning(format!(
            "workers die soon after their start; the next one starts in {:.1} s",
            pause.as_secs_f64()
        ))
    }

    pub(crate) fn departures_limited(limit: u32) -> Self {
        Self::warning(format!(
            "workers exit with status 0 soon after their start, more than {limit} a second; \
             their replacements are limited to {limit} a second"
        ))
    }

    pub(crate) fn fork_failed(errno: i32, pause: Duration) -> Self {
        let error = Error::system("fork of a worker", errno);
        Self::warning(format!("{error}; trying again in {pause:?}"))
    }

    pub(crate) fn resized(wanted: usize) -> Self {
        let message = format!("number of workers set to {wanted}");
        Self::new(EventKind::Resized, 0, 0, message)
    }

    /// By load: too frequent for the log.
    pub(crate) fn sized() -> Self {
        Self::new(EventKind::Resized, 0, 0, "")
    }

    pub(crate) fn emergency() -> Self {
        let message = "emergency: no worker is ready";
        Self::new(EventKind::Emergency, 0, 0, message)
    }

    pub(crate) fn recovered() -> Self {
        Self::new(EventKind::Recovered, 0, 0, "a worker is ready again")
    }

    pub(crate) fn overloaded(refused: u64, limit: Duration) -> Self {
        let requests = count(refused, "request");
        Self::warning(format!(
            "overload: refused {requests} that had waited longer than max_queue_age = {} s in the \
             listen queue",
            limit.as_secs_f64()
        ))
    }

    pub(crate) fn silent_closed(closed: u64, limit: Duration) -> Self {
        let connections = count(closed, "connection");
        Self::warning(format!(
            "overload: closed {connections} that sent nothing within max_queue_age = {} s",
            limit.as_secs_f64()
        ))
    }

    /// No more workers may be started.
    pub(crate) fn saturated(busy: usize, waiting: usize) -> Self {
        let (workers, connections) = (count(busy, "worker"), count(waiting, "connection"));
        Self::warning(format!(
            "overload: all of {workers} busy, {connections} waiting in the listen queue; \
             n_processes allows no more workers, consider raising it"
        ))
    }

    pub(crate) fn draining(delay: Duration) -> Self {
        Self::notice(format!(
            "draining: everything is still served for drain_delay = {delay:?}; then the stop begins"
        ))
    }

    /// As PID 1 of a container. `None`: a stop is over before the engine loses patience.
    pub(crate) fn pid_1(drain_delay: Duration, die_timeout: Option<Duration>) -> Option<Self> {
        let takes = match die_timeout {
            None => "for ever (die_timeout = 0)".to_owned(),
            Some(limit) if drain_delay.saturating_add(limit) <= ENGINE_PATIENCE => return None,
            Some(limit) => {
                let seconds = drain_delay.saturating_add(limit).as_secs_f64();
                format!("drain_delay + die_timeout = {seconds} s")
            }
        };
        Some(Self::warning(format!(
            "a container engine kills PID 1 and its children {} s after TERM (Kubernetes: 30 s) if \
             not configured otherwise, but a stop may take {takes}",
            ENGINE_PATIENCE.as_secs()
        )))
    }

    pub(crate) fn stopping(workers: usize) -> Self {
        let message = format!("stopping {}", count(workers, "worker"));
        Self::new(EventKind::Stopping, 0, 0, message)
    }

    pub(crate) fn signal(signal: i32) -> Self {
        let message = format!("received {}", handlers::name(signal));
        Self::new(EventKind::Signal, 0, signal, message)
    }

    pub(crate) fn notice(message: impl Into<String>) -> Self {
        Self::new(EventKind::Notice, 0, 0, message)
    }

    /// The same, for something that went wrong.
    pub(crate) fn warning(message: impl Into<String>) -> Self {
        Self {
            level: Level::Warning,
            ..Self::notice(message)
        }
    }
}

/// How a process exited, behind its pid.
pub(crate) struct How(pub(crate) Exit);

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Exit::Code(status) => write!(f, "exited with status {status}"),
            Exit::Signal(signal) => write!(f, "killed by {}", handlers::name(signal)),
            Exit::Unknown => f.write_str(
                "has exited; its status is unknown, because another part of this program reaped it",
            ),
        }
    }
}

/// A number of things, in the singular or the plural.
pub fn count(number: impl fmt::Display, thing: &str) -> String {
    let number = number.to_string();
    let plural = if number == "1" { "" } else { "s" };
    format!("{number} {thing}{plural}")
}
