//! The host's own signal handlers, as C sees it.

use std::ffi::c_void;

use super::boundary::{enter, enter_quietly};
use crate::server;

/// For a signal handler of the host's: fcgipm_request_accept() returns FCGIPM_EINTERRUPTED, in each
/// request loop of this process that has FCGIPM_FAIL_ACCEPT_ON_INTR or FCGIPM_RETURN_ON_SIGNAL; if
/// it does not wait for a request now, the next call does so. Without it, a signal that arrives
/// between the host's look at a variable that its handler sets and the system call that waits
/// would be noticed with the next request. Where SIGURG has no handler and a thread waits, one is
/// installed.
///
/// Returns 0. Any thread; async-signal-safe.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_signal_arrived() -> i32 {
    enter_quietly(|| {
        server::interrupt();
        0
    })
}

/// For interpreters, which install one handler for all signals, and run their own later: handler
/// points to the variable that holds its address. That is replaced by a handler that calls it and
/// also ends the wait of the thread that the signal interrupted, as fcgipm_signal_arrived() does; so
/// is the handler of each signal that has it already. SIGURG ends no wait.
///
/// Returns 0; FCGIPM_EARGUMENT for NULL; FCGIPM_ESTATE when another handler was given before.
/// Call it before there are other threads.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_signal_chain(handler: *mut *mut c_void) -> i32 {
    enter(|| server::chain_handler(handler).map(|()| 0))
}
