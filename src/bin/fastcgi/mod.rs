//! FastCGI from the web server's side: a connection, its records, a request and its body.

pub(crate) mod body;
pub(crate) mod client;
mod connection;
mod event;
mod progress;
pub(crate) mod records;
pub(crate) mod stream;
mod task;
mod upload;
