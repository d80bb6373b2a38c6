//! Unchanged programs on libfcgi: the same source built with stock libfcgi and with the drop-in,
//! and the stock binary with the drop-in in the loader's path. All do the same.

#[path = "../peer/mod.rs"]
mod peer;

mod differs;
mod fcgx;
mod forking;
mod memory;
mod names;
mod os;
mod side_by_side;
mod stdio;
mod streambuf;
