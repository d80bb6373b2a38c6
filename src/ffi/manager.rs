//! The process manager, as C sees it.

use std::ffi::{CString, c_char};
use std::time::Duration;

use super::boundary::{enter, enter_quietly};
use super::handle::{self, Noun};
use super::options::{effective, fcgipm_options};
use crate::error::{Code, Error, Result};
use crate::manager::{self, Event, EventKind, Manager};

/// This process is a fresh worker now. The manager's handle is spent: free it.
pub const FCGIPM_EVENT_IN_WORKER: i32 = 1;
/// All workers are gone and the pid file is removed: the host should end.
pub const FCGIPM_EVENT_STOPPED: i32 = 2;
/// The manager is set up; nothing was forked yet.
pub const FCGIPM_EVENT_MANAGING: i32 = 3;
/// A worker was forked.
pub const FCGIPM_EVENT_WORKER_STARTED: i32 = 4;
/// A worker has entered its first accept.
pub const FCGIPM_EVENT_WORKER_READY: i32 = 5;
/// A worker is gone; the status is its wait status (waitpid(2)).
pub const FCGIPM_EVENT_WORKER_EXITED: i32 = 6;
/// A reload has begun.
pub const FCGIPM_EVENT_RELOAD_BEGUN: i32 = 7;
/// Every worker is a new one, and ready, and the old ones have exited.
pub const FCGIPM_EVENT_RELOAD_DONE: i32 = 8;
/// The old workers go on; the message says why.
pub const FCGIPM_EVENT_RELOAD_FAILED: i32 = 9;
/// The workers were told to leave.
pub const FCGIPM_EVENT_STOPPING: i32 = 10;
/// A signal arrived; the status is its number.
pub const FCGIPM_EVENT_SIGNAL: i32 = 11;
/// Worth a line in a log, and nothing else.
pub const FCGIPM_EVENT_NOTICE: i32 = 12;
/// A worker has reached a limit that recycles it: a successor is started first.
pub const FCGIPM_EVENT_RECYCLING: i32 = 13;
/// A request has been running for as long as slow_request.
pub const FCGIPM_EVENT_SLOW_REQUEST: i32 = 14;
/// A request has been running for as long as request_timeout: its worker got notice.
pub const FCGIPM_EVENT_REQUEST_TIMED_OUT: i32 = 15;
/// A worker has missed a deadline, and is killed.
pub const FCGIPM_EVENT_KILLING: i32 = 16;
/// Another number of workers is wanted, by a signal or by the load.
pub const FCGIPM_EVENT_RESIZED: i32 = 17;
/// No worker is ready.
pub const FCGIPM_EVENT_EMERGENCY: i32 = 18;
/// After an emergency a worker is ready again.
pub const FCGIPM_EVENT_RECOVERED: i32 = 19;

/// The host is to fork a worker: see fcgipm_manager_host_forks().
pub const FCGIPM_EVENT_FORK: i32 = 20;

/// A process manager. Opaque.
pub struct fcgipm_manager(());

/// A manager and the last thing that happened to it.
struct Managed {
    manager: Manager,
    event: Option<Event>,
    message: CString,
}

impl Noun for Managed {
    type Handle = fcgipm_manager;
    const MAGIC: u32 = 0xfc91_0003;
    const NAME: &'static str = "manager";
}

impl Managed {
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

    fn forget(&mut self) {
        self.event = None;
        self.message = CString::default();
    }

    fn remember(&mut self, event: Event) -> EventKind {
        let kind = event.kind;
        self.message = CString::new(event.message.replace('\0', "\\0")).unwrap_or_default();
        self.event = Some(event);
        kind
    }
}

/// Makes a manager. It starts nothing yet.
///
/// options may be NULL and is not needed afterwards; n_processes, die_timeout, start_timeout,
/// start_delay, reload_surge, pid_fname, pm_title, no_signals, log and those that say who the
/// workers are (user, group, chroot, chdir, priority, rlimit_core, rlimit_files, no_new_privs)
/// count, and the environment wins over them.
///
/// Returns a handle that the caller frees with fcgipm_manager_free(), or NULL: FCGIPM_EOPTION or
/// FCGIPM_EVALUE for the environment, FCGIPM_EHANDLE for options.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_manager_new(options: *const fcgipm_options) -> *mut fcgipm_manager {
    enter(|| {
        let manager = Manager::new(&effective(options)?)?;
        Ok(handle::make(Managed {
            manager,
            event: None,
            message: CString::default(),
        }))
    })
}

