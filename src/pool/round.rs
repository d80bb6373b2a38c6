//! Work that is due with each full second.

use std::time::Duration;

/// How far measuring has come.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// In this second all workers were measured.
    pub(super) done: u64,
    /// The slot with which the next second continues.
    pub(super) slot: usize,
}

/// Rounds up, so that limits that are close to each other are checked together.
pub(super) fn whole_second(at: Duration) -> Duration {
    match at.subsec_nanos() {
        0 => at,
        _ => Duration::from_secs(at.as_secs().saturating_add(1)),
    }
}
