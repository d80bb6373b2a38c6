//! The environment, if it is the operator's. A program with more privileges than its caller
//! (set-user-ID, set-group-ID, file capabilities) got its environment from that caller, so it is
//! ignored there.

use std::ffi::{OsStr, OsString};
use std::sync::Once;

use crate::sys::log::{self, Level};

/// Whether the caller that set the environment may have fewer privileges than this process
/// (getauxval(3), AT_SECURE).
#[must_use]
pub fn is_untrusted() -> bool {
    // SAFETY: no preconditions.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// The environment, or nothing if it is not trusted. That is logged once, if it contains any
/// option.
pub fn trusted_vars() -> impl Iterator<Item = (OsString, OsString)> {
    let is_trusted = !is_untrusted();
    if !is_trusted {
        report_ignored();
    }
    is_trusted.then(std::env::vars_os).into_iter().flatten()
}

/// One variable of it.
#[must_use]
pub fn trusted_var(name: impl AsRef<OsStr>) -> Option<OsString> {
    if is_untrusted() {
        report_ignored();
        return None;
    }
    std::env::var_os(name)
}

/// Removes a variable from the environment, unless another thread might be reading the environment.
pub(crate) fn remove(name: &str) {
    if std::env::var_os(name).is_some() && crate::sys::process::threads() == Some(1) {
        // SAFETY: there is no other thread.
        unsafe { std::env::remove_var(name) };
    }
}

fn report_ignored() {
    static REPORTED: Once = Once::new();
    let is_ours = |name: &OsString| name.as_encoded_bytes().starts_with(b"FCGIPM_");
    if std::env::vars_os().any(|(name, _)| is_ours(&name)) {
        REPORTED.call_once(|| {
            log::limited(
                Level::Warning,
                "the FCGIPM_ variables of the environment are ignored: this program has more privileges \
                 than its caller (set-user-ID, set-group-ID or file capabilities)",
            );
        });
    }
}
