//! Unchanged libfcgi programs: built with stock libfcgi, the same binary with the drop-in in the
//! loader's path, and built with the drop-in. All three behave the same.

#[path = "../peer/mod.rs"]
mod peer;

mod differences;
mod fcgx;
mod forking;
mod memory;
mod names;
mod os;
mod side_by_side;
mod stdio;
mod streambuf;
