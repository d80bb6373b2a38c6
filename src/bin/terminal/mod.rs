//! What the subcommands that show something need of a terminal.

pub(crate) mod cells;
pub(crate) mod keys;
pub(crate) mod line;
pub(crate) mod screen;
pub(crate) mod size;
pub(crate) mod style;
