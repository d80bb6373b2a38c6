//! Listening sockets, requests and Accept: `sys` and `conn` joined.

pub mod supervision;
