//! A handler that ends the waits and then calls the host's own, for hosts with one handler for all
//! signals: an interpreter installs the same function for every signal. That function only notes
//! the signal, and the program's handler runs later.

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use nix::errno::Errno;

use crate::error::{Code, Error, Result};
use crate::sys::fd::sent_copy;
use crate::sys::signal::{hosts_handler, wakeup};

type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// The host's handler.
static HOSTS: AtomicPtr<libc::c_void> = AtomicPtr::new(ptr::null_mut());

/// It was called since the last [`has_called`].
static HAS_CALLED: AtomicBool = AtomicBool::new(false);

/// Replaces the handler that `slot` points to by one that ends the waits and calls it; also where
/// it is already installed.
///
/// # Errors
/// [`Code::State`]: another handler was chained before.
///
/// The host promises that `slot` is NULL, or valid for reads and writes and contains NULL or a
/// function that can be a handler with three arguments.
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
    let chained =
        HOSTS.compare_exchange(ptr::null_mut(), theirs, Ordering::AcqRel, Ordering::Acquire);
    if chained.is_err_and(|other| other != theirs) {
        return Err(Error::new(
            Code::State,
            "chaining a handler: another one was chained before",
        ));
    }
    // SAFETY: the host's promise.
    unsafe { *slot = ours };
    (1..=libc::SIGRTMAX()).for_each(|signal| replace(signal, theirs as usize, ours as usize));
    Ok(())
}

/// Whether the host's handler was called since the last call. The program's handlers may not have
/// run yet.
pub(crate) fn has_called() -> bool {
    HAS_CALLED.swap(false, Ordering::SeqCst)
}

/// If `theirs` is the handler of a signal, replaces it by `ours`. The flags and the mask stay.
fn replace(signal: i32, theirs: usize, ours: usize) {
    // SAFETY: zeroed is a valid sigaction; a NULL action only queries.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: as above. It fails for the C library's own signals, which the host cannot handle.
    if unsafe { libc::sigaction(signal, ptr::null(), &raw mut action) } != 0
        || action.sa_sigaction != theirs
    {
        return;
    }
    action.sa_sigaction = ours;
    // SAFETY: the action just queried, with a handler that calls the previous one.
    unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
}

extern "C" fn on_signal(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let errno = Errno::last_raw();
    // First, because the host's handler may not return.
    let is_for_host = if signal == wakeup::WAKE_SIGNAL {
        // The host has replaced the handler of the wake-up. Reinstalling it fails for no valid
        // signal.
        let _ = wakeup::restore(wakeup::WAKE_SIGNAL);
        sent_copy::answer();
        hosts_handler::is_wanted()
    } else {
        wakeup::interrupt(wakeup::Scope::ThisThread);
        true
    };
    Errno::set_raw(errno);
    if !is_for_host {
        return;
    }
    let hosts = HOSTS.load(Ordering::Acquire);
    if !hosts.is_null() {
        HAS_CALLED.store(true, Ordering::SeqCst);
        // SAFETY: the host gave it as a handler; it gets what the kernel passed.
        let hosts: Handler = unsafe { std::mem::transmute(hosts) };
        hosts(signal, info, context);
    }
}