/// Frees a manager; NULL is fine. Workers of one that runs are told to leave and not waited for;
/// in a worker, only memory is freed. Signals that fcgipm_manager_fork_begins() has blocked are
/// released.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_manager_free(manager: *mut fcgipm_manager) {
    enter(|| handle::free::<Managed>(manager));
}

/// Waits for the next thing that happens, and returns it: one of FCGIPM_EVENT_...
///
/// The first call starts the manager: pid file, signal handlers, the first workers. The workers
/// are forked within these calls, so each of them returns more than once: in the parent, and in
/// each worker with FCGIPM_EVENT_IN_WORKER, unless fcgipm_manager_host_forks() was called. With
/// n_processes 0 the caller is its own only worker at once, and so is a program that "fcgipm run"
/// started: its manager is that one.
///
/// A worker that cannot become who the options say gets FCGIPM_ESYSTEM, and the message names the
/// step: some may have been taken and others not, so it must end, and fcgipm_request_accept() in
/// it returns FCGIPM_ESTATE. The manager counts it as one that died before it was ready. What
/// cannot work at all is found when the manager starts: the steps are tried in a short-lived
/// child, before anything else is done.
///
/// Returns FCGIPM_ETHREADS when the process has more than one thread, FCGIPM_EVALUE for a user or
/// group that is unknown, or for such options with n_processes 0, FCGIPM_EPIDFILE,
/// FCGIPM_ERUNNING, FCGIPM_EDESCRIPTORS, FCGIPM_ESYSTEM when it cannot start;
/// FCGIPM_EINTERRUPTED when a signal that is not the manager's ended the wait: call again;
/// FCGIPM_ESTATE after the end, and between fcgipm_manager_fork_begins() and
/// fcgipm_manager_forked(); FCGIPM_EFORKED in a worker, FCGIPM_EHANDLE. One thread only.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_manager_next(manager: *mut fcgipm_manager) -> i32 {
    enter(|| {
        handle::with(manager, |managed: &mut Managed| {
            managed.next().map(|kind| kind as i32)
        })
    })
}

/// As fcgipm_manager_next(), but waits no longer than milliseconds, for hosts that have something
/// else to do meanwhile. Call it often: what it does not see, it does not act upon.
///
/// Returns 0 when nothing happened in that time, else as fcgipm_manager_next(). One thread only.
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

/// Runs the manager to its end, for hosts that do not care about events.
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
                    "the host of this manager forks: fcgipm_manager_next() says when",
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

/// Has the host fork the workers (yes is not 0) or, as at first, the library. For a host whose
/// language has hooks around its own fork, which see nothing of one that a library makes.
///
/// Then fcgipm_manager_next() returns FCGIPM_EVENT_FORK for each worker, again and again until the
/// host says that it forks, does so by its own means, and says in both processes what came of it:
///
///   event = fcgipm_manager_next(manager);
///   if (event == FCGIPM_EVENT_FORK && (event = fcgipm_manager_fork_begins(manager)) == 0) {
///       pid_t pid = fork();
///       event = fcgipm_manager_forked(manager, pid, pid < 0 ? errno : 0);
///   }
///
/// Returns 0; FCGIPM_ESTATE after the first fcgipm_manager_next(), FCGIPM_EHANDLE. One thread only.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_manager_host_forks(manager: *mut fcgipm_manager, yes: i32) -> i32 {
    enter(|| {
        handle::with(manager, |managed: &mut Managed| {
            managed.manager.set_host_forks(yes != 0).map(|()| 0)
        })
    })
}

/// Says that the host forks now, after FCGIPM_EVENT_FORK. Until fcgipm_manager_forked() all signals
/// are blocked in the calling thread, so that one that reaches the child waits for the worker's
/// handlers; the only other calls with the manager that do not return FCGIPM_ESTATE are those about
/// the last event, fcgipm_manager_signal(), and fcgipm_manager_free(), which takes it for a fork
/// that has failed.
///
/// Returns 0; FCGIPM_EINTERRUPTED, and nothing is blocked, when the handler of an interpreter
/// (fcgipm_signal_chain()) has noted a signal since the last time that this was returned: have the
/// program's own handler run, and call again, so that it does not run while signals are blocked.
/// FCGIPM_ESYSTEM when there is no room for what a worker needs, which the manager takes for a fork
/// that has failed; FCGIPM_ESTATE when no fork was asked for, or it was begun already;
/// FCGIPM_EFORKED, FCGIPM_EHANDLE. One thread only.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_manager_fork_begins(manager: *mut fcgipm_manager) -> i32 {
    enter(|| {
        handle::with(manager, |managed: &mut Managed| {
            managed.manager.fork_begins().map(|()| 0)
        })
    })
}

