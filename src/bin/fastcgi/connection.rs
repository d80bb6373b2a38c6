//! A connection to an application.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::args::address::Address;
use crate::fastcgi::records::Decoder;
use crate::fastcgi::stream::Stream;

/// A connection to an application, on which requests run one after another.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(super) stream: Stream,
    pub(super) decoder: Decoder,
    pub(super) reused: bool,
}

impl Connection {
    /// Connects within a time limit.
    pub(crate) async fn open(address: &Address, limit: Duration) -> Result<Self, ConnectError> {
        match tokio::time::timeout(limit, Stream::connect(address)).await {
            Ok(Ok(stream)) => Ok(Self {
                stream,
                decoder: Decoder::new(),
                reused: false,
            }),
            Ok(Err(cause)) => Err(ConnectError::Refused {
                address: address.clone(),
                cause,
            }),
            Err(_) => Err(ConnectError::TimedOut {
                address: address.clone(),
                limit,
            }),
        }
    }

    /// Whether it has carried a request before.
    pub(crate) const fn is_reused(&self) -> bool {
        self.reused
    }

    /// Whether the application has neither closed it nor sent anything while it was idle.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let buffer = self.decoder.buffer();
        buffer.reserve(1);
        matches!(self.stream.try_read(buffer), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// Why a connection could not be opened.
#[derive(Debug)]
pub(crate) enum ConnectError {
    Refused { address: Address, cause: io::Error },
    TimedOut { address: Address, limit: Duration },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { address, cause } => write!(f, "cannot connect to {address}: {cause}"),
            Self::TimedOut { address, limit } => write!(
                f,
                "cannot connect to {address}: no answer within {} s",
                limit.as_secs_f64()
            ),
        }
    }
}
