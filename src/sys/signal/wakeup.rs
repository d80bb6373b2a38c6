//! The signals that reach into a wait for requests.
//!
//! Every loop that looks at a flag and then blocks in accept(2) has a window between the two. Here
//! it is closed by the handler itself: when a signal arrives while a thread is about to wait or
//! waits, the handler arms a timer that repeats the wake-up until that thread has taken notice.
//!
//! A wake-up is SIGURG: its default action is to be ignored, so it does no harm to a program that
//! resets handlers, or to one that never asked for any of this.

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, Ordering, fence};

use nix::sys::signal::{SigSet, Signal};
use parking_lot::Mutex;

use crate::error::{Code, Error, Result};
use crate::sys::process;
use crate::sys::signal::hosts_handler;

/// The signal of a wake-up.
pub(crate) const WAKE_SIGNAL: i32 = libc::SIGURG;

/// Signals that ask a worker to leave when somebody other than the manager sends them: a service
/// manager that signals the whole group, a terminal, an administrator.
pub(crate) const RETIRING: [i32; 4] = [libc::SIGTERM, libc::SIGHUP, libc::SIGINT, libc::SIGQUIT];

const INTERVAL_NS: i64 = 10_000_000;
const WAITERS: usize = 64;

/// Counts every signal that this file handles: a wait that one of them ended was interrupted by
/// nobody else.
static SIGNALS: AtomicU32 = AtomicU32::new(0);
/// Counts those that say something new, not their repetitions.
static NEWS: AtomicU32 = AtomicU32::new(0);
/// Whether the handlers interrupt the application's own calls, too.
static INTERRUPTING: AtomicBool = AtomicBool::new(false);
static RETIREMENT: AtomicBool = AtomicBool::new(false);
static ARMED: AtomicBool = AtomicBool::new(false);
static TIMER: AtomicPtr<libc::c_void> = AtomicPtr::new(ptr::null_mut());
/// The process that has the timer: a fork inherits none.
static TIMER_OWNER: AtomicI32 = AtomicI32::new(0);
/// The waiting threads' ids, 0 where none waits.
static WAITING: [AtomicI32; WAITERS] = [const { AtomicI32::new(0) }; WAITERS];
/// Up to which news each of them has looked.
static SEEN: [AtomicU32; WAITERS] = [const { AtomicU32::new(0) }; WAITERS];
static CLAIMED: [AtomicBool; WAITERS] = [const { AtomicBool::new(false) }; WAITERS];
/// The thread that last waited at each place, or claimed it.
static THREAD: [AtomicI32; WAITERS] = [const { AtomicI32::new(0) }; WAITERS];
/// Whether a signal of the host's came for it; see [`interrupt`].
static INTERRUPTED: [AtomicBool; WAITERS] = [const { AtomicBool::new(false) }; WAITERS];
/// Counts signals of the host's, for places that are claimed later.
static INTERRUPTS: AtomicU32 = AtomicU32::new(0);
/// Up to which of them the host has run its handlers.
static FORGOTTEN: AtomicU32 = AtomicU32::new(0);

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
        // A handler may not make it. Without one a wake-up is still seen, but for a tiny window.
        let _ = ensure_timer();
        let place = CLAIMED
            .iter()
            .position(|claimed| !claimed.swap(true, Ordering::AcqRel));
        if let Some(place) = place {
            THREAD[place].store(process::thread_id(), Ordering::SeqCst);
            let is_due = INTERRUPTS.load(Ordering::SeqCst) != FORGOTTEN.load(Ordering::SeqCst);
            INTERRUPTED[place].store(is_due, Ordering::SeqCst);
        }
        Self {
            place,
            seen: SIGNALS.load(Ordering::Relaxed),
        }
    }

    /// From here on a wake-up repeats until [`leave`](Self::leave). Flags are looked at after this.
    pub(crate) fn enter(&self) {
        if let Some(place) = self.place {
            let thread = process::thread_id();
            THREAD[place].store(thread, Ordering::Relaxed);
            WAITING[place].store(thread, Ordering::SeqCst);
        }
        // Who gives an order looks behind it whether anybody waits.
        fence(Ordering::SeqCst);
    }

    /// Whether a wake-up arrived since the last look. Whoever asks looks at the flags next.
    pub(crate) fn woken(&mut self) -> bool {
        if let Some(place) = self.place {
            SEEN[place].store(NEWS.load(Ordering::SeqCst), Ordering::SeqCst);
        }
        let signals = SIGNALS.load(Ordering::SeqCst);
        std::mem::replace(&mut self.seen, signals) != signals
    }

    /// Whether the host's handler called [`interrupt`] since this was last asked. Looked at between
    /// [`enter`](Self::enter) and the wait.
    pub(crate) fn interrupted(&self) -> bool {
        self.place.is_some_and(|place| {
            INTERRUPTED[place].load(Ordering::SeqCst)
                && INTERRUPTED[place].swap(false, Ordering::SeqCst)
        })
    }

    /// The thread no longer waits. The repetition ends when no thread waits that has not looked.
    pub(crate) fn leave(&self) {
        if let Some(place) = self.place {
            WAITING[place].store(0, Ordering::SeqCst);
        }
        if !ARMED.load(Ordering::Relaxed) {
            return;
        }
        let news = NEWS.load(Ordering::SeqCst);
        let has_looked = |place: usize| {
            WAITING[place].load(Ordering::SeqCst) == 0 || SEEN[place].load(Ordering::SeqCst) == news
        };
        if (0..WAITERS).all(has_looked) {
            ARMED.store(false, Ordering::SeqCst);
            set_timer(0);
            // A wake-up that came in between found the timer armed, or armed it before it was stopped.
            if ARMED.load(Ordering::SeqCst) || NEWS.load(Ordering::SeqCst) != news {
                ARMED.store(true, Ordering::SeqCst);
                set_timer(INTERVAL_NS);
            }
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

/// Makes this process a wakeable one: the handler for [`WAKE_SIGNAL`], and the timer that repeats it.
///
/// # Errors
/// sigaction(2) failed.
pub(crate) fn install_wake_handler() -> Result<()> {
    handle(WAKE_SIGNAL)?;
    // Timers count as signals that are queued (RLIMIT_SIGPENDING). Without one a wake-up is still seen,
    // but for a tiny window.
    let _ = ensure_timer();
    Ok(())
}

/// In a worker that comes to its first wait: whatever was done to the wake-up's handler and mask since the worker was
/// made, it arrives from here on in this thread.
pub(crate) fn ensure_wakeable() {
    // Neither fails for a valid signal.
    let _ = handle(WAKE_SIGNAL);
    let _ = SigSet::from(Signal::SIGURG).thread_unblock();
}

/// Puts the handler of [`WAKE_SIGNAL`] or one of [`RETIRING`] back, if another one has taken its place. The other one may
/// have had a signal that was for this one, so what waits looks around. `true` if it had to be put back.
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

/// The same; of [`WAKE_SIGNAL`], the host says whether its own handler is called after this one.
///
/// # Errors
/// As [`restore`].
pub(crate) fn protect(signal: i32, calls_host: bool) -> Result<bool> {
    if signal == WAKE_SIGNAL {
        hosts_handler::want(calls_host);
    }
    restore(signal)
}

/// A wait was interrupted, and by no handler of this file: a wake-up may have gone to another handler, which has taken
/// its place.
pub(crate) fn interrupted_by_another() {
    if !is_in_force(WAKE_SIGNAL) {
        ensure_wakeable();
    }
}

fn is_in_force(signal: i32) -> bool {
    disposition(signal) == on_signal as *const () as usize
}

fn has_timer() -> bool {
    TIMER_OWNER.load(Ordering::Acquire) == process::pid()
}

/// Makes this process's timer, once.
fn ensure_timer() -> Result<()> {
    static MAKING: Mutex<()> = Mutex::new(());
    // Not waited for: in a child that was forked meanwhile, nobody would ever let go of it.
    let Some(_making) = MAKING.try_lock() else {
        return Ok(());
    };
    if has_timer() {
        return Ok(());
    }
    // SAFETY: zeroed is a valid sigevent; the fields that matter are set below.
    let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
    event.sigev_notify = libc::SIGEV_SIGNAL;
    event.sigev_signo = WAKE_SIGNAL;
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
    TIMER_OWNER.store(process::pid(), Ordering::Release);
    Ok(())
}

/// Installs handlers that turn [`RETIRING`] signals into a request to retire.
///
/// # Errors
/// sigaction(2) failed.
pub(crate) fn install_retiring() -> Result<()> {
    RETIRING.into_iter().try_for_each(handle)
}

/// The same for a process that has run before it learnt that it is a worker: handlers that it has
/// installed meanwhile, and signals that it ignores, are its own affair.
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

/// What the process does with a signal: [`libc::SIG_DFL`], [`libc::SIG_IGN`] or a handler's address.
fn disposition(signal: i32) -> usize {
    // SAFETY: zeroed is a valid sigaction, and a NULL action only asks. It fails for no valid signal.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(signal, ptr::null(), &raw mut action);
        action.sa_sigaction
    }
}

/// From here on the handlers interrupt every call that waits. For hosts that want to know of each
/// interrupted accept(2): a socket that was made interruptible would also tell them of signals
/// without a handler (SIGCONT, a debugger), which they could not tell from one that has.
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
/// the wake-up would reach no waiting thread. Async-signal-safe.
pub(crate) fn request_retirement_from_host() {
    handle_wake_signal_where_default();
    request_retirement();
}

/// Ends the waits of this process's threads, so that they look around and wait again.
pub(crate) fn wake_waiters() {
    handle_wake_signal_where_default();
    wake_all(Origin::News);
}

/// Whose wait a signal of the host's ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// That of the thread in which the handler runs.
    ThisThread,
    Everybody,
}

