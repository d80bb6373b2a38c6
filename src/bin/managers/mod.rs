//! Managers that run: how the subcommands find them, signal them, wait for them and read what they do.

pub(crate) mod counted;
pub(crate) mod files;
pub(crate) mod find;
pub(crate) mod follow;
pub(crate) mod group;
pub(crate) mod maps;
pub(crate) mod rates;
pub(crate) mod readiness;
pub(crate) mod report;
pub(crate) mod sockets;
pub(crate) mod target;
pub(crate) mod text;
pub(crate) mod usage;
pub(crate) mod watch;
