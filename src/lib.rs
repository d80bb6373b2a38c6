//! The server side of FastCGI 1.0 and a prefork process manager, behind a C ABI.
//!
//! | room | what it holds |
//! |---|---|
//! | [`error`] | the error type and its stable numbers |
//! | [`options`] | every option once |
//! | [`wire`] | pure: bytes to records and back |
//! | [`conn`] | pure: one connection, bytes in to request events, response to bytes out |
//! | [`pool`] | pure: the manager's mind, (state, now, event) to actions |
//! | `sys` | the only system calls |
//! | [`server`] | `sys` and `conn` joined: listening sockets, requests, Accept |
//! | [`manager`] | `sys` and `pool` joined: the process manager, the worker's side, the scoreboard |
//! | `ffi` | the exports of `libfcgipm.so` |
//!
//! Imports run one way: `conn → wire`; `server → conn, sys`; `manager → pool, server, sys`;
//! `ffi → server, manager`. `unsafe` stands only in `sys` and `ffi`. A test enforces both.

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
