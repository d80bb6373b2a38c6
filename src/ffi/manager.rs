//! The process manager, as C sees it.

use std::ffi::{CString, c_char};
use std::time::Duration;

use super::boundary::{enter, enter_quietly};
use super::handle::{self, Noun};
use super::options::{effective, fcgipm_options};
use crate::error::{Code, Error, Result};
use crate::manager::{self, Event, EventKind, Manager};

/// This process is a new worker. Its copy of the manager handle is of no further use: free it.
pub const FCGIPM_EVENT_IN_WORKER: i32 = 1;
/// All workers have exited and the pid file is removed: the program should exit.
pub const FCGIPM_EVENT_STOPPED: i32 = 2;
/// The manager is set up; no worker was forked yet.
pub const FCGIPM_EVENT_MANAGING: i32 = 3;
/// A worker was forked.
pub const FCGIPM_EVENT_WORKER_STARTED: i32 = 4;
/// A worker has called accept for the first time.
pub const FCGIPM_EVENT_WORKER_READY: i32 = 5;
/// A worker has exited; the status of the event is its wait status (waitpid(2)).
pub const FCGIPM_EVENT_WORKER_EXITED: i32 = 6;
/// A reload has begun.
pub const FCGIPM_EVENT_RELOAD_BEGUN: i32 = 7;
/// A reload is complete: all workers are new and ready, and all old workers have exited.
pub const FCGIPM_EVENT_RELOAD_DONE: i32 = 8;
/// A reload has failed: the old workers continue. The message has the reason.
pub const FCGIPM_EVENT_RELOAD_FAILED: i32 = 9;
/// The manager has asked all workers to exit.
pub const FCGIPM_EVENT_STOPPING: i32 = 10;
/// A signal arrived; the status of the event is its number.
pub const FCGIPM_EVENT_SIGNAL: i32 = 11;
/// A message for the log, nothing else.
pub const FCGIPM_EVENT_NOTICE: i32 = 12;
/// A worker has reached a recycling limit. Its replacement is started first.
pub const FCGIPM_EVENT_RECYCLING: i32 = 13;
/// A request has been running for slow_request.
pub const FCGIPM_EVENT_SLOW_REQUEST: i32 = 14;
/// A request has been running for request_timeout: its worker was notified.
pub const FCGIPM_EVENT_REQUEST_TIMED_OUT: i32 = 15;
/// A worker has missed a deadline: it is being killed.
pub const FCGIPM_EVENT_KILLING: i32 = 16;
/// The wanted number of workers has changed, because of a signal or the load.
pub const FCGIPM_EVENT_RESIZED: i32 = 17;
/// No worker is ready.
pub const FCGIPM_EVENT_EMERGENCY: i32 = 18;
/// A worker is ready again after FCGIPM_EVENT_EMERGENCY.
pub const FCGIPM_EVENT_RECOVERED: i32 = 19;

/// The program must fork a worker: see fcgipm_manager_host_forks().
pub const FCGIPM_EVENT_FORK: i32 = 20;

/// A process manager. Opaque.
pub struct fcgipm_manager(());

/// A manager and its last event.
pub(super) struct Managed {
    pub(super) manager: Manager,
    event: Option<Event>,
    message: CString,
}

impl Noun for Managed {
    type Handle = fcgipm_manager;
    const MAGIC: u32 = 0xfc91_0003;
    const NAME: &'static str = "manager";
}

impl Managed {
    pub(super) fn new(manager: Manager) -> Self {
        Self {
            manager,
            event: None,
            message: CString::default(),
        }
    }

    fn next(&mut self) -> Result<EventKind> {
        self.forget();
        let event = self.manager.next()?;
        Ok(self.remember(event))
    }

    fn next_within(&mut self, limit: Duration) -> Result<Option<EventKind>> {
        self.forget();
        let event = self.manager.next_within(limit)?;
        Ok(event.map(|event| self.remember(event)))
    }

    pub(super) fn forget(&mut self) {
        self.event = None;
        self.message = CString::default();
    }

    pub(super) fn remember(&mut self, event: Event) -> EventKind {
        let kind = event.kind;
        self.message = CString::new(event.message.replace('\0', "\\0")).unwrap_or_default();
        self.event = Some(event);
        kind
    }
}

/// Makes a process manager. fcgipm_manager_next() starts it.
///
/// options may be NULL and is not needed after the call. The options of the manager and its workers
/// apply (docs/OPTIONS.md); the environment overrides them.
///
/// Returns a handle, which the caller frees with fcgipm_manager_free(). On failure it returns NULL:
/// FCGIPM_EOPTION or FCGIPM_EVALUE for an error in the environment, FCGIPM_EVALUE for options that
/// contradict each other, FCGIPM_EHANDLE for options. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_manager_new(options: *const fcgipm_options) -> *mut fcgipm_manager {
    enter(|| {
        let manager = Manager::new(&effective(options)?)?;
        Ok(handle::make(Managed::new(manager)))
    })
}

