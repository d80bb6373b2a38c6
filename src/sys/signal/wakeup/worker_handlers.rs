//! The handlers of a worker: the one of [`WAKE_SIGNAL`], and those of the signals that ask it to
//! exit.

use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{SigSet, Signal};

use crate::error::{Code, Error, Result};
use crate::sys::fd::sent_copy;
use crate::sys::signal::hosts_handler;
use crate::sys::signal::wakeup::timer;
pub(crate) use crate::sys::signal::wakeup::waiter::WAKE_SIGNAL;
use crate::sys::signal::wakeup::waiter::{self, Origin, wake_all};

/// Signals that ask a worker to exit when a process other than the manager sends them: a service
/// manager that signals the whole group, a terminal, an administrator.
const RETIRING: [i32; 4] = [libc::SIGTERM, libc::SIGHUP, libc::SIGINT, libc::SIGQUIT];

/// Whether the handlers also interrupt the application's own calls.
static INTERRUPTING: AtomicBool = AtomicBool::new(false);
static RETIREMENT: AtomicBool = AtomicBool::new(false);

/// Installs the handler of [`WAKE_SIGNAL`], and creates the timer that repeats it.
///
/// # Errors
/// sigaction(2) failed.
pub(crate) fn install_wake_handler() -> Result<()> {
    handle(WAKE_SIGNAL)?;
    // Timers count as queued signals (RLIMIT_SIGPENDING). Without one a wake-up is still noticed,
    // except in a tiny window.
    let _ = timer::ensure(WAKE_SIGNAL);
    Ok(())
}

/// At a worker's first wait: from here on the wake-up reaches this thread, whatever the host did to
/// its handler and mask before.
pub(crate) fn ensure_wakeable() {
    // Neither fails for a valid signal.
    let _ = handle(WAKE_SIGNAL);
    let _ = SigSet::from(Signal::SIGURG).thread_unblock();
}

/// Reinstalls a handler of a worker, if another one has replaced it. The other one may have taken a
/// signal for this one, so the waits end and check. Returns whether it was reinstalled.
///
/// # Errors
/// Another signal, or sigaction(2) failed.
pub(crate) fn restore(signal: i32) -> Result<bool> {
    if signal != WAKE_SIGNAL && !RETIRING.contains(&signal) {
        return Err(Error::new(
            Code::Argument,
            format!("signal {signal}: not one of TERM, HUP, INT, QUIT and URG"),
        ));
    }
    let is_displaced = !is_in_force(signal);
    if is_displaced {
        handle(signal)?;
        wake_all(Origin::News);
    }
    Ok(is_displaced)
}

/// The same. For [`WAKE_SIGNAL`], `calls_host` is whether the host's own handler is called after
/// it.
///
/// # Errors
/// As [`restore`].
pub(crate) fn protect(signal: i32, calls_host: bool) -> Result<bool> {
    if signal == WAKE_SIGNAL {
        hosts_handler::set_wanted(calls_host);
    }
    restore(signal)
}

/// A wait was interrupted, and not by a handler of this module: another handler may have replaced
/// that of the wake-up, and have taken one.
pub(crate) fn interrupted_by_another() {
    if !is_in_force(WAKE_SIGNAL) {
        ensure_wakeable();
    }
}

fn is_in_force(signal: i32) -> bool {
    disposition(signal) == on_signal as *const () as usize
}

/// Installs handlers that turn [`RETIRING`] signals into a request to retire.
///
/// # Errors
/// sigaction(2) failed.
pub(crate) fn install_retiring() -> Result<()> {
    RETIRING.into_iter().try_for_each(handle)
}

/// The same for a process that has run before it learnt that it is a worker: handlers that it has
/// installed meanwhile stay, and signals that it ignores remain ignored.
///
/// # Errors
/// sigaction(2) failed.
pub(crate) fn install_where_default() -> Result<()> {
    if wake_signal_is_unhandled() {
        install_wake_handler()?;
    }
    let mut retiring = RETIRING.into_iter();
    retiring.try_for_each(|signal| match disposition(signal) {
        libc::SIG_DFL => handle(signal),
        _ => Ok(()),
    })
}

/// What the process does with a signal: [`libc::SIG_DFL`], [`libc::SIG_IGN`] or a handler's
/// address.
fn disposition(signal: i32) -> usize {
    // SAFETY: zeroed is a valid sigaction; a NULL action only queries. It fails for no valid
    // signal.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, ptr::null(), &raw mut action);
        action.sa_sigaction
    }
}

