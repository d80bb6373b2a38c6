//! The server side of FastCGI 1.0 and a prefork process manager, behind a C ABI.
//!
//! | module | contents |
//! |---|---|
//! | [`error`] | the error type and its stable numbers |
//! | [`options`] | the table of options |
//! | [`wire`] | pure: encodes and decodes records |
//! | [`conn`] | pure: one connection, from received bytes to events and from output to bytes |
//! | [`pool`] | pure: the decisions of the manager, from (state, now, event) to actions |
//! | `sys` | all system calls |
//! | [`worker`] | a worker's link to its manager |
//! | [`server`] | combines `sys` and `conn`: listening sockets, requests, Accept |
//! | [`manager`] | combines `sys` and `pool`: the process manager |
//! | `ffi` | the exports of `libfcgipm.so` |
//!
//! Imports run one way: `conn → wire`; `worker → sys`; `server → conn, sys, worker`;
//! `manager → conn, pool, server, sys, worker`; `ffi → server, manager, worker`. Only `sys` and
//! `ffi` contain `unsafe` code. A test enforces both rules.

#![deny(unsafe_code)]

pub mod conn;
pub mod error;
#[allow(unsafe_code)]
pub mod ffi;
pub mod manager;
pub mod options;
pub mod pool;
pub mod server;
#[allow(unsafe_code)]
mod sys;
pub mod wire;
pub mod worker;

pub use sys::log;
