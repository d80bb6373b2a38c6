//! fcgios: libfcgi's layer below FCGX. cgi-fcgi and programs with event loops of their own use it.
//!
//! | module | content |
//! |---|---|
//! | `setup` | OS_LibInit, OS_LibShutdown; the kind and the flags of a descriptor |
//! | `transfer` | OS_Read, OS_Write, OS_Close |
//! | `connections` | OS_CreateLocalIpcFd, OS_FcgiConnect, OS_Accept |
//! | `operations` | pending reads and writes, as data |
//! | `events` | OS_AsyncRead to OS_DoIo: poll(2) over the operations |
//! | `children` | OS_SpawnChild |
//!
//! Where libfcgi ends the process because of an error, these return -1 with errno set.

pub mod children;
pub mod connections;
pub mod events;
mod operations;
pub mod setup;
pub mod transfer;

use std::ffi::{c_int, c_void};

/// OS_AsyncProc: gets the caller's pointer and the result of read(2) or write(2).
pub type Callback = unsafe extern "C" fn(*mut c_void, c_int);
