//! Errors and the version, as C sees them.

use std::ffi::{CString, c_char};

use once_cell::sync::Lazy;

use super::boundary::{bytes, enter, enter_quietly, last_message};
use crate::error::Code;

/// The library's version, as "0.1.0".
///
/// Returns a string that lives as long as the process. Any thread, any time, also after fork.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_version() -> *const c_char {
    static VERSION: Lazy<CString> =
        Lazy::new(|| CString::new(env!("CARGO_PKG_VERSION")).unwrap_or_default());
    enter(|| Ok(VERSION.as_ptr()))
}

/// What the calling thread's last failed call of this library had to say; "" when none failed.
///
/// Returns a string that belongs to the library and lives until the thread's next failed call.
/// Per thread. A fork keeps it.
#[unsafe(no_mangle)]
pub extern "C" fn fcgipm_last_error_message() -> *const c_char {
    enter_quietly(last_message)
}

/// The name of an error number, as "FCGIPM_EINUSE"; NULL for a number that is none.
///
/// Returns a string that lives as long as the process. Any thread, any time, also after fork.
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

/// Writes to standard error as the manager writes its own lines, for hosts that have lines of
/// their own: without raising a signal where nobody reads it, and dropped instead of waiting for a
/// reader that does not keep up. A manager that stopped there would look after nobody. What was
/// dropped is counted, and the next line that gets through reports it.
///
/// Returns 1, or 0 when it was dropped; FCGIPM_EARGUMENT. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcgipm_log_write(data: *const u8, length: usize) -> i32 {
    enter(|| {
        // SAFETY: the caller's promise.
        let data = unsafe { bytes(data, length, "data") }?;
        Ok(i32::from(crate::manager::write_line(data)))
    })
}
