//! What the operator has set for this process, and the log.

use std::ffi::OsString;

use fcgipm::error::Error;
use fcgipm::log::{Level, limited};
use fcgipm::options::Options;
use fcgipm::server::{WEB_SERVER_ADDRS, environment};
use once_cell::sync::OnceCell;

/// The options of the environment. They are read once, before a request's parameters become the
/// environment.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) options: Options,
    /// The peers whose connections are accepted.
    pub(crate) web_servers: Option<OsString>,
}

static SETTINGS: OnceCell<Settings> = OnceCell::new();

pub(crate) fn settings() -> Result<&'static Settings, Error> {
    SETTINGS.get_or_try_init(|| {
        Ok(Settings {
            options: Options::new().with_environment(environment::trusted_vars())?,
            web_servers: std::env::var_os(WEB_SERVER_ADDRS),
        })
    })
}

/// Logs a warning for the operator.
pub(crate) fn warn(message: &str) {
    limited(Level::Warning, &format!("libfcgi: {message}"));
}
