//! The only module that makes system calls.
//!
//! Every function here is safe to call. Each `unsafe` block states why it is sound.

pub(crate) mod clock;
pub(crate) mod fd;
pub(crate) mod file;
pub(crate) mod kernel;
pub mod log;
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod scoreboard;
pub(crate) mod service;
pub(crate) mod signal;
pub(crate) mod socket;
