//! Managers that run: how the subcommands find them, signal them and wait for them.

pub(crate) mod find;
pub(crate) mod group;
pub(crate) mod readiness;
pub(crate) mod sockets;
pub(crate) mod target;
pub(crate) mod watch;
