//! What tests with real processes share: the web server's side of FastCGI, and programs to talk to.
#![allow(dead_code)] // Each test target uses its part.

pub(crate) mod compiled;
pub(crate) mod connection;
pub(crate) mod pool;
pub(crate) mod program;
pub(crate) mod records;
