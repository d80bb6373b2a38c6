//! A connected stream socket, TCP or unix, for reading and writing in parallel.

use std::io::{self, ErrorKind, IoSlice};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::{TcpStream, UnixStream, lookup_host};

use crate::args::address::{Address, Place};

/// The pause before connect is tried again on a unix socket with a full backlog: it fails
/// immediately instead of waiting, and no event reports free space.
const BACKLOG_RETRY: Duration = Duration::from_millis(5);

/// A connected socket.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Connects. It has no timeout of its own; the caller sets one.
    ///
    /// # Errors
    /// The error of the first address of the host.
    pub(crate) async fn connect(address: &Address) -> io::Result<Self> {
        match address.place() {
            Place::Tcp { host, port } => {
                let addresses: Vec<_> = lookup_host((host.as_str(), *port)).await?.collect();
                connect_tcp(&addresses).await
            }
            Place::Loopback { port } => {
                connect_tcp(&[
                    (Ipv4Addr::LOCALHOST, *port).into(),
                    (Ipv6Addr::LOCALHOST, *port).into(),
                ])
                .await
            }
            Place::Unix(path) => connect_unix(path.as_os_str().as_ref()).await,
            Place::Abstract(name) => connect_unix(format!("\0{name}").as_ref()).await,
        }
    }

    /// Reads available bytes, at least one; 0 at the end.
    pub(crate) async fn read(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        loop {
            match self {
                Self::Tcp(stream) => stream.readable().await?,
                Self::Unix(stream) => stream.readable().await?,
            }
            match self.try_read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }

    /// Reads without waiting. The buffer must have room.
    pub(crate) fn try_read(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read_buf(buffer),
            Self::Unix(stream) => stream.try_read_buf(buffer),
        }
    }

    /// Writes at least one byte of the slices.
    pub(crate) async fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        loop {
            match self {
                Self::Tcp(stream) => stream.writable().await?,
                Self::Unix(stream) => stream.writable().await?,
            }
            match self.try_write(slices) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                result => return result,
            }
        }
    }

    /// Writes without waiting.
    pub(crate) fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write_vectored(slices),
            Self::Unix(stream) => stream.try_write_vectored(slices),
        }
    }
}

async fn connect_tcp(addresses: &[SocketAddr]) -> io::Result<Stream> {
    let mut last = io::Error::new(ErrorKind::NotFound, "the host has no address");
    let mut failed = false;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Records are written whole, so delaying their last segment gains nothing.
                stream.set_nodelay(true)?;
                return Ok(Stream::Tcp(stream));
            }
            // Report the first error: later ones may only show that the machine has no IPv6.
            Err(error) if !failed => {
                failed = true;
                last = error;
            }
            Err(_) => {}
        }
    }
    Err(last)
}

async fn connect_unix(path: &std::path::Path) -> io::Result<Stream> {
    loop {
        match UnixStream::connect(path).await {
            Ok(stream) => return Ok(Stream::Unix(stream)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                tokio::time::sleep(BACKLOG_RETRY).await;
            }
            Err(error) => return Err(error),
        }
    }
}
