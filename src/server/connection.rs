//! An open connection.

use std::os::fd::OwnedFd;

use crate::sys::fd::connection::Connection;
use crate::sys::socket::listen::Peer;

/// An open connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) fd: Connection,
    pub(super) peer: Peer,
    /// Registered with the epoll instance. It must be taken out before it is closed: a copy of the
    /// descriptor in some child would keep the registration alive.
    pub(super) watched: bool,
    /// Has stood aside between two requests since this process has it.
    pub(super) was_kept: bool,
}

impl Link {
    /// One that this process has just accepted.
    pub(super) fn new(fd: OwnedFd, peer: Peer) -> Self {
        Self {
            fd: Connection::accepted(fd),
            peer,
            watched: false,
            was_kept: false,
        }
    }

    /// One that came from another process.
    pub(super) fn received(fd: OwnedFd, peer: Peer) -> Self {
        Self {
            fd: Connection::received(fd),
            peer,
            watched: false,
            was_kept: false,
        }
    }

    /// The descriptor, with which somebody else goes on: nothing ends here.
    pub(super) fn into_fd(self) -> OwnedFd {
        self.fd.into_fd()
    }
}
