//! What [`Inbound`](super::Inbound) tells of its input.

use std::fmt;

use crate::wire::{PairError, RecordType, VERSION};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'i> {
    /// A request's parameters are complete: the application may run.
    Request,
    /// Bytes of the standard input.
    Stdin(&'i [u8]),
    /// The standard input is at its end.
    StdinEnd,
    /// Bytes of a filter's data.
    Data(&'i [u8]),
    /// The filter's data is at its end.
    DataEnd,
    /// The web server aborted the running request (section 5.4).
    Aborted,
    /// A request ended before the application ran: its role is unknown, or it was aborted. The
    /// answer is among the replies; with `close`, the connection ends after it.
    Declined {
        /// The peer did not ask to keep the connection.
        close: bool,
    },
}

/// What [`Inbound::handle`](super::Inbound::handle) did with its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'i> {
    /// So many bytes of the input are done with.
    pub consumed: usize,
    /// What they led to. `None`: nothing happened, and either all input was consumed or what is
    /// left [begins the next request](super::Inbound::begins_next).
    pub event: Option<Event<'i>>,
}

/// Why the rest of a connection cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// A record of another protocol version.
    Version(u8),
    /// A BEGIN_REQUEST whose content is not 8 bytes.
    BeginLength(u16),
    /// A record of another stream before PARAMS was closed, or of PARAMS after it was.
    OutOfOrder(RecordType),
    /// PARAMS was closed in the middle of a pair.
    TruncatedParams,
    /// The parameters go over a limit.
    Limit(PairError),
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => {
                write!(f, "a record of protocol version {version}, not {VERSION}")
            }
            Self::BeginLength(length) => {
                write!(f, "a BEGIN_REQUEST record of {length} bytes, not 8")
            }
            Self::OutOfOrder(kind) => write!(f, "a record of type {} out of order", kind.to_byte()),
            Self::TruncatedParams => f.write_str("PARAMS ends in the middle of a parameter"),
            Self::Limit(limit) => limit.fmt(f),
        }
    }
}
