//! The boundary: no panic reaches a C program; and errno.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a body; a panic, which would be a bug, becomes this result.
pub(crate) fn guard<T>(failure: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(failure)
}

/// errno.
pub(crate) fn errno() -> i32 {
    // SAFETY: a thread's own errno always exists.
    unsafe { *libc::__errno_location() }
}

/// Sets errno.
pub(crate) fn set_errno(value: i32) {
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = value };
}
