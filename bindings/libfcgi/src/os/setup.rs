//! Set-up, and what a descriptor is.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

use super::events;
use crate::guard::{guard, set_errno};
use crate::process::{FCGX_ShutdownPending, handle_signals, is_fastcgi};

static INITIALISED: AtomicBool = AtomicBool::new(false);

/// The three descriptors are for another system's sake.
#[unsafe(no_mangle)]
pub extern "C" fn OS_LibInit(_: *const c_int) -> c_int {
    guard(-1, || {
        if !INITIALISED.swap(true, Ordering::AcqRel) {
            handle_signals();
        }
        0
    })
}

/// Operations that are under way are forgotten. Descriptors stay open.
#[unsafe(no_mangle)]
pub extern "C" fn OS_LibShutdown() {
    guard((), || {
        if INITIALISED.swap(false, Ordering::AcqRel) {
            events::forget_all();
        }
    });
}

/// Async-signal-safe.
#[unsafe(no_mangle)]
pub extern "C" fn OS_ShutdownPending() {
    FCGX_ShutdownPending();
}

/// Whether a descriptor is a socket without a peer, which a FastCGI program is started on.
#[unsafe(no_mangle)]
pub extern "C" fn OS_IsFcgi(socket: c_int) -> c_int {
    set_errno(0);
    c_int::from(is_fastcgi(socket))
}

/// Adds file status flags, such as O_NONBLOCK.
#[unsafe(no_mangle)]
pub extern "C" fn OS_SetFlags(descriptor: c_int, flags: c_int) {
    // SAFETY: integers only.
    unsafe {
        let now = libc::fcntl(descriptor, libc::F_GETFL);
        if now >= 0 {
            // errno tells.
            libc::fcntl(descriptor, libc::F_SETFL, now | flags);
        }
    }
}
