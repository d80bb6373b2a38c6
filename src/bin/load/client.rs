//! The state of one of the concurrent clients.

use std::time::Instant;

use nix::sys::epoll::EpollFlags;

use super::answer::Reader;
use super::target::Socket;

/// A client, which sends one request after another.
#[derive(Debug, Default)]
pub(crate) struct Client {
    pub(crate) connection: Option<Connection>,
    pub(crate) request: Option<Underway>,
    /// The connection of the previous request, whose response is complete. The application has the
    /// time of one request to close it: the side that closes first occupies the port (TIME_WAIT).
    pub(crate) closing: Option<Connection>,
}

/// A connection to the application.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: Socket,
    /// Distinguishes events of this connection from those of earlier ones.
    pub(crate) serial: u32,
    pub(crate) reader: Reader,
    /// It has carried a response.
    pub(crate) is_reused: bool,
    /// The application no longer reads the request, but may still respond.
    pub(crate) reads_no_more: bool,
    /// The events registered with epoll; empty before the first registration.
    pub(crate) watched: EpollFlags,
}

/// A request in progress.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Underway {
    pub(crate) number: u64,
    pub(crate) began: Instant,
    pub(crate) sent: usize,
    /// Only the first segment may be sent yet.
    pub(crate) is_held_back: bool,
    /// The pause between the segments has begun.
    pub(crate) is_pausing: bool,
}

impl Connection {
    pub(crate) fn new(socket: Socket, serial: u32) -> Self {
        Self {
            socket,
            serial,
            reader: Reader::new(),
            is_reused: false,
            reads_no_more: false,
            watched: EpollFlags::empty(),
        }
    }
}

impl Client {
    pub(crate) fn is_on(&self, serial: u32) -> bool {
        self.connection
            .as_ref()
            .is_some_and(|connection| connection.serial == serial)
    }

    pub(crate) fn is_closing(&self, serial: u32) -> bool {
        self.closing
            .as_ref()
            .is_some_and(|connection| connection.serial == serial)
    }
}
