//! The state that all requests share.

use std::sync::Arc;
use std::time::Duration;

use super::idle;
use crate::args::address::Address;
use crate::cgi::variables::Mapping;
use crate::fastcgi::client::Connection;

/// The application, and the idle connections to it.
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) to: Address,
    pub(super) timeout: Duration,
    pub(super) mapping: Mapping,
    pub(super) idle: Option<Arc<idle::Pool>>,
}

impl Gateway {
    /// Parks a connection that can carry another request.
    pub(super) fn keep(&self, connection: Option<Box<Connection>>) {
        if let (Some(pool), Some(connection)) = (&self.idle, connection) {
            pool.put(*connection);
        }
    }
}
