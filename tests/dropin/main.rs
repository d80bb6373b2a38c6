//! Programs on libfcgi, unchanged: the same source compiled against stock libfcgi and against the drop-in, and the stock
//! binary with the drop-in in the loader's path, each doing the same.

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
