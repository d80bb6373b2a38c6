//! Listening sockets, requests and Accept: `sys`, `conn` and [`worker`](crate::worker) joined.
//!
//! | module | what it does |
//! |---|---|
//! | [`listen`] | opens listening sockets, and closes those it opened |
//! | `accept` | finds the next connection: new, parked or handed over |
//! | `exchange` | serves one request on it: parameters, input, output, end |
//! | `first_record` | looks at how a connection begins, without reading it |
//! | `low_level` | what the drop-in for libfcgi needs beyond [`Request`] |
//! | `request` | [`Request`], which joins `accept` and `exchange` |

mod accept;
mod connection;
mod exchange;
mod first_record;
pub mod listen;
mod low_level;
mod request;
mod settings;

/// Has every thread of this process that waits for a request [look around](Request::on_wake).
pub fn wake_waiters() {
    crate::sys::signal::wakeup::wake_waiters();
}

/// A signal of the host's: every wait of this process returns to the host. Async-signal-safe.
pub fn interrupt() {
    crate::sys::signal::wakeup::interrupt(crate::sys::signal::wakeup::Scope::AllThreads);
}

pub use first_record::FirstRecord;
pub use request::{FAIL_ACCEPT_ON_INTR, RETURN_ON_SIGNAL, Request};
pub use settings::WEB_SERVER_ADDRS;

// What a manager needs to refuse one before it was read.
pub use crate::conn::overloaded;
// What a request's user names of the rooms below.
pub use crate::conn::{Params, Scope, Stream};
pub use crate::sys::process::environment;
pub(crate) use crate::sys::signal::chain::chain as chain_handler;
pub(crate) use crate::sys::signal::wakeup::forget_interrupts;
pub use crate::sys::socket::listen::Peer;
