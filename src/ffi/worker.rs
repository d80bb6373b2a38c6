//! A worker's own view, as C sees it.

use super::boundary::{enter, enter_quietly};
use crate::worker;

/// Asks this process to leave: the request that runs is finished, then fcgipm_request_accept()
/// returns FCGIPM_ERETIRED, in every thread that has a loop. Works without a manager, too; where
/// SIGURG has no handler, one is installed, to reach the threads that wait.
///
/// Returns 0. Any thread; async-signal-safe.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_worker_retire() -> i32 {
    enter_quietly(|| {
        worker::retire();
        0
    })
}

/// Whether this process is to leave: it was retired, asked to, or its manager is gone.
///
/// Returns 1 or 0. Any thread; no system call unless a signal of this library arrived.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_worker_retiring() -> i32 {
    enter(|| Ok(i32::from(worker::is_retiring())))
}

/// Whether the manager gave notice: a request that this process is serving has passed
/// request_timeout, and request_timeout_grace later the process is killed unless the request is
/// finished by then. What asks now and then can still end its request in good order.
///
/// Returns 1 or 0; 0 where there is no manager. Any thread; async-signal-safe, no system call.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_worker_notice_given() -> i32 {
    enter_quietly(|| i32::from(worker::notice_given()))
}

/// Installs a worker's signal handlers (again): TERM, HUP, INT and QUIT ask it to leave, URG is how
/// its manager reaches it. A fresh worker has them already, unless the option no_signals is set;
/// hosts with a signal table of their own call this after they have filled it.
///
/// Returns 0, or FCGIPM_ESYSTEM with errno. After fork each process has its own handlers.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_worker_protect() -> i32 {
    enter(|| worker::protect().map(|()| 0))
}

/// Puts the handler of one signal back, if the host or its runtime has put another in its
/// place: URG, by which the manager reaches a worker, or TERM, HUP, INT or QUIT. For runtimes
/// that restore a table of signals of their own; what the other handler may have taken in is
/// looked for in the next wait.
///
/// calls_host matters for URG alone: unless it is 0, the handler that was replaced is called
/// after the library's from then on, also when the manager reaches the worker. That is so
/// from the start, for a host with a handler of its own. A runtime that has one function for
/// all signals passes 0 while its program has no handler for URG.
///
/// Returns 1 if the handler had to be put back and 0 if it was there, FCGIPM_EARGUMENT for
/// another signal, or FCGIPM_ESYSTEM with errno. Any thread. After fork each process has its
/// own handlers.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_worker_protect_signal(signal: i32, calls_host: i32) -> i32 {
    enter(|| worker::protect_signal(signal, calls_host != 0).map(i32::from))
}
