//! What several subcommands take from the command line.

pub(crate) mod address;
