//! The table of waiting threads. A request handle claims a place in it ([`Waiter`]) and occupies
//! the place while it waits ([`Waiting`]); what has woken it is checked in between.

use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering, fence};

use crate::sys::process;
use crate::sys::signal::wakeup::timer;

/// The signal of a wake-up.
pub(crate) const WAKE_SIGNAL: i32 = libc::SIGURG;

const WAITERS: usize = 64;

/// Counts every signal that the library's handlers take, so that a wait knows whether one of them
/// interrupted it.
static SIGNALS: AtomicU32 = AtomicU32::new(0);
/// Counts the signals that bring news, not their repetitions.
static NEWS: AtomicU32 = AtomicU32::new(0);
/// The waiting threads' ids, 0 for none.
static WAITING: [AtomicI32; WAITERS] = [const { AtomicI32::new(0) }; WAITERS];
/// The value of `NEWS` that each of them has seen.
static SEEN: [AtomicU32; WAITERS] = [const { AtomicU32::new(0) }; WAITERS];
static CLAIMED: [AtomicBool; WAITERS] = [const { AtomicBool::new(false) }; WAITERS];
/// The thread that last waited at each place, or claimed it.
static THREAD: [AtomicI32; WAITERS] = [const { AtomicI32::new(0) }; WAITERS];
/// Whether a handler of the host asked for the thread's wait to end; see [`mark_interrupted`].
static INTERRUPTED: [AtomicBool; WAITERS] = [const { AtomicBool::new(false) }; WAITERS];
/// Counts these, for places that are claimed later.
static INTERRUPTS: AtomicU32 = AtomicU32::new(0);
/// The value of `INTERRUPTS` for which the host has run its handlers.
static FORGOTTEN: AtomicU32 = AtomicU32::new(0);

/// A place in the table, held by one request handle.
#[derive(Debug)]
pub(crate) struct Waiter {
    place: Option<usize>,
    seen: u32,
}

/// While it lives, a wake-up repeats until the thread has noticed it. Flags are checked after it
/// was made and before the wait.
#[derive(Debug)]
#[must_use]
pub(crate) struct Waiting {
    place: Option<usize>,
}

impl Waiter {
    /// Claims a place. If all 64 are taken, the thread notices a wake-up only with its next
    /// request.
    pub(crate) fn claim() -> Self {
        // A handler cannot create it. Without it a wake-up is still noticed, except in a tiny
        // window.
        let _ = timer::ensure(WAKE_SIGNAL);
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

    /// The thread is about to wait.
    pub(crate) fn enter(&self) -> Waiting {
        if let Some(place) = self.place {
            let thread = process::thread_id();
            THREAD[place].store(thread, Ordering::Relaxed);
            WAITING[place].store(thread, Ordering::SeqCst);
        }
        // The manager gives an order first, and then checks whether a thread waits.
        fence(Ordering::SeqCst);
        Waiting { place: self.place }
    }

    /// Whether a wake-up arrived since the last call. The caller checks the flags next.
    pub(crate) fn woken(&mut self) -> bool {
        if let Some(place) = self.place {
            SEEN[place].store(NEWS.load(Ordering::SeqCst), Ordering::SeqCst);
        }
        let signals = SIGNALS.load(Ordering::SeqCst);
        std::mem::replace(&mut self.seen, signals) != signals
    }

    /// The host has learnt of the signals that came so far.
    pub(crate) fn forget_interrupt(&self) {
        take_interrupt(self.place);
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

impl Waiting {
    /// Whether a handler of the host asked for this wait to end
    /// ([`interrupt`](super::interrupt)), which may have been before it began. Resets the request.
    pub(crate) fn is_interrupted(&self) -> bool {
        take_interrupt(self.place)
    }
}

impl Drop for Waiting {
    /// The thread no longer waits. The repetition ends if every waiting thread has noticed the last
    /// wake-up.
    fn drop(&mut self) {
        if let Some(place) = self.place {
            WAITING[place].store(0, Ordering::SeqCst);
        }
        if !timer::may_be_armed() {
            return;
        }
        let news = NEWS.load(Ordering::SeqCst);
        let has_noticed = |place: usize| {
            WAITING[place].load(Ordering::SeqCst) == 0 || SEEN[place].load(Ordering::SeqCst) == news
        };
        if (0..WAITERS).all(has_noticed) {
            timer::disarm();
            // A wake-up in between found the timer armed, or armed it before it was stopped.
            if timer::is_armed() || NEWS.load(Ordering::SeqCst) != news {
                timer::rearm();
            }
        }
    }
}

fn take_interrupt(place: Option<usize>) -> bool {
    place.is_some_and(|place| {
        INTERRUPTED[place].load(Ordering::SeqCst)
            && INTERRUPTED[place].swap(false, Ordering::SeqCst)
    })
}

/// In a fresh worker: forgets the parent's threads.
pub(super) fn reset() {
    WAITING
        .iter()
        .for_each(|thread| thread.store(0, Ordering::Relaxed));
}

/// Ends the current or next wait of the thread with this id, or of all. Async-signal-safe.
pub(super) fn mark_interrupted(only: Option<i32>) {
    INTERRUPTS.fetch_add(1, Ordering::SeqCst);
    for (thread, interrupted) in THREAD.iter().zip(&INTERRUPTED) {
        if only.is_none_or(|only| thread.load(Ordering::SeqCst) == only) {
            interrupted.store(true, Ordering::SeqCst);
        }
    }
}

/// The host has run its handlers for the signals that came so far: they do not interrupt a
/// [`Waiter`] that is claimed later.
pub(crate) fn forget_interrupts() {
    FORGOTTEN.store(INTERRUPTS.load(Ordering::SeqCst), Ordering::SeqCst);
}

pub(super) fn any_waits() -> bool {
    WAITING
        .iter()
        .any(|thread| thread.load(Ordering::SeqCst) != 0)
}

/// Whether a wake-up arrived since the last call, by any thread.
pub(crate) fn any_since_last_check() -> bool {
    static CHECKED: AtomicU32 = AtomicU32::new(0);
    let news = NEWS.load(Ordering::SeqCst);
    CHECKED.load(Ordering::Relaxed) != news && CHECKED.swap(news, Ordering::Relaxed) != news
}

/// Where a wake-up comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Outside this table.
    News,
    /// The timer that repeats it.
    Timer,
    /// The handler of another thread, which relayed it.
    Relay,
}

/// Counts the wake-up. If any thread waits, wakes the other threads and arms the repetition.
/// Async-signal-safe.
pub(super) fn wake_all(origin: Origin) {
    if origin == Origin::News {
        NEWS.fetch_add(1, Ordering::SeqCst);
    }
    SIGNALS.fetch_add(1, Ordering::SeqCst);
    // SAFETY: gettid and getpid have no preconditions. The cached ids are not used: a handler must
    // not be the first to touch a thread's data.
    let (this, process) = unsafe { (libc::gettid(), libc::getpid()) };
    let mut any = false;
    for thread in &WAITING {
        let thread = thread.load(Ordering::SeqCst);
        if thread == 0 {
            continue;
        }
        any = true;
        if thread != this && origin != Origin::Relay {
            // SAFETY: no pointers. If the thread has ended, the call fails.
            unsafe { libc::syscall(libc::SYS_tgkill, process, thread, WAKE_SIGNAL) };
        }
    }
    if origin == Origin::Timer && !any {
        // The last thread ended its wait while another thread's handler was about to arm it.
        timer::disarm();
    }
    if any && origin == Origin::News {
        timer::arm();
    }
}
