//! The worker's side of a manager, as C sees it.

use std::ffi::c_void;

use super::boundary::{enter, enter_quietly};
use crate::{manager, worker};

/// Asks this process to exit: fcgipm_request_accept() finishes the current request and then returns
/// FCGIPM_ERETIRED, in every thread that has a loop.
///
/// It also works without a manager. If SIGURG has no handler, the call installs one, to wake the
/// threads that wait.
///
/// Returns 0. Any thread; async-signal-safe.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_worker_retire() -> i32 {
    enter_quietly(|| {
        worker::retire();
        0
    })
}

/// Checks whether this process should exit: its manager or another process asked it to, it called
/// fcgipm_worker_retire(), or its manager no longer exists.
///
/// Returns 1 or 0. Any thread; no system call, unless a signal of this library arrived.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_worker_retiring() -> i32 {
    enter(|| Ok(i32::from(worker::is_retiring())))
}

/// Checks whether the manager has given notice: a request of this process has exceeded
/// request_timeout. If it is not finished after another request_timeout_grace, the manager kills
/// the process. A long computation that calls this now and then can still end its request properly.
///
/// Returns 1 or 0; 0 if there is no manager. Any thread; async-signal-safe, no system call.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_worker_notice_given() -> i32 {
    enter_quietly(|| i32::from(worker::notice_given()))
}

/// Sets functions that the library calls around its forks of this program. Both may be NULL; each
/// gets the argument.
///
/// before runs in a process that is about to be copied: in the manager, in a template, and in a
/// worker that forks a template (option refork_after). A worker closes there what its copies must
/// not share, such as connections to a database; it opens them again when it needs them. after runs
/// in each new worker, before its first request. In a template all signals are blocked. Neither runs
/// for a program that forks its workers itself (fcgipm_manager_host_forks()).
///
/// Returns 0. Call it before fcgipm_manager_next(); copies of the process have the functions, too.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_worker_fork_hooks(
    before: Option<extern "C" fn(argument: *mut c_void)>,
    after: Option<extern "C" fn(argument: *mut c_void)>,
    argument: *mut c_void,
) -> i32 {
    enter(|| {
        manager::set_fork_hooks(before, after, argument);
        Ok(0)
    })
}

/// Installs the signal handlers of a worker, or reinstalls them. TERM, HUP, INT and QUIT ask the
/// worker to exit; URG is the signal by which its manager wakes it.
///
/// A new worker has them already, unless the option no_signals is set. Programs that fill a signal
/// table of their own call this afterwards.
///
/// Returns 0, or FCGIPM_ESYSTEM with errno. Any thread. After fork, each process has its own
/// handlers.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_worker_protect() -> i32 {
    enter(|| worker::protect().map(|()| 0))
}

/// Reinstalls the handler of one signal if the program or its runtime has replaced it. It is for
/// runtimes that restore a saved signal table.
///
/// signal is URG, by which the manager wakes a worker, or TERM, HUP, INT or QUIT. If the other
/// handler may have received a signal meanwhile, the next wait for a request checks for it.
///
/// calls_host matters for URG only. If it is not 0, the handler that was replaced is called after
/// the library's from now on, also when the manager wakes the worker. A handler that the program
/// had before the library installed its own is always called. A runtime that has one function for
/// all signals passes 0 while the program has no handler for URG.
///
/// Returns 1 if the handler had been replaced, otherwise 0; FCGIPM_EARGUMENT for another signal,
/// FCGIPM_ESYSTEM with errno. Any thread. After fork, each process has its own handlers.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_worker_protect_signal(signal: i32, calls_host: i32) -> i32 {
    enter(|| worker::protect_signal(signal, calls_host != 0).map(i32::from))
}
