//! Managers that run: how the subcommands find them, signal them and wait for them.

pub(crate) mod find;
pub(crate) mod group;
pub(crate) mod readiness;
pub(crate) mod sockets;
pub(crate) mod target;
pub(crate) mod watch;

/// A number of things, in the singular or the plural.
pub(crate) fn count(number: u64, thing: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{plural}")
}