/// Frees a manager; NULL is allowed.
///
/// If the manager is running, it asks its workers to exit and does not wait for them. Signals that
/// fcgipm_manager_fork_begins() has blocked are unblocked. In a worker, only memory is freed.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_manager_free(manager: *mut fcgipm_manager) {
    enter(|| handle::free::<Managed>(manager));
}

/// Runs the manager until the next event.
///
/// The first call starts it: pid file, signal handlers, the first workers. Workers are forked
/// within these calls, unless fcgipm_manager_host_forks() was called. So a call returns more than
/// once: in the parent, and with FCGIPM_EVENT_IN_WORKER in each worker. With n_processes 0 it forks
/// nothing, and returns FCGIPM_EVENT_IN_WORKER in the calling process. A program that "fcgipm run"
/// started gets the same: its manager is that of "fcgipm run".
///
/// For a reload of the program (SIGUSR2, or the option reload), the manager starts the program again
/// with the arguments, environment and working directory of its own start. In that process, the
/// template, fcgipm_socket_open() returns the manager's sockets, and this call forks the workers
/// when the manager asks for one. It returns only in a worker, with FCGIPM_EVENT_IN_WORKER. At the
/// end the template exits without the program's exit handlers. After fcgipm_manager_host_forks(), it
/// returns FCGIPM_EVENT_FORK in a child of the template, which exits in fcgipm_manager_forked().
/// From the first such reload on, the manager is a subreaper (prctl(2)): it reaps orphans of its
/// descendants, but not the children that the program had before.
///
/// If a service manager started the process (NOTIFY_SOCKET, sd_notify(3)), the manager reports to
/// it within these calls: when the first worker is ready, reloads, the stop, its state, and for the
/// watchdog. If the service manager can store descriptors (FDSTORE), it keeps the sockets that
/// fcgipm_socket_open() made for the next start, and a stop leaves them alone. docs/SYSTEMD.md has
/// more.
///
/// Before anything else, the manager tries the change of user, group, root and limits in a
/// short-lived child, so an impossible change is reported here. If the change later fails in a
/// worker, the call returns FCGIPM_ESYSTEM there, with a message that names the step. Some steps
/// may have been taken, so the worker must exit; fcgipm_request_accept() returns FCGIPM_ESTATE in
/// it. The manager treats it as a worker that died before it was ready.
///
/// Returns one of FCGIPM_EVENT_.... Errors at start: FCGIPM_ETHREADS if the process has more than
/// one thread, FCGIPM_EVALUE for an unknown user or group, or for such options with n_processes 0,
/// FCGIPM_EPIDFILE, FCGIPM_ERUNNING, FCGIPM_EDESCRIPTORS, FCGIPM_ESYSTEM. Later:
/// FCGIPM_EINTERRUPTED if a signal that the manager does not handle ended the wait: call again;
/// FCGIPM_ESTATE after FCGIPM_EVENT_STOPPED, and between fcgipm_manager_fork_begins() and
/// fcgipm_manager_forked(); FCGIPM_EFORKED in a worker, FCGIPM_EHANDLE. Always call it in the same
/// thread.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_manager_next(manager: *mut fcgipm_manager) -> i32 {
    enter(|| {
        handle::with(manager, |managed: &mut Managed| {
            managed.next().map(|kind| kind as i32)
        })
    })
}

/// Like fcgipm_manager_next(), but waits for at most the given number of milliseconds, for programs
/// that have other work to do. Call it often: the manager acts only within these calls.
///
/// Returns 0 if there was no event in that time, otherwise as fcgipm_manager_next(). Always call it
/// in the same thread.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_manager_next_within(
    manager: *mut fcgipm_manager,
    milliseconds: u32,
) -> i32 {
    enter(|| {
        handle::with(manager, |managed: &mut Managed| {
            let limit = Duration::from_millis(u64::from(milliseconds));
            let kind = managed.next_within(limit)?;
            Ok(kind.map_or(0, |kind| kind as i32))
        })
    })
}

