//! The events of [`Inbound`](super::Inbound).

use std::fmt;

use crate::wire::{PairError, RecordType, VERSION};

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'i> {
    /// A request's parameters are complete: the application may run.
    Request,
    /// Bytes of STDIN.
    Stdin(&'i [u8]),
    /// The end of STDIN.
    StdinEnd,
    /// Bytes of DATA of a filter.
    Data(&'i [u8]),
    /// The end of DATA.
    DataEnd,
    /// The web server aborted the running request (section 5.4).
    Aborted,
    /// A request ended before the application ran, because its role is unknown or it was aborted.
    /// The answer is among the replies. With `close`, the connection is closed after it.
    Declined {
        /// The peer did not ask for a keep-alive connection.
        close: bool,
    },
}

/// The result of [`Inbound::handle`](super::Inbound::handle).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'i> {
    /// The number of input bytes that were consumed.
    pub consumed: usize,
    /// The event, if any. If `None`, either all input was consumed, or the rest
    /// [begins the next request](super::Inbound::begins_next).
    pub event: Option<Event<'i>>,
}

/// Why the rest of a connection cannot be decoded.
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
    /// The parameters exceed a limit.
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
