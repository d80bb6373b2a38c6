//! The timer that repeats a wake-up every 10 ms, until every waiting thread has noticed it.

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::sys::process;

const INTERVAL_NS: i64 = 10_000_000;

static ARMED: AtomicBool = AtomicBool::new(false);
static TIMER: AtomicPtr<libc::c_void> = AtomicPtr::new(ptr::null_mut());
/// The process that has the timer: a fork does not inherit it.
static OWNER: AtomicI32 = AtomicI32::new(0);

fn exists() -> bool {
    OWNER.load(Ordering::Acquire) == process::pid()
}

/// Creates this process's timer, once.
pub(super) fn ensure(signal: i32) -> Result<()> {
    static CREATING: Mutex<()> = Mutex::new(());
    // No waiting: in a child that was forked meanwhile, the lock would never be released.
    let Some(_creating) = CREATING.try_lock() else {
        return Ok(());
    };
    if exists() {
        return Ok(());
    }
    // SAFETY: zeroed is a valid sigevent; the fields that matter are set below.
    let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
    event.sigev_notify = libc::SIGEV_SIGNAL;
    event.sigev_signo = signal;
    let mut timer: libc::timer_t = ptr::null_mut();
    // SAFETY: both pointers are to live locals. Timers are not inherited by fork, so each worker
    // creates its own.
    if unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) } != 0 {
        return Err(Error::system(
            "worker: timer_create",
            nix::errno::Errno::last_raw(),
        ));
    }
    TIMER.store(timer, Ordering::Release);
    OWNER.store(process::pid(), Ordering::Release);
    Ok(())
}

/// In a fresh worker: forgets the parent's timer.
pub(super) fn reset() {
    ARMED.store(false, Ordering::Relaxed);
    OWNER.store(0, Ordering::Relaxed);
}

/// Whether it repeats, as far as this thread knows.
pub(super) fn may_be_armed() -> bool {
    ARMED.load(Ordering::Relaxed)
}

pub(super) fn is_armed() -> bool {
    ARMED.load(Ordering::SeqCst)
}

/// Starts the repetition, unless it runs. Async-signal-safe.
pub(super) fn arm() {
    if exists() && !ARMED.swap(true, Ordering::SeqCst) {
        set(INTERVAL_NS);
    }
}

/// Starts it anew, also if it runs.
pub(super) fn rearm() {
    ARMED.store(true, Ordering::SeqCst);
    set(INTERVAL_NS);
}

/// Stops it. Async-signal-safe.
pub(super) fn disarm() {
    ARMED.store(false, Ordering::SeqCst);
    set(0);
}

fn set(interval_ns: i64) {
    if !exists() {
        return;
    }
    let time = libc::timespec {
        tv_sec: 0,
        tv_nsec: interval_ns,
    };
    let spec = libc::itimerspec {
        it_interval: time,
        it_value: time,
    };
    // SAFETY: the timer exists in this process (its owner was compared);
    // timer_settime is async-signal-safe.
    unsafe {
        libc::timer_settime(
            TIMER.load(Ordering::Acquire),
            0,
            &raw const spec,
            ptr::null_mut(),
        )
    };
}
