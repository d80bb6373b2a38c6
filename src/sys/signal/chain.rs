//! A handler that calls the host's own and then ends the waits, for hosts whose handlers all have one address: an
//! interpreter installs the same function for every signal, which only notes it, and its handler runs later.

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use nix::errno::Errno;

use crate::error::{Code, Error, Result};
use crate::sys::signal::{hosts_handler, wakeup};

type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// The host's handler.
static BEHIND: AtomicPtr<libc::c_void> = AtomicPtr::new(ptr::null_mut());

/// It was called since somebody asked.
static HAS_CALLED: AtomicBool = AtomicBool::new(false);

/// Replaces the handler that `slot` points to, and where it is installed already, by one that ends the waits and calls
/// it.
///
/// # Errors
/// [`Code::State`]: another handler was given before.
///
/// The host promises that `slot` is NULL, or valid for reads and writes and holds NULL or a function that can be a handler
/// with three arguments.
pub(crate) fn chain(slot: *mut *mut libc::c_void) -> Result<()> {
    let null = || Error::new(Code::Argument, "chaining a handler: NULL");
    if slot.is_null() {
        return Err(null());
    }
    let ours = on_signal as *const () as *mut libc::c_void;
    // SAFETY: the host's promise.
    let theirs = unsafe { *slot };
    if theirs == ours {
        return Ok(());
    }
    if theirs.is_null() {
        return Err(null());
    }
    if let Err(other) =
        BEHIND.compare_exchange(ptr::null_mut(), theirs, Ordering::AcqRel, Ordering::Acquire)
        && other != theirs
    {
        return Err(Error::new(
            Code::State,
            "chaining a handler: another one was given before",
        ));
    }
    // SAFETY: the host's promise.
    unsafe { *slot = ours };
    (1..=libc::SIGRTMAX()).for_each(|signal| replace(signal, theirs as usize, ours as usize));
    Ok(())
}

/// Whether the host's handler was called since this was last asked. What it has noted may not have run yet.
pub(crate) fn has_called() -> bool {
    HAS_CALLED.swap(false, Ordering::SeqCst)
}

/// Where `theirs` is the handler of a signal, `ours` becomes it. The flags and the mask stay.
fn replace(signal: i32, theirs: usize, ours: usize) {
    // SAFETY: zeroed is a valid sigaction, and a NULL action only asks.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: as above. It fails for the C library's own signals, which have no handler of the host's.
    if unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) } != 0
        || action.sa_sigaction != theirs
    {
        return;
    }
    action.sa_sigaction = ours;
    // SAFETY: what was asked a moment ago, with a handler that calls the one that was there.
    unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
}

extern "C" fn on_signal(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let errno = Errno::last_raw();
    // First, because the host's handler may not return.
    let is_for_host = if signal == wakeup::WAKE_SIGNAL {
        // The host has put its handler in the place of the wake-up's. A valid signal's handler can always be installed.
        let _ = wakeup::restore(wakeup::WAKE_SIGNAL);
        hosts_handler::is_wanted()
    } else {
        wakeup::interrupt(wakeup::Whose::ThisThread);
        true
    };
    Errno::set_raw(errno);
    if !is_for_host {
        return;
    }
    let behind = BEHIND.load(Ordering::Acquire);
    if !behind.is_null() {
        HAS_CALLED.store(true, Ordering::SeqCst);
        // SAFETY: it was given as a handler, and gets what the kernel passed.
        let behind: Handler = unsafe { std::mem::transmute(behind) };
        behind(signal, info, context);
    }
}
