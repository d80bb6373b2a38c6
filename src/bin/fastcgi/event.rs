//! What the application sends back, and how a request fails.

use std::fmt;
use std::io;

use bytes::Bytes;
use fcgipm::wire::{EndRequest, ProtocolStatus};

use crate::fastcgi::body::RequestBody;
use crate::fastcgi::connection::Connection;
use crate::fastcgi::records::Violation;

/// What the application sends back.
#[derive(Debug)]
pub(crate) enum Event {
    Stdout(Bytes),
    Stderr(Bytes),
    /// The application ended the request. The connection is included if it can be reused.
    Done(EndRequest, Option<Box<Connection>>),
    Failed(Box<Failure>),
}

/// A request that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) cause: Cause,
    /// Whether any byte of a response had arrived.
    pub(crate) answered: bool,
    /// The body, for another attempt.
    pub(crate) body: RequestBody,
}

/// Why a request failed.
#[derive(Debug)]
pub(crate) enum Cause {
    /// The application closed the connection before END_REQUEST.
    Closed,
    /// The connection failed.
    Broken(io::Error),
    /// The application violated the protocol.
    Protocol(Violation),
    /// The request body could not be read to its end.
    Body(String),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the application closed the connection"),
            Self::Broken(error) => write!(f, "the connection to the application failed: {error}"),
            Self::Protocol(violation) => {
                write!(
                    f,
                    "the application violated the protocol: it sent {violation}"
                )
            }
            Self::Body(reason) => write!(f, "the request body is incomplete: {reason}"),
        }
    }
}

/// The refusal that an END_REQUEST expresses, if any.
pub(crate) fn refusal(end: EndRequest) -> Option<String> {
    let why = match ProtocolStatus::from_number(end.protocol_status) {
        Some(ProtocolStatus::RequestComplete) => return None,
        Some(ProtocolStatus::CantMultiplex) => "CANT_MPX_CONN".to_owned(),
        Some(ProtocolStatus::Overloaded) => "OVERLOADED".to_owned(),
        Some(ProtocolStatus::UnknownRole) => "UNKNOWN_ROLE".to_owned(),
        None => format!("protocol status {}", end.protocol_status),
    };
    Some(format!("the application refused the request: {why}"))
}
