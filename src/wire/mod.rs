//! Encodes and decodes the FastCGI 1.0 wire format, without the state of a request.
//!
//! Pure: no descriptor, clock, environment or global. Section numbers are those of the FastCGI 1.0
//! specification.

mod body;
mod header;
mod pairs;

pub use body::{BeginRequest, EndRequest, ProtocolStatus, Role, unknown_type_body};
pub use header::{HEADER_LEN, Header, RecordType, padding_for};
pub use pairs::{Pair, PairDecoder, PairError, PairLimits, Pairs, PairsTruncated, encode_pair};

/// The protocol version (section 8, `FCGI_VERSION_1`); there is no other.
pub const VERSION: u8 = 1;

/// The id of management records (section 3.3, `FCGI_NULL_REQUEST_ID`).
pub const NULL_REQUEST_ID: u16 = 0;

/// The descriptor on which a program started by a web server finds its listening socket
/// (section 2.2, `FCGI_LISTENSOCK_FILENO`).
pub const LISTEN_FILENO: i32 = 0;

/// The maximum content of a record.
pub const MAX_CONTENT: usize = 65_535;

/// The maximum content that this library sends in a record: the largest multiple of 8 that fits, so
/// that a full record needs no padding.
pub const MAX_ALIGNED_CONTENT: usize = 65_528;
