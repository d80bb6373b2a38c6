//! Arguments of the command line that several subcommands take.

pub(crate) mod address;
pub(crate) mod values;