/// From here on the handlers interrupt every call that waits. This is for hosts that want to see
/// each interrupted accept(2). An interruptible socket would also show them signals without a
/// handler (SIGCONT, a debugger), which they could not distinguish from others.
pub(crate) fn interrupt_calls() {
    if INTERRUPTING.swap(true, Ordering::Relaxed) {
        return;
    }
    for signal in RETIRING.into_iter().chain([WAKE_SIGNAL]) {
        if is_in_force(signal) {
            let _ = handle(signal);
        }
    }
}

/// In a fresh worker: forgets the parent's threads and signals.
pub(crate) fn reset() {
    RETIREMENT.store(false, Ordering::Relaxed);
    timer::reset();
    waiter::reset();
}

/// Asks this process to retire at the host's request: there may be no handler yet, and without one
/// the wake-up would reach no waiting thread. Async-signal-safe.
pub(crate) fn request_retirement_from_host() {
    handle_wake_signal_where_default();
    request_retirement();
}

/// Ends the waits of this process's threads, so that they check everything and wait again.
pub(crate) fn wake_waiters() {
    handle_wake_signal_where_default();
    wake_all(Origin::News);
}

/// Which waits a signal of the host ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// That of the thread in which the handler runs.
    ThisThread,
    AllThreads,
}

/// Called by a handler of the host: the wait returns to the host, even if it has not begun. A
/// handler that only sets a variable may run after the host has checked the variable and before the
/// system call that waits; nothing would end that call. Async-signal-safe.
pub(crate) fn interrupt(scope: Scope) {
    // SAFETY: gettid has no preconditions.
    let this = unsafe { libc::gettid() };
    waiter::mark_interrupted((scope == Scope::ThisThread).then_some(this));
    // Without a handler the wake-up could not be repeated; if no thread waits, it need not be.
    if waiter::any_waits() {
        handle_wake_signal_where_default();
    }
    wake_all(Origin::News);
}

fn handle_wake_signal_where_default() {
    if wake_signal_is_unhandled() {
        let _ = handle(WAKE_SIGNAL);
    }
}

fn wake_signal_is_unhandled() -> bool {
    [libc::SIG_DFL, libc::SIG_IGN].contains(&disposition(WAKE_SIGNAL))
}

/// Asks this process to retire, as a signal from outside does. Async-signal-safe.
pub(crate) fn request_retirement() {
    RETIREMENT.store(true, Ordering::SeqCst);
    wake_all(Origin::News);
}

/// Whether this process was asked to retire.
pub(crate) fn retirement_requested() -> bool {
    RETIREMENT.load(Ordering::SeqCst)
}

fn handle(signal: i32) -> Result<()> {
    // SAFETY: zeroed is a valid sigaction: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_signal as *const () as usize;
    // One at a time: the stack for signals may have room for no more (sigaltstack(2)).
    for signal in RETIRING.into_iter().chain([WAKE_SIGNAL]) {
        // SAFETY: the set is valid, and a live local.
        unsafe { libc::sigaddset(&raw mut action.sa_mask, signal) };
    }
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    if !INTERRUPTING.load(Ordering::Relaxed) {
        // The application's own calls are restarted. The library's waits end nevertheless:
        // epoll_wait(2) always does, and accept(2) on a listening socket that was made
        // interruptible.
        action.sa_flags |= libc::SA_RESTART;
    }
    // SAFETY: zeroed is a valid sigaction.
    let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live locals; the handler only touches atomics and calls
    // async-signal-safe functions, and the previous handler.
    if unsafe { libc::sigaction(signal, &raw const action, &raw mut before) } != 0 {
        return Err(Error::system(
            format_args!("handler for signal {signal}: sigaction"),
            nix::errno::Errno::last_raw(),
        ));
    }
    if signal == WAKE_SIGNAL && before.sa_sigaction != action.sa_sigaction {
        hosts_handler::remember(&before);
    }
    Ok(())
}

extern "C" fn on_signal(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the thread's errno, restored below.
    let errno = unsafe { *libc::__errno_location() };
    if signal == WAKE_SIGNAL {
        // SAFETY: the kernel passes a valid siginfo to an SA_SIGINFO handler.
        let origin = match unsafe { (*info).si_code } {
            libc::SI_TKILL => Origin::Relay,
            libc::SI_TIMER => Origin::Timer,
            _ => Origin::News,
        };
        wake_all(origin);
        sent_copy::answer();
        if origin == Origin::News {
            hosts_handler::call(signal, info, context);
        }
    } else {
        request_retirement();
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}
