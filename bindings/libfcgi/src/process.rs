//! The set-up of the process: its manager, and signals.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr;

use fcgipm::server::listen;
use fcgipm::worker;

use crate::preloaded;
use crate::settings::warn;

/// What a program's first call does, whichever it is. Not earlier: a program that never calls must
/// not be taken for one that will accept.
pub(crate) fn set_up() {
    preloaded::before_adoption();
    // Children of a program that forks later are not those that the variables name.
    listen::note_passed();
    if let Err(error) = worker::adopt() {
        warn(&format!(
            "continues without its manager: {}",
            error.message()
        ));
    }
    handle_signals();
}

extern "C" fn on_pipe(_: c_int) {}

extern "C" fn on_end(_: c_int) {
    worker::retire();
}

/// As libfcgi does for a program without handlers of its own, even where it ignores the signals:
/// TERM and USR1 end it after the request, and a write without a reader does not. Under a manager
/// its handlers are already installed.
fn handle_signals() {
    set_if_unhandled(libc::SIGPIPE, on_pipe);
    set_if_unhandled(libc::SIGUSR1, on_end);
    set_if_unhandled(libc::SIGTERM, on_end);
}

fn set_if_unhandled(signal: c_int, handler: extern "C" fn(c_int)) {
    // SAFETY: sigaction fills the struct; all zeroes is a valid one, with an empty mask. As with
    // libfcgi there is no SA_RESTART: the signal also interrupts the program's own calls.
    unsafe {
        let mut now: libc::sigaction = MaybeUninit::zeroed().assume_init();
        if libc::sigaction(signal, ptr::null(), &raw mut now) != 0
            || ![libc::SIG_DFL, libc::SIG_IGN].contains(&now.sa_sigaction)
        {
            return;
        }
        now.sa_sigaction = handler as *const () as usize;
        now.sa_flags = 0;
        libc::sigaction(signal, &raw const now, ptr::null_mut());
    }
}

/// Asks this process to exit: the current request is finished, and FCGX_Accept returns, immediately
/// if it is waiting. Async-signal-safe.
#[unsafe(no_mangle)]
pub extern "C" fn FCGX_ShutdownPending() {
    worker::retire();
}
