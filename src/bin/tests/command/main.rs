//! The promises of the `fcgipm` command, kept against a fake application on the other side.
//!
//! Everything waits for an event (a line, a record, the end of a stream); the only clocks are the
//! limits after which a wait counts as failed.

mod application;
mod managed;
mod process;
mod web;

mod bodies;
mod calls;
mod connections;
mod failures;
mod load;
mod responses;
mod run;
mod status;
mod variables;
