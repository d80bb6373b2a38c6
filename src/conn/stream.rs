//! The streams of a response.

use crate::wire::RecordType;

/// The application's two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The response.
    Stdout,
    /// Messages for the web server's log.
    Stderr,
}

impl Stream {
    pub(super) const fn record_type(self) -> RecordType {
        match self {
            Self::Stdout => RecordType::Stdout,
            Self::Stderr => RecordType::Stderr,
        }
    }

    pub(super) const fn index(self) -> usize {
        match self {
            Self::Stdout => 0,
            Self::Stderr => 1,
        }
    }
}
