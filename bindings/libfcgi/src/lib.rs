//! A drop-in for libfcgi 2.4: its exported names, types and layouts, on fcgipm's engine.
//!
//! | room | what it holds |
//! |---|---|
//! | [`layout`] | libfcgi's structures, as programs know them |
//! | [`engine`] | what serves a request behind such a structure, and where it waits between two |
//! | [`params`] | a request's parameters as `NAME=value` strings |
//! | [`reader`], [`writer`] | the functions on streams |
//! | [`raw_writer`] | FCGX_CreateWriter: a stream on a connection that is the program's own |
//! | [`request`] | FCGX_Init to FCGX_Finish: the life of a request |
//! | [`process`] | what belongs to the process: set-up, signals, the end |
//! | `preloaded` | the end of LD_PRELOAD once it has done its work |
//! | [`stdio`] | fcgi_stdio: files that are stdio's or a request's |
//! | [`os`] | fcgios: what cgi-fcgi and programs with loops of their own call |
//!
//! Where libfcgi returns, this does; where it crashes on what a program hands in, this returns an error.
//! Functions with `...` are in `variadic.c`, which Rust cannot define.

#![allow(unsafe_op_in_unsafe_fn)]
#![allow(clippy::missing_safety_doc)]
// What the exported functions do, their callers read in the headers.
#![allow(missing_docs)]

pub mod engine;
mod guard;
pub mod layout;
pub mod os;
pub mod params;
mod preloaded;
pub mod process;
pub mod raw_writer;
pub mod reader;
pub mod request;
pub mod stdio;
pub mod writer;
