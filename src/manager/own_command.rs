//! The command `fcgipm`, of which the manager starts subcommands.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStrExt as _;

use crate::error::{Code, Error, Result};
use crate::manager::settings::Settings;
use crate::sys::process::{environment, executable};

/// Variables that are about the manager's process, or its options.
const NOT_PASSED: [&str; 6] = [
    "FCGIPM_",
    "LISTEN_",
    "NOTIFY_",
    "WATCHDOG_",
    "MAINPID=",
    "FDSTORE=",
];

/// The file to execute: that of this process, if it is the command; else it is searched for in PATH.
///
/// # Errors
/// It cannot be executed.
pub(super) fn file(settings: &Settings) -> Result<OsString> {
    if environment::is_untrusted() {
        let why = "this program has more privileges than its caller, and executes no other";
        return Err(Error::new(Code::Value, why));
    }
    let file = match &settings.program {
        Some(_) => std::env::current_exe()
            .ok()
            .filter(|path| path.exists())
            .map_or_else(|| "/proc/self/exe".into(), OsString::from),
        None => OsString::from("fcgipm"),
    };
    executable::check(&file)?;
    Ok(file)
}

/// The environment for it.
pub(super) fn environment() -> Vec<CString> {
    let variables = std::env::vars_os().filter_map(|(name, value)| {
        let text = [name.as_bytes(), b"=", value.as_bytes()].concat();
        let is_passed = !NOT_PASSED
            .iter()
            .any(|prefix| text.starts_with(prefix.as_bytes()));
        CString::new(text).ok().filter(|_| is_passed)
    });
    variables.collect()
}
