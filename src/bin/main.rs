//! The `fcgipm` command.
fn main() {}
