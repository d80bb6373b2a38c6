//! What the subcommands that show something need of a terminal.

pub(crate) mod size;
pub(crate) mod style;
