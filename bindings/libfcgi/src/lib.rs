//! A drop-in for libfcgi 2.4: its exported names, types and layouts, on fcgipm's engine.
//!
//! | module | content |
//! |---|---|
//! | [`layout`] | libfcgi's structures and constants |
//! | `settings` | the operator's options, and the log |
//! | [`engine`] | what serves a request behind such a structure, and the pool of engines |
//! | `acceptors` | what OS_Accept waits with |
//! | [`params`] | a request's parameters as `NAME=value` strings |
//! | [`reader`], [`writer`] | the functions on streams |
//! | [`raw_writer`] | FCGX_CreateWriter: a stream on a connection of the program's own |
//! | [`init`] | FCGX_Init, FCGX_IsCGI |
//! | [`request`] | FCGX_InitRequest to FCGX_Finish: the life of a request |
//! | [`sockets`] | FCGX_OpenSocket |
//! | [`process`] | the set-up of the process, and signals |
//! | `preloaded` | removes the library from LD_PRELOAD |
//! | [`stdio`] | fcgi_stdio: files of stdio or of a request |
//! | [`os`] | fcgios: for cgi-fcgi and programs with event loops of their own |
//!
//! Where libfcgi returns a result, so does this; where libfcgi crashes on an argument, this returns
//! an error. Functions with `...` are in `variadic.c`, because Rust cannot define them.

#![allow(unsafe_op_in_unsafe_fn)]
#![allow(clippy::missing_safety_doc)]
// The exported functions are documented in the headers.
#![allow(missing_docs)]

mod acceptors;
pub mod engine;
mod guard;
pub mod init;
pub mod layout;
pub mod os;
pub mod params;
mod preloaded;
pub mod process;
pub mod raw_writer;
pub mod reader;
pub mod request;
mod settings;
pub mod sockets;
pub mod stdio;
pub mod writer;
