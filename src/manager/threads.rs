//! Whether this process can fork workers.

use crate::error::{Code, Error, Result};
use crate::sys::process;

/// A fork copies one thread. Locks that other threads hold would stay locked in the worker.
pub(super) fn check() -> Result<()> {
    // Without /proc the number is unknown.
    let threads = process::threads().unwrap_or(1);
    if threads > 1 {
        return Err(Error::new(
            Code::Threads,
            format!(
                "the process has {threads} threads; a manager can only fork a process with one"
            ),
        ));
    }
    Ok(())
}