/// Says what came of the fork that fcgipm_manager_fork_begins() began. The parent and the child
/// call it, at once, and each in the thread that began it.
///
/// pid is what fork(2) returned: the child's in the parent, 0 in the child, -1 if there is no
/// child. Then error is errno, and the manager does as after a failure of its own: it says so in
/// the log and tries again a second later. A child that there is nevertheless, because something
/// failed behind the fork, leaves at its first fcgipm_request_accept(). A host that does not fork
/// at all may say so without fcgipm_manager_fork_begins(). For any other pid, error does not count.
/// In the child the call waits for the one in the parent, or for its death.
///
/// The child is one of this process's own, not waited for and not a worker already, and was made
/// by fork(3) or something on top of it: not by vfork(2), and not by a clone(2) that passes by
/// the handlers of pthread_atfork(3). From then on it is the manager's to wait for.
///
/// Returns 0 in the parent and FCGIPM_EVENT_IN_WORKER in the child, or there one of the errors
/// that fcgipm_manager_next() has for a worker. FCGIPM_ESTATE when no fork was asked for, it was
/// said already, or a fork has succeeded that was not begun; FCGIPM_EARGUMENT, and errno ECHILD, for
/// a pid that is no such child; FCGIPM_EARGUMENT for 0 in the parent, and for -1 without an error;
/// FCGIPM_EFORKED for anything but 0 in a child. After FCGIPM_EARGUMENT and FCGIPM_EFORKED the fork
/// is still waited for, and the signals are still blocked. FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_manager_forked(manager: *mut fcgipm_manager, pid: i32, error: i32) -> i32 {
    enter(|| {
        handle::with(manager, |managed: &mut Managed| {
            let event = managed.manager.forked(pid, error)?;
            managed.forget();
            Ok(event.map_or(0, |event| managed.remember(event) as i32))
        })
    })
}

/// Asks a manager that runs for another number of workers, as TTIN and TTOU do: at least 1, and
/// no more than an n_processes can be. With pm=dynamic and pm=ondemand it is the most.
///
/// Returns 0; FCGIPM_ESTATE before the first fcgipm_manager_next(), after the end, and between
/// fcgipm_manager_fork_begins() and fcgipm_manager_forked(); FCGIPM_EFORKED, FCGIPM_EHANDLE. One
/// thread only.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_manager_resize(manager: *mut fcgipm_manager, workers: u32) -> i32 {
    enter(|| {
        handle::with(manager, |managed: &mut Managed| {
            let workers = usize::try_from(workers).unwrap_or(usize::MAX);
            managed.manager.resize(workers).map(|()| 0)
        })
    })
}

/// The worker that the last event of this manager concerns.
///
/// Returns its pid, or 0 when it concerns none; FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_manager_event_pid(manager: *const fcgipm_manager) -> i32 {
    enter(|| {
        handle::with(manager, |m: &mut Managed| {
            Ok(m.event.as_ref().map_or(0, |event| event.pid))
        })
    })
}

/// The last event's number.
///
/// Returns a wait status for FCGIPM_EVENT_WORKER_EXITED, a signal for FCGIPM_EVENT_SIGNAL, else 0;
/// FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_manager_event_status(manager: *const fcgipm_manager) -> i32 {
    enter(|| {
        handle::with(manager, |m: &mut Managed| {
            Ok(m.event.as_ref().map_or(0, |event| event.status))
        })
    })
}

/// The last event as a line for people, without a prefix and without a newline.
///
/// Returns a string that belongs to the library and lives until the next call with this manager;
/// "" if there is nothing to say, NULL for FCGIPM_EHANDLE.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_manager_event_message(manager: *const fcgipm_manager) -> *const c_char {
    enter(|| handle::with(manager, |m: &mut Managed| Ok(m.message.as_ptr())))
}

/// Hands in a signal that the host caught, for hosts that set the option no_signals.
///
/// It reaches the manager that runs in this process, whichever handle is given; where none runs,
/// nothing happens.
///
/// Returns 0. Any thread; async-signal-safe.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_manager_signal(manager: *const fcgipm_manager, signal: i32) -> i32 {
    enter_quietly(|| {
        // In a signal handler a handle may be half-way through another call.
        let _ = manager;
        manager::signal(signal);
        0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_and_the_manager_agree_on_events() {
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
