//! Values of options that several subcommands take.

use std::time::Duration;

use fcgipm::options::{DURATION, DURATION_MAX, duration};
use hyper::Uri;

/// A time in the syntax of the manager's options, but not 0.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    match duration(text) {
        Some(time) if !time.is_zero() && time <= DURATION_MAX => Ok(time),
        Some(_) => Err("out of range: must be above 0 and at most 100000000 s".into()),
        None => Err(format!("not {DURATION}")),
    }
}

/// A path, optionally with a question mark and a query.
pub(crate) fn path_and_query(text: &str) -> Result<Uri, String> {
    if !text.starts_with('/') {
        return Err("must start with a slash".into());
    }
    text.parse().map_err(|error| format!("{error}"))
}
