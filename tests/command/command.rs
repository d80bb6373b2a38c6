//! The `fcgipm` command, tested with fake applications and with real managers.
//!
//! Tests wait for events: a line, a record, the end of a stream. Time only limits these waits.

mod application;
mod managed;
mod process;
mod web;

mod admin;
mod backtrace;
mod bodies;
mod calls;
mod connections;
mod failures;
mod load;
mod managers;
mod responses;
mod run;
mod status;
mod top;
mod variables;
mod version;
