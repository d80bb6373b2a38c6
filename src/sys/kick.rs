//! The signals that reach into a wait for requests.
//!
//! Every loop that looks at a flag and then blocks in accept(2) has a window between the two. Here
//! it is closed by the handler itself: when a signal arrives while a thread is about to wait or
//! waits, the handler arms a timer that repeats the kick until that thread has taken notice.
//!
//! A kick is SIGURG: its default action is to be ignored, so it does no harm to a program that
//! resets handlers, or to one that never asked for any of this.

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::error::{Error, Result};

/// The signal of a kick.
pub(crate) const KICK: i32 = libc::SIGURG;

/// Signals that ask a worker to leave when somebody other than the manager sends them: a service
/// manager that signals the whole group, a terminal, an administrator.
pub(crate) const RETIRING: [i32; 4] = [libc::SIGTERM, libc::SIGHUP, libc::SIGINT, libc::SIGQUIT];

const INTERVAL_NS: i64 = 10_000_000;
const WAITERS: usize = 64;

/// Counts kicks, so that each waiting thread can tell whether one came since it last looked.
static KICKS: AtomicU32 = AtomicU32::new(0);
static RETIREMENT: AtomicBool = AtomicBool::new(false);
static ARMED: AtomicBool = AtomicBool::new(false);
static TIMER: AtomicPtr<libc::c_void> = AtomicPtr::new(ptr::null_mut());
/// The process that has the timer: a fork inherits none.
static TIMER_OWNER: AtomicI32 = AtomicI32::new(0);
/// The waiting threads (pthread_t), 0 where none waits.
static WAITING: [AtomicUsize; WAITERS] = [const { AtomicUsize::new(0) }; WAITERS];
static CLAIMED: [AtomicBool; WAITERS] = [const { AtomicBool::new(false) }; WAITERS];

/// A place in the table of waiting threads, held by one request handle.
#[derive(Debug)]
pub(crate) struct Waiter {
    place: Option<usize>,
    seen: u32,
}

impl Waiter {
    /// Claims a place. Beyond 64 waiters in one process there is none left: such a thread notices a
    /// kick with its next request.
    pub(crate) fn claim() -> Self {
        // A handler may not make it. Without one a kick is still seen, but for a tiny window.
        let _ = ensure_timer();
        let place = CLAIMED
            .iter()
            .position(|claimed| !claimed.swap(true, Ordering::AcqRel));
        Self {
            place,
            seen: KICKS.load(Ordering::Relaxed),
        }
    }

    /// From here on a kick repeats until [`leave`](Self::leave). Flags are looked at after this.
    pub(crate) fn enter(&self) {
        if let Some(place) = self.place {
            // SAFETY: pthread_self has no preconditions.
            let thread = unsafe { libc::pthread_self() };
            WAITING[place].store(thread as usize, Ordering::SeqCst);
        }
    }

    /// Whether a kick arrived since the last look.
    pub(crate) fn kicked(&mut self) -> bool {
        let kicks = KICKS.load(Ordering::SeqCst);
        std::mem::replace(&mut self.seen, kicks) != kicks
    }

    /// The thread no longer waits.
    pub(crate) fn leave(&self) {
        if let Some(place) = self.place {
            WAITING[place].store(0, Ordering::Release);
        }
        if ARMED.load(Ordering::Relaxed)
            && WAITING
                .iter()
                .all(|thread| thread.load(Ordering::Acquire) == 0)
        {
            ARMED.store(false, Ordering::Relaxed);
            set_timer(0);
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            WAITING[place].store(0, Ordering::Release);
            CLAIMED[place].store(false, Ordering::Release);
        }
    }
}

/// Makes this process a kickable one: the handler for [`KICK`], and the timer that repeats it.
///
/// # Errors
/// sigaction(2) or timer_create(2) failed.
pub(crate) fn install_kick() -> Result<()> {
    handle(KICK)?;
    ensure_timer()
}

fn has_timer() -> bool {
    TIMER_OWNER.load(Ordering::Acquire) == super::process::pid()
}

