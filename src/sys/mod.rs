//! The only room that makes system calls.
//!
//! Every function here is safe to call; each `unsafe` block says why it is sound.

pub(crate) mod arrivals;
pub(crate) mod attempt;
pub(crate) mod clock;
pub(crate) mod connection;
pub(crate) mod custody;
pub mod environment;
pub(crate) mod fd;
pub(crate) mod forks;
pub(crate) mod holder;
mod hosts_handler;
pub(crate) mod io;
pub(crate) mod kernel;
pub(crate) mod kick;
pub(crate) mod listen;
pub mod log;
pub(crate) mod process;
pub(crate) mod scoreboard;
pub(crate) mod socket_file;

pub(crate) mod adopted;
pub(crate) mod chain;
pub(crate) mod channel;
pub(crate) mod child;
pub(crate) mod disposable;
pub(crate) mod exec;
pub(crate) mod executable;
pub(crate) mod filtered;
pub(crate) mod guardian;
pub(crate) mod handover;
mod hidden_child;
pub(crate) mod identity;
pub(crate) mod inspect;
pub(crate) mod listeners;
pub(crate) mod lock;
pub(crate) mod readiness;
pub(crate) mod signals;
pub(crate) mod stderr;
pub(crate) mod title;
pub(crate) mod trusted_path;
pub(crate) mod worker_fd;
