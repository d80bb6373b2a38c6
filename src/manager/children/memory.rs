//! The private memory of a worker.

use std::time::Duration;

use crate::sys::process::inspect;

/// Pages that were shared with other processes become private without any notice, so a measurement is
/// valid for this long only.
const VALID: Duration = Duration::from_secs(10);

/// A worker's memory in bytes, when it was last measured.
#[derive(Debug)]
pub(super) struct Measured {
    at: Duration,
    private: u64,
    /// With what it shares.
    resident: u64,
}

/// The private memory of a process, or an upper bound if that is below the limit. To measure takes a
/// walk through all of its pages, but an upper bound of its growth is known without.
pub(super) fn private_memory(
    pid: i32,
    now: Duration,
    limit: u64,
    last: &mut Option<Measured>,
) -> Option<u64> {
    let resident = inspect::resident_memory(pid)?;
    if resident <= limit {
        return Some(resident);
    }
    if let Some(measured) = last {
        if now < measured.at + VALID {
            let grown = resident.saturating_sub(measured.resident);
            let bound = measured.private.saturating_add(grown);
            if bound <= limit {
                return Some(bound);
            }
        }
    }
    let private = inspect::private_memory(pid)?;
    *last = Some(Measured {
        at: now,
        private,
        resident,
    });
    Some(private)
}
