//! The program's own signal handlers, as C sees them.

use std::ffi::c_void;

use super::boundary::{enter, enter_quietly};
use crate::server;

/// Ends the wait for a request; call it in a signal handler. fcgipm_request_accept() then returns
/// FCGIPM_EINTERRUPTED in each request loop of this process that has FCGIPM_FAIL_ACCEPT_ON_INTR or
/// FCGIPM_RETURN_ON_SIGNAL. A loop that is not waiting returns it from its next call.
///
/// It closes a gap that the system call alone leaves: a signal that arrives after the program has
/// checked the variable that its handler sets, but before the system call waits, would be noticed
/// only after the next request. If SIGURG has no handler and a thread waits, the call installs one.
///
/// Returns 0. Any thread; async-signal-safe.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_signal_arrived() -> i32 {
    enter_quietly(|| {
        server::interrupt();
        0
    })
}

/// For interpreters that install one handler for all signals and run the program's handlers later.
///
/// handler points to the variable that holds the address of that handler. The library replaces it
/// with a handler that calls the original and then ends the wait of the interrupted thread, as
/// fcgipm_signal_arrived() does. It also replaces the handler of each signal for which the original
/// is already installed. SIGURG ends no wait.
///
/// Returns 0; FCGIPM_EARGUMENT for NULL, FCGIPM_ESTATE if another handler was given before. Call it
/// before the process has other threads.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_signal_chain(handler: *mut *mut c_void) -> i32 {
    enter(|| server::chain_handler(handler).map(|()| 0))
}
