//! The progress of a request that is being sent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// How far the sending of a request has come.
#[derive(Debug)]
pub(crate) struct Progress {
    last: Mutex<Instant>,
    awaits_client: AtomicBool,
    /// Whether the last record was sent completely, so that another may follow.
    at_boundary: AtomicBool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self {
            last: Mutex::new(Instant::now()),
            awaits_client: AtomicBool::new(false),
            at_boundary: AtomicBool::new(true),
        }
    }

    /// When bytes were last sent to the application.
    pub(crate) fn last(&self) -> Instant {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the next bytes must come from the HTTP client.
    pub(crate) fn awaits_client(&self) -> bool {
        self.awaits_client.load(Ordering::Relaxed)
    }

    pub(super) fn moved(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    pub(super) fn await_client(&self, awaits: bool) {
        self.awaits_client.store(awaits, Ordering::Relaxed);
    }

    /// Whether the bytes sent so far are whole records.
    pub(super) fn is_at_boundary(&self) -> bool {
        self.at_boundary.load(Ordering::Relaxed)
    }

    pub(super) fn set_at_boundary(&self, is_at_boundary: bool) {
        self.at_boundary.store(is_at_boundary, Ordering::Relaxed);
    }
}
