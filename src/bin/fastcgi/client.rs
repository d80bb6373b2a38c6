//! A FastCGI client: one request on one connection, with request and response in parallel.
//!
//! [`start`] runs a request in a task of its own and returns a receiver of [`Event`]s. The last event
//! is `Done` or `Failed`. Dropping the receiver aborts the request. Memory is bounded in both
//! directions: the task reads from the application only as fast as the events are received, and
//! from the body only as fast as the application reads.

use std::sync::Arc;

use fcgipm::wire::Role;
use tokio::sync::mpsc;

use crate::fastcgi::body::RequestBody;
pub(crate) use crate::fastcgi::connection::{ConnectError, Connection};
pub(crate) use crate::fastcgi::event::{Cause, Event, Failure, refusal};
use crate::fastcgi::progress::Progress;
use crate::fastcgi::records;
use crate::fastcgi::task::Task;

/// Events that may be queued for the receiver.
const EVENTS: usize = 2;

/// A request to an application.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) role: Role,
    pub(crate) keep_connection: bool,
    pub(crate) variables: &'a [(Vec<u8>, Vec<u8>)],
    pub(crate) body: RequestBody,
    /// The second stream of a filter.
    pub(crate) data: RequestBody,
}

/// A request that is being made.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) progress: Arc<Progress>,
}

/// Starts a request on a connection.
pub(crate) fn start(connection: Connection, request: Request<'_>) -> Exchange {
    let (sender, events) = mpsc::channel(EVENTS);
    let progress = Arc::new(Progress::new());
    let head = records::request_head(request.role, request.keep_connection, request.variables);
    let task = Task {
        connection,
        role: request.role,
        keep_connection: request.keep_connection,
        body: request.body,
        data: request.data,
        progress: Arc::clone(&progress),
    };
    tokio::spawn(task.run(head, sender));
    Exchange { events, progress }
}