/// Makes this process's timer, once.
fn ensure_timer() -> Result<()> {
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock();
    if has_timer() {
        return Ok(());
    }
    // SAFETY: zeroed is a valid sigevent; the fields that matter are set below.
    let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
    event.sigev_notify = libc::SIGEV_SIGNAL;
    event.sigev_signo = KICK;
    let mut timer: libc::timer_t = ptr::null_mut();
    // SAFETY: both pointers are to live locals. Timers are not inherited by fork, so each worker
    // makes its own.
    if unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) } != 0 {
        return Err(Error::system(
            "worker: timer_create",
            nix::errno::Errno::last_raw(),
        ));
    }
    TIMER.store(timer, Ordering::Release);
    TIMER_OWNER.store(super::process::pid(), Ordering::Release);
    Ok(())
}

/// Installs handlers that turn [`RETIRING`] signals into a request to retire.
///
/// # Errors
/// sigaction(2) failed.
pub(crate) fn install_retiring() -> Result<()> {
    RETIRING.into_iter().try_for_each(handle)
}

/// In a fresh worker: forgets what the parent's threads and signals left behind.
pub(crate) fn reset() {
    RETIREMENT.store(false, Ordering::Relaxed);
    ARMED.store(false, Ordering::Relaxed);
    TIMER_OWNER.store(0, Ordering::Relaxed);
    WAITING
        .iter()
        .for_each(|thread| thread.store(0, Ordering::Relaxed));
}

/// Asks this process to retire because the host says so: there may be no handler yet, and without one
/// the kick would reach no waiting thread. Async-signal-safe.
pub(crate) fn request_retirement_from_host() {
    // SAFETY: zeroed is a valid sigaction, and a NULL action only asks.
    let unhandled = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(KICK, ptr::null(), &raw mut action) == 0
            && [libc::SIG_DFL, libc::SIG_IGN].contains(&action.sa_sigaction)
    };
    if unhandled {
        let _ = handle(KICK);
    }
    request_retirement();
}

/// Asks this process to retire, as a signal from outside does. Async-signal-safe.
pub(crate) fn request_retirement() {
    RETIREMENT.store(true, Ordering::SeqCst);
    kick_waiters(false);
}

/// Whether somebody asked this process to retire.
pub(crate) fn retirement_requested() -> bool {
    RETIREMENT.load(Ordering::SeqCst)
}

/// Whether a kick arrived since this was last asked, by whichever thread.
pub(crate) fn any_since_last_look() -> bool {
    static SEEN: AtomicU32 = AtomicU32::new(0);
    let kicks = KICKS.load(Ordering::SeqCst);
    kicks != SEEN.swap(kicks, Ordering::Relaxed)
}

fn handle(signal: i32) -> Result<()> {
    // SAFETY: zeroed is a valid sigaction: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_signal as *const () as usize;
    // The application's own calls go on; the library's waits end nevertheless: epoll_wait(2) always
    // does, and accept(2) on a listening socket that was made interruptible.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    // SAFETY: the handler only touches atomics and calls async-signal-safe functions.
    if unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) } != 0 {
        return Err(Error::system(
            format_args!("handler for signal {signal}: sigaction"),
            nix::errno::Errno::last_raw(),
        ));
    }
    Ok(())
}

extern "C" fn on_signal(signal: i32, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the thread's errno, restored below.
    let errno = unsafe { *libc::__errno_location() };
    if signal == KICK {
        // SAFETY: the kernel passes a valid siginfo to an SA_SIGINFO handler.
        let relayed = unsafe { (*info).si_code } == libc::SI_TKILL;
        kick_waiters(relayed);
    } else {
        request_retirement();
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// Sets the flag and, if any thread waits, arms the repetition and reaches the other threads.
fn kick_waiters(relayed: bool) {
    KICKS.fetch_add(1, Ordering::SeqCst);
    // SAFETY: pthread_self has no preconditions.
    let this = unsafe { libc::pthread_self() } as usize;
    let mut anybody = false;
    for thread in &WAITING {
        let thread = thread.load(Ordering::SeqCst);
        if thread == 0 {
            continue;
        }
        anybody = true;
        if thread != this && !relayed {
            // SAFETY: the thread is in a wait of this library, so it exists; pthread_kill is
            // async-signal-safe.
            unsafe { libc::pthread_kill(thread as libc::pthread_t, KICK) };
        }
    }
    if anybody && has_timer() && !ARMED.swap(true, Ordering::SeqCst) {
        set_timer(INTERVAL_NS);
    }
}

fn set_timer(interval_ns: i64) {
    if !has_timer() {
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