/// Called by a handler of the host's: the wait returns to the host, also one that has not begun. A handler that only
/// sets a variable may run between the host's look at the variable and the system call that waits, and nothing would
/// end that call. Async-signal-safe.
pub(crate) fn interrupt(whose: Whose) {
    // SAFETY: gettid has no preconditions.
    let this = unsafe { libc::gettid() };
    INTERRUPTS.fetch_add(1, Ordering::SeqCst);
    for (thread, interrupted) in THREAD.iter().zip(&INTERRUPTED) {
        if whose == Whose::Everybody || thread.load(Ordering::SeqCst) == this {
            interrupted.store(true, Ordering::SeqCst);
        }
    }
    // Without a handler for the wake-up nothing could be repeated; while nobody waits, nothing needs to be.
    if WAITING
        .iter()
        .any(|thread| thread.load(Ordering::SeqCst) != 0)
    {
        handle_wake_signal_where_default();
    }
    wake_all(Origin::News);
}

/// The host has run its handlers for the signals that came so far: a [`Waiter`] that is claimed later is not interrupted
/// for them.
pub(crate) fn forget_interrupts() {
    FORGOTTEN.store(INTERRUPTS.load(Ordering::SeqCst), Ordering::SeqCst);
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

/// Whether somebody asked this process to retire.
pub(crate) fn retirement_requested() -> bool {
    RETIREMENT.load(Ordering::SeqCst)
}

/// Whether a wake-up arrived since this was last asked, by whichever thread.
pub(crate) fn any_since_last_look() -> bool {
    static LOOKED: AtomicU32 = AtomicU32::new(0);
    let news = NEWS.load(Ordering::SeqCst);
    LOOKED.load(Ordering::Relaxed) != news && LOOKED.swap(news, Ordering::Relaxed) != news
}

fn handle(signal: i32) -> Result<()> {
    // SAFETY: zeroed is a valid sigaction: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_signal as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    if !INTERRUPTING.load(Ordering::Relaxed) {
        // The application's own calls go on; the library's waits end nevertheless: epoll_wait(2)
        // always does, and accept(2) on a listening socket that was made interruptible.
        action.sa_flags |= libc::SA_RESTART;
    }
    // SAFETY: zeroed is a valid sigaction.
    let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live locals; the handler only touches atomics and calls async-signal-safe
    // functions, and the one that was there before.
    if unsafe { libc::sigaction(signal, &raw const action, &raw mut before) } != 0 {
        return Err(Error::system(
            format_args!("handler for signal {signal}: sigaction"),
            nix::errno::Errno::last_raw(),
        ));
    }
    if signal == WAKE_SIGNAL && before.sa_sigaction != action.sa_sigaction {
        hosts_handler::keep(&before);
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
        if origin == Origin::News {
            hosts_handler::call(signal, info, context);
        }
    } else {
        request_retirement();
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// Where a wake-up comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// Somebody else.
    News,
    /// The timer that repeats it.
    Timer,
    /// Another thread's handler, which passed it on.
    Relay,
}

/// Counts and, if any thread waits, arms the repetition and reaches the other threads.
fn wake_all(origin: Origin) {
    if origin == Origin::News {
        NEWS.fetch_add(1, Ordering::SeqCst);
    }
    SIGNALS.fetch_add(1, Ordering::SeqCst);
    // SAFETY: gettid and getpid have no preconditions. Not the remembered ids: a handler must not be
    // the first to touch a thread's data.
    let (this, process) = unsafe { (libc::gettid(), libc::getpid()) };
    let mut anybody = false;
    for thread in &WAITING {
        let thread = thread.load(Ordering::SeqCst);
        if thread == 0 {
            continue;
        }
        anybody = true;
        if thread != this && origin != Origin::Relay {
            // SAFETY: no pointers. A thread that ended in between is only not found.
            unsafe { libc::syscall(libc::SYS_tgkill, process, thread, WAKE_SIGNAL) };
        }
    }
    if origin == Origin::Timer && !anybody {
        // The last one left while another thread's handler was about to arm it.
        ARMED.store(false, Ordering::SeqCst);
        set_timer(0);
    }
    if anybody && origin == Origin::News && has_timer() && !ARMED.swap(true, Ordering::SeqCst) {
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
