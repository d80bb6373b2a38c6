//! `make install`: the files and where they are, man pages, completions, units, and programs that others build on the
//! library.
//!
//! What is installed is the product of `make build`. It goes into a folder of the test (DESTDIR), never into the
//! system.

#[path = "../peer/mod.rs"]
mod peer;

mod abi;
mod completions;
mod consumers;
mod dry_run;
mod files;
mod manual;
mod refusals;
mod tree;
mod units;