/// Runs the manager until it has stopped, for programs that do not need its events.
///
/// Returns FCGIPM_EVENT_IN_WORKER in each worker, FCGIPM_EVENT_STOPPED in the parent at the end,
/// FCGIPM_ESTATE after fcgipm_manager_host_forks(), or an error of fcgipm_manager_next().
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_manager_run(manager: *mut fcgipm_manager) -> i32 {
    enter(|| {
        handle::with(manager, |managed: &mut Managed| {
            if managed.manager.host_forks() {
                return Err(Error::new(
                    Code::State,
                    "the host forks the workers of this manager: use fcgipm_manager_next()",
                ));
            }
            loop {
                match managed.next() {
                    Ok(end @ (EventKind::InWorker | EventKind::Stopped)) => return Ok(end as i32),
                    Ok(_) => {}
                    Err(error) if error.code() == Code::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        })
    })
}

/// Changes the wanted number of workers of a running manager, as the signals TTIN and TTOU do. With
/// pm=dynamic and pm=ondemand, it changes the maximum.
///
/// workers is at least 1, and at most the maximum of n_processes; other values are adjusted to that
/// range.
///
/// Returns 0; FCGIPM_ESTATE before the first fcgipm_manager_next(), after FCGIPM_EVENT_STOPPED, and
/// between fcgipm_manager_fork_begins() and fcgipm_manager_forked(); FCGIPM_EFORKED,
/// FCGIPM_EHANDLE. Call it in the thread of fcgipm_manager_next().
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_manager_resize(manager: *mut fcgipm_manager, workers: u32) -> i32 {
    enter(|| {
        handle::with(manager, |managed: &mut Managed| {
            let workers = usize::try_from(workers).unwrap_or(usize::MAX);
            managed.manager.resize(workers).map(|()| 0)
        })
    })
}

/// The worker that the last event is about.
///
/// Returns its pid, or 0 if the event is not about a worker; FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_manager_event_pid(manager: *const fcgipm_manager) -> i32 {
    enter(|| {
        handle::with(manager, |m: &mut Managed| {
            Ok(m.event.as_ref().map_or(0, |event| event.pid))
        })
    })
}

/// The number that belongs to the last event.
///
/// Returns a wait status for FCGIPM_EVENT_WORKER_EXITED, a signal number for FCGIPM_EVENT_SIGNAL,
/// otherwise 0; FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_manager_event_status(manager: *const fcgipm_manager) -> i32 {
    enter(|| {
        handle::with(manager, |m: &mut Managed| {
            Ok(m.event.as_ref().map_or(0, |event| event.status))
        })
    })
}

/// The last event as a line for the log, without a prefix and without a newline.
///
/// Returns a string that belongs to the library and is valid until the next call with this manager.
/// It is "" if the event has no message. NULL for FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_manager_event_message(manager: *const fcgipm_manager) -> *const c_char {
    enter(|| handle::with(manager, |m: &mut Managed| Ok(m.message.as_ptr())))
}

/// Passes a signal that the program caught to the manager, for programs that set the option
/// no_signals.
///
/// The signal reaches the manager that runs in this process, whatever handle is given. If none
/// runs, nothing happens.
///
/// Returns 0. Any thread; async-signal-safe.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_manager_signal(manager: *const fcgipm_manager, signal: i32) -> i32 {
    enter_quietly(|| {
        // A signal handler may interrupt another call with the handle, so it is not used.
        let _ = manager;
        manager::signal(signal);
        0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_event_numbers_of_the_header_are_those_of_the_manager() {
        for (constant, kind) in [
            (FCGIPM_EVENT_IN_WORKER, EventKind::InWorker),
            (FCGIPM_EVENT_STOPPED, EventKind::Stopped),
            (FCGIPM_EVENT_MANAGING, EventKind::Managing),
            (FCGIPM_EVENT_WORKER_STARTED, EventKind::WorkerStarted),
            (FCGIPM_EVENT_WORKER_READY, EventKind::WorkerReady),
            (FCGIPM_EVENT_WORKER_EXITED, EventKind::WorkerExited),
            (FCGIPM_EVENT_RELOAD_BEGUN, EventKind::ReloadBegun),
            (FCGIPM_EVENT_RELOAD_DONE, EventKind::ReloadDone),
            (FCGIPM_EVENT_RELOAD_FAILED, EventKind::ReloadFailed),
            (FCGIPM_EVENT_STOPPING, EventKind::Stopping),
            (FCGIPM_EVENT_SIGNAL, EventKind::Signal),
            (FCGIPM_EVENT_NOTICE, EventKind::Notice),
            (FCGIPM_EVENT_RECYCLING, EventKind::Recycling),
            (FCGIPM_EVENT_SLOW_REQUEST, EventKind::SlowRequest),
            (FCGIPM_EVENT_REQUEST_TIMED_OUT, EventKind::RequestTimedOut),
            (FCGIPM_EVENT_KILLING, EventKind::Killing),
            (FCGIPM_EVENT_RESIZED, EventKind::Resized),
            (FCGIPM_EVENT_EMERGENCY, EventKind::Emergency),
            (FCGIPM_EVENT_RECOVERED, EventKind::Recovered),
            (FCGIPM_EVENT_FORK, EventKind::Fork),
        ] {
            assert_eq!(constant, kind as i32);
        }
    }
}
