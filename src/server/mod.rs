//! Listening sockets, requests and Accept: `sys`, `conn` and [`worker`](crate::worker) joined.
//!
//! | module | what it does |
//! |---|---|
//! | [`listen`] | opens listening sockets, and closes those it opened |
//! | `accept` | finds the next connection: new, parked or handed over |
//! | `exchange` | serves one request on it: parameters, input, output, end |
//! | `connection` | the values in which a connection travels between the two |
//! | `first_record` | checks how a connection begins, without reading it |
//! | `request` | [`Request`], which composes `accept` and `exchange` |
//! | `forked`, `owner` | a request in children of the process that accepted it |
//! | `low_level` | what the drop-in for libfcgi needs beyond [`Request`] |
//! | `settings` | what the options and the environment say |

mod accept;
pub mod access_log;
mod built_in;
mod connection;
mod exchange;
mod first_record;
mod forked;
pub mod listen;
mod low_level;
mod owner;
mod request;
mod settings;

/// Wakes every thread of this process that waits for a request, so that it
/// [calls its hook](Request::on_wake).
pub fn wake_waiters() {
    crate::sys::signal::wakeup::wake_waiters();
}

/// A signal of the host's: every wait of this process returns to the host. Async-signal-safe.
pub fn interrupt() {
    crate::sys::signal::wakeup::interrupt(crate::sys::signal::wakeup::Scope::AllThreads);
}

pub use accept::{FAIL_ACCEPT_ON_INTR, RETURN_ON_SIGNAL};
pub use first_record::FirstRecord;
pub use request::Request;
pub use settings::WEB_SERVER_ADDRS;

// What a manager needs to refuse a connection that was not read.
pub use crate::conn::overloaded;
// What a request's user needs of the modules below.
pub use crate::conn::{Params, Scope, Stream};
pub use crate::sys::process::environment;
pub(crate) use crate::sys::signal::chain::chain as chain_handler;
pub(crate) use crate::sys::signal::wakeup::forget_interrupts;
pub use crate::sys::socket::listen::Peer;
