//! Errors and the version, as C sees them.

use std::ffi::{CString, c_char};

use once_cell::sync::Lazy;

use super::boundary::{bytes, enter, enter_quietly, last_message};
use crate::error::Code;

/// Returns the version of the library, such as "0.1.0".
///
/// The string is valid for the lifetime of the process. Any thread, at any time, also after fork.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_version() -> *const c_char {
    // The file contains it with its end, as strings(1) and the tests expect, whatever the compiler.
    enter(|| Ok(concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()))
}

/// Returns the message of the last call that failed in the calling thread, or "" if none has
/// failed.
///
/// The string belongs to the library and is valid until the next failing call of the same thread. A
/// child inherits the message of the thread that forked.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_last_error_message() -> *const c_char {
    enter_quietly(last_message)
}

/// Returns the name of an error number, such as "FCGIPM_EINUSE", or NULL if there is no such error.
///
/// The string is valid for the lifetime of the process. Any thread, at any time, also after fork.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_error_name(code: i32) -> *const c_char {
    static NAMES: Lazy<Vec<(i32, CString)>> = Lazy::new(|| {
        Code::ALL
            .iter()
            .map(|code| (code.number(), CString::new(code.name()).unwrap_or_default()))
            .collect()
    });
    enter(|| {
        let name = NAMES.iter().find(|(number, _)| *number == code);
        Ok(name.map_or(std::ptr::null(), |(_, name)| name.as_ptr()))
    })
}

/// Writes length bytes at data to the log, in the same way as the manager writes it: to standard
/// error, or in the process of a manager to the file that its option log names.
///
/// The bytes are whole lines. The first may begin with its priority, "<3>" (error) to "<7>", as in
/// sd-daemon(3): the journal gets it, and option log_level applies. Elsewhere it is not written.
///
/// It never raises SIGPIPE and never waits: if the reader does not keep up, the bytes are dropped
/// and counted, and the next line that gets through reports the count. Use it for log lines of a
/// process that runs a manager, because a manager that waits for standard error supervises no
/// workers.
///
/// Returns 1, or 0 if the bytes were dropped; FCGIPM_EARGUMENT. Any thread, also after fork.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcgipm_log_write(data: *const u8, length: usize) -> i32 {
    enter(|| {
        // SAFETY: the caller's promise.
        let data = unsafe { bytes(data, length, "data") }?;
        Ok(i32::from(crate::manager::write_line(data)))
    })
}
