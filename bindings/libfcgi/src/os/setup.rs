//! Set-up, and the kind and flags of a descriptor.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

use super::events;
use crate::guard::{guard, set_errno};
use crate::process::{FCGX_ShutdownPending, set_up};
use crate::sockets::is_listening;

static INITIALISED: AtomicBool = AtomicBool::new(false);

/// The three descriptors matter only on other systems.
#[unsafe(no_mangle)]
pub extern "C" fn OS_LibInit(_: *const c_int) -> c_int {
    guard(-1, || {
        if !INITIALISED.swap(true, Ordering::AcqRel) {
            set_up();
        }
        0
    })
}

/// Forgets pending operations. Descriptors stay open.
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

/// Whether a descriptor is a listening socket, as a FastCGI program gets one.
#[unsafe(no_mangle)]
pub extern "C" fn OS_IsFcgi(socket: c_int) -> c_int {
    set_errno(0);
    c_int::from(is_listening(socket))
}

/// Adds file status flags, such as O_NONBLOCK.
#[unsafe(no_mangle)]
pub extern "C" fn OS_SetFlags(descriptor: c_int, flags: c_int) {
    // SAFETY: integers only.
    unsafe {
        let now = libc::fcntl(descriptor, libc::F_GETFL);
        if now >= 0 {
            // errno reports a failure.
            libc::fcntl(descriptor, libc::F_SETFL, now | flags);
        }
    }
}
