//! Shared by tests with real processes: the web server's side of FastCGI, and its applications.
#![allow(dead_code)] // Each test target uses a part of it.

pub(crate) mod compiled;
pub(crate) mod connection;
pub(crate) mod pool;
pub(crate) mod program;
pub(crate) mod records;
pub(crate) mod sleeps;
pub(crate) mod tracer;
