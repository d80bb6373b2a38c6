//! The host's own handler of the wake-up signal. The kernel also reports out-of-band data by URG.
//! So when the library's handler replaces the host's, it calls it afterwards.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A function that takes the signal alone, or 0.
static HANDLER: AtomicUsize = AtomicUsize::new(0);
/// A function that also takes a siginfo (SA_SIGINFO), or 0.
static INFO_HANDLER: AtomicUsize = AtomicUsize::new(0);

/// Whether it is called. A runtime may have one function for all signals, which must only get
/// signals that its program handles: perl exits when this function gets a signal without a handler.
static IS_WANTED: AtomicBool = AtomicBool::new(true);

/// Whether the host wants the signal.
pub(in crate::sys) fn set_wanted(is_wanted: bool) {
    IS_WANTED.store(is_wanted, Ordering::SeqCst);
}

pub(in crate::sys) fn is_wanted() -> bool {
    IS_WANTED.load(Ordering::SeqCst)
}

/// Remembers the host's handler before the library's replaces it.
pub(in crate::sys) fn remember(before: &libc::sigaction) {
    let handler = match before.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => 0,
        handler => handler,
    };
    let takes_info = before.sa_flags & libc::SA_SIGINFO != 0;
    let (alone, with_info) = if takes_info {
        (0, handler)
    } else {
        (handler, 0)
    };
    HANDLER.store(alone, Ordering::SeqCst);
    INFO_HANDLER.store(with_info, Ordering::SeqCst);
}

/// Calls it if the host wants that. Only for the library's handler.
pub(in crate::sys) fn call(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    if !is_wanted() {
        return;
    }
    let alone = HANDLER.load(Ordering::SeqCst);
    let with_info = INFO_HANDLER.load(Ordering::SeqCst);
    if alone != 0 {
        // SAFETY: the host installed this address as a handler without SA_SIGINFO, so it is such a
        // function.
        let handler: extern "C" fn(i32) = unsafe { std::mem::transmute(alone) };
        handler(signal);
    } else if with_info != 0 {
        // SAFETY: the host installed this address as a handler with SA_SIGINFO, so it is such a
        // function.
        let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) =
            unsafe { std::mem::transmute(with_info) };
        handler(signal, info, context);
    }
}
