//! fcgios: what libfcgi has below FCGX. cgi-fcgi is built on it, and programs with loops of their own.
//!
//! | room | what it holds |
//! |---|---|
//! | `setup` | OS_LibInit to OS_LibShutdown; what a descriptor is, and its flags |
//! | `transfer` | bytes, and the end of a descriptor |
//! | `connections` | OS_CreateLocalIpcFd, OS_FcgiConnect, OS_Accept |
//! | `operations` | which reads and writes are under way: pure |
//! | `events` | OS_AsyncRead to OS_DoIo: poll(2) over the operations |
//! | `children` | OS_SpawnChild |
//!
//! Where libfcgi ends the process because something failed, these return -1 with errno set.

pub mod children;
pub mod connections;
pub mod events;
mod operations;
pub mod setup;
pub mod transfer;

use std::ffi::{c_int, c_void};

/// OS_AsyncProc: is handed the caller's word, and what read(2) or write(2) returned.
pub type Callback = unsafe extern "C" fn(*mut c_void, c_int);
