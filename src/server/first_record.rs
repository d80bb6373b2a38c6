//! What a connection begins with, without reading it.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;

use crate::conn::{OPENING, opening};
use crate::sys::fd::io;

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstRecord {
    /// A request with this id.
    Request(u16),
    /// Nothing yet.
    Nothing,
    /// Something that is not a request, or not yet.
    Other,
    /// Nothing will come.
    End,
}

impl FirstRecord {
    /// What this connection begins with, of which nothing was read.
    #[must_use]
    pub fn of(connection: BorrowedFd<'_>) -> Self {
        let mut bytes = [0; OPENING];
        match io::peek(connection, &mut bytes) {
            Ok(0) => Self::End,
            Ok(count) => opening(&bytes[..count]).map_or(Self::Other, Self::Request),
            Err(Errno::EAGAIN | Errno::EINTR) => Self::Nothing,
            Err(_) => Self::End,
        }
    }
}
