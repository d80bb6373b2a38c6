//! Signals that end a loop's wait, and what is left to do about them.

use crate::sys::signal::wakeup::{Waiter, Waiting};

/// A signal that interrupts the wait for a request makes `accept` return
/// [`Code::Interrupted`](crate::error::Code::Interrupted).
pub const FAIL_ACCEPT_ON_INTR: u32 = 1;

/// The same, for hosts that run their signal handlers later and then call `accept` again.
pub const RETURN_ON_SIGNAL: u32 = 2;

/// A wake-up that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pending {
    None,
    /// The host's hook is due; then its cause is looked for.
    Hook,
    /// Its cause is looked for.
    Check,
}

/// The wake-ups of one loop.
#[derive(Debug)]
pub(super) struct WakeUps {
    waiter: Waiter,
    pending: Pending,
    /// [`FAIL_ACCEPT_ON_INTR`], [`RETURN_ON_SIGNAL`]
    flags: u32,
    has_hook: bool,
}

impl WakeUps {
    pub(super) fn new(flags: u32) -> Self {
        Self {
            waiter: Waiter::claim(),
            pending: Pending::None,
            flags,
            has_hook: false,
        }
    }

    /// From here on the host's hook is due with each wake-up.
    pub(super) fn report_to_hook(&mut self) {
        self.has_hook = true;
    }

    /// From here on a wake-up repeats until the guard is dropped. Flags are checked after this.
    pub(super) fn enter(&mut self) -> Waiting {
        let waiting = self.waiter.enter();
        self.note();
        waiting
    }

    /// Notes a wake-up that arrived. True: one has, since this was last called.
    pub(super) fn note(&mut self) -> bool {
        let is_woken = self.waiter.woken();
        if is_woken {
            self.add();
        }
        is_woken
    }

    /// Adds one for which there is no signal.
    pub(super) fn add(&mut self) {
        self.pending = if self.has_hook {
            Pending::Hook
        } else {
            Pending::Check
        };
    }

    /// Whether the host's hook is due, once for each wake-up.
    pub(super) fn take_hook(&mut self) -> bool {
        let is_due = self.pending == Pending::Hook;
        if is_due {
            self.pending = Pending::Check;
        }
        is_due
    }

    pub(super) fn is_pending(&self) -> bool {
        self.pending != Pending::None
    }

    /// Takes a pending wake-up, whose cause is looked for now.
    pub(super) fn take(&mut self) -> bool {
        std::mem::replace(&mut self.pending, Pending::None) != Pending::None
    }

    /// Whether accept returns when a signal of the host's has arrived.
    pub(super) const fn returns_on_signals(&self) -> bool {
        self.flags & (FAIL_ACCEPT_ON_INTR | RETURN_ON_SIGNAL) != 0
    }

    /// Whether accept returns when a wait was interrupted by a wake-up of this library. A host that runs
    /// its handlers later needs that: a signal of its own may have come with it.
    pub(super) const fn returns_on_wake_ups(&self) -> bool {
        self.flags == RETURN_ON_SIGNAL
    }

    /// The host knows of the signals that its handler reported.
    pub(super) fn forget_interrupt(&self) {
        self.waiter.forget_interrupt();
    }
}
