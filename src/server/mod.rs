//! Listening sockets, requests and Accept: `sys` and `conn` joined.
//!
//! [`listener`] opens sockets. [`Request`] is one program's loop: `accept` waits for a connection
//! (`waiting`), reads up to the end of the parameters (`reading`), and the application then reads (`input`, `direct`),
//! writes and finishes (`output`), while what stands aside is on offer to others (`offering`), or takes more into its own hands than most (`custody`). Connections that are open and silent stand aside in `parking`.
//! Before a worker that watches some asks epoll it may look into the listen queue (`at_once`).
//! What stands aside goes from worker to worker (`handing_on`).
//! A request may be answered by a child of the process that accepted it (`children`).
//! What a client that hung up had asked for is not run (`hung_up`).
//! A worker that leaves with its whole pool empties the listen queue (`draining`), at which nothing
//! arrives any more (`created`).

pub mod address;
mod at_once;
mod children;
mod created;
mod custody;
pub mod cut_off;
mod direct;
mod draining;
mod handing_on;
mod hung_up;
mod input;
mod link;
pub mod listener;
mod offering;
mod opening;
mod output;
mod parking;
mod reading;
mod request;
mod room;
mod settings;
pub mod supervision;
#[cfg(test)]
mod tests_input;
mod waiting;

/// Has every thread of this process that waits for a request [look around](Request::look_around).
pub fn rouse() {
    crate::sys::signal::kick::rouse();
}

/// A signal of the host's: every wait of this process returns to the host. Async-signal-safe.
pub fn interrupt() {
    crate::sys::signal::kick::interrupt(crate::sys::signal::kick::Whose::Everybody);
}

pub(crate) use crate::sys::signal::chain::chain as chain_handler;
pub(crate) use crate::sys::signal::kick::forget_interrupts;

// What a request's user names of the rooms below.
pub use crate::conn::{Params, Scope, Stream};
// What a manager needs to refuse one before it was read.
pub use crate::conn::overloaded;
pub use crate::sys::process::environment;
pub use crate::sys::socket::listen::Peer;
pub use opening::Opening;
pub use request::{FAIL_ACCEPT_ON_INTR, RETURN_ON_SIGNAL, Request};
pub use settings::WEB_SERVER_ADDRS;
