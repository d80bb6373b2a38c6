//! A connection, and the values in which it travels between `accept` and `exchange`.
//!
//! [`WhenQuiet`] says what becomes of the current connection when its peer is quiet between two
//! requests:
//!
//! | state | event | what follows |
//! |---|---|---|
//! | `AwaitFirst` | bytes arrive | `Park` |
//! | | nothing arrives for 100 ms | parked as [`Idle::NoData`] |
//! | `Park` | nothing to read | parked as [`Idle::KeepAlive`] |
//! | `AwaitFirst`, `Park` | the worker retires, the pool continues | `HandOver` |
//! | | the pool ends | `Close`, no last reads yet |
//! | `HandOver` | everything received was answered | parked, to be handed over |
//! | `Close` | everything received was answered | one more last read; closed at the limit |
//! | | a response ends | closed with it, if nothing was sent ahead |
//!
//! `HandOver` is kept until the connection is parked, also if the pool ends meanwhile. A connection
//! that is past `idle_timeout` begins with `Close`, and so does each one of a pool that ends.
//!
//! None of these types does anything when it is dropped in a child: the connection is the parent's.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use crate::conn::Suspended;
use crate::sys::fd::peer::PeerFd;
use crate::sys::socket::listen::Peer;

/// How far the end of a connection of a unix socket has come, behind responses that may be the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    NotBegun,
    Postponed {
        since: Instant,
        times: u8,
    },
    /// Reading was shut down: the next response is the last.
    Begun,
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) fd: PeerFd,
    pub(super) peer: Peer,
    /// Registered with the epoll instance. It must be removed before it is closed: a child's copy of
    /// the descriptor would keep the registration alive.
    pub(super) watched: bool,
    /// Has been parked between two requests since this process has it.
    pub(super) was_kept: bool,
    pub(super) end: End,
}

impl Connection {
    /// One that this process has just accepted.
    pub(super) fn accepted(fd: OwnedFd, peer: Peer) -> Self {
        Self::new(PeerFd::accepted(fd), peer)
    }

    /// One that came from another process.
    pub(super) fn received(fd: PeerFd, peer: Peer) -> Self {
        Self::new(fd, peer)
    }

    const fn new(fd: PeerFd, peer: Peer) -> Self {
        Self {
            fd,
            peer,
            watched: false,
            was_kept: false,
            end: End::NotBegun,
        }
    }

    /// The descriptor's number.
    pub(super) fn number(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    /// The descriptor, for another owner: nothing ends here.
    pub(super) fn into_fd(self) -> OwnedFd {
        self.fd.into_fd()
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Why a connection is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Idle {
    /// Between two requests, until the peer sends the next or until this deadline.
    KeepAlive { until: Option<Instant> },
    /// Accepted, and nothing has arrived.
    NoData {
        until: Option<Instant>,
        /// A peer on its way from connect(2) to its first write has made it by then.
        spoken_by: Instant,
    },
    /// Answered; what still arrives is discarded until the peer has read the response and closes. A
    /// plain close would reset the connection and lose the response (tcp(7), close with unread data).
    Lingering { until: Instant },
}

impl Idle {
    /// Between two requests, from now on.
    pub(super) fn keep_alive(idle_timeout: Option<Duration>) -> Self {
        Self::KeepAlive {
            until: idle_timeout.map(|timeout| Instant::now() + timeout),
        }
    }

    pub(super) const fn deadline(self) -> Option<Instant> {
        match self {
            Self::KeepAlive { until } | Self::NoData { until, .. } => until,
            Self::Lingering { until } => Some(until),
        }
    }
}

/// A connection that waits beside the listening socket.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) connection: Connection,
    pub(super) framing: Suspended,
    pub(super) idle: Idle,
    /// When it was parked.
    pub(super) since: Duration,
}

impl Parked {
    pub(super) const fn new(connection: Connection, framing: Suspended, idle: Idle) -> Self {
        Self {
            connection,
            framing,
            idle,
            since: Duration::ZERO,
        }
    }

    pub(super) const fn is_lingering(&self) -> bool {
        matches!(self.idle, Idle::Lingering { .. })
    }

    pub(super) const fn has_no_data(&self) -> bool {
        matches!(self.idle, Idle::NoData { .. })
    }

    /// Whether another worker could continue with it as it is.
    pub(super) const fn is_transferable(&self) -> bool {
        !self.is_lingering() && self.framing.is_between_records()
    }

    #[inline]
    pub(super) fn into_incoming(self, when_quiet: WhenQuiet) -> Incoming {
        Incoming {
            connection: self.connection,
            framing: self.framing,
            when_quiet,
        }
    }
}

/// What becomes of the current connection when its peer is quiet between two requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhenQuiet {
    /// It is new, and gets some time for its first bytes before it is parked.
    AwaitFirst,
    /// It is parked.
    Park,
    /// It is parked without another read: the worker retires and will hand it over.
    HandOver,
    /// It is closed after some last reads: no other worker will continue with it.
    Close {
        /// Reads that have been made.
        last_reads: u8,
    },
}

impl WhenQuiet {
    /// For a connection of a pool that ends.
    pub(super) const LAST: Self = Self::Close { last_reads: 0 };
}

/// A connection that may have something to read.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) connection: Connection,
    pub(super) framing: Suspended,
    pub(super) when_quiet: WhenQuiet,
}

impl Incoming {
    /// A connection of which nothing was read.
    pub(super) const fn unread(connection: Connection, when_quiet: WhenQuiet) -> Self {
        Self {
            connection,
            framing: Suspended::fresh(),
            when_quiet,
        }
    }
}

/// What becomes of the current connection behind a request, or without one. Only the decision: the
/// connection is moved once, to where it goes.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(super) enum Disposal {
    /// It stays the current one: its next request was sent ahead, or last reads follow.
    Keep,
    Park(Idle),
    Close,
}
