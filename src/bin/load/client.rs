//! One of the clients that send requests at the same time: what it holds.

use std::time::Instant;

use nix::sys::epoll::EpollFlags;

use super::answer::Reader;
use super::target::Socket;

/// A client; each sends one request after another.
#[derive(Debug, Default)]
pub(crate) struct Client {
    pub(crate) connection: Option<Connection>,
    pub(crate) request: Option<Underway>,
    /// The connection of the request before, whose response is complete. The application gets the
    /// time of one more request to close it: whoever closes first keeps the port busy (TIME_WAIT).
    pub(crate) closing: Option<Connection>,
}

/// A connection to the application.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) socket: Socket,
    /// Tells the events of this connection from those of earlier ones.
    pub(crate) serial: u32,
    pub(crate) reader: Reader,
    /// A response has come on it.
    pub(crate) is_reused: bool,
    /// The application takes no more of the request, but may still answer it.
    pub(crate) is_deaf: bool,
    /// What epoll was told; empty before it was told anything.
    pub(crate) watched: EpollFlags,
}

/// A request that has begun and not ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Underway {
    pub(crate) number: u64,
    pub(crate) began: Instant,
    pub(crate) sent: usize,
    /// Only the first segment may go out yet.
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
            is_deaf: false,
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
