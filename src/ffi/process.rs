//! How the process was started, as C sees it.

use std::ffi::c_char;

use super::boundary::{bytes, enter, text};
use crate::manager;

/// Tells the library how this process was started. For a reload of the program (SIGUSR2, or the
/// option reload), the manager starts it again in the same way.
///
/// The library reads that itself when it is loaded. This function is for a host that may load the
/// library only after the title of the process has replaced its command line: an interpreter, for
/// example. command_line and environment are the contents of /proc/self/cmdline and
/// /proc/self/environ at that time, and directory is the working directory. All are copied.
///
/// Returns 0; FCGIPM_EARGUMENT if the command line is empty, a pointer is NULL, or a length is above
/// the maximum size of an object. The first call counts. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcgipm_process_started(
    command_line: *const u8,
    command_line_len: usize,
    environment: *const u8,
    environment_len: usize,
    directory: *const c_char,
) -> i32 {
    enter(|| {
        // SAFETY: the caller's promise, also for the next two.
        let command_line = unsafe { bytes(command_line, command_line_len, "command_line") }?;
        // SAFETY: see above.
        let environment = unsafe { bytes(environment, environment_len, "environment") }?;
        // SAFETY: see above.
        let directory = unsafe { text(directory, "directory") }?;
        manager::note_start(command_line, environment, directory)?;
        Ok(0)
    })
}
