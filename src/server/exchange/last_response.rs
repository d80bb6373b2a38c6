//! The last response on a keep-alive connection that is to be closed: the connection ends with it. A peer
//! that has the whole response, and checks before it sends again, then knows that there will be no
//! answer.
//!
//! On TCP the last segment is held back (tcp(7), TCP_CORK), so that it carries the connection's end. On a
//! unix socket the end is a system call of its own. On a busy machine the peer may run before that: the
//! response wakes it. If it has read the response, it may have its next request in hand, so the end is
//! postponed, and that request is answered as well.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::sys::socket::{Shutdown, shutdown};

use crate::server::connection::{Connection, End};
use crate::sys::fd::io;
use crate::sys::socket::listen::Peer;

/// For how long, and how often, the end is postponed: at most until both are exceeded. On a machine with
/// time to spare, processors are distributed in another way by then; on one without, a single
/// request takes that long.
const PERSISTENCE: (Duration, u8) = (Duration::from_millis(200), 20);

/// What became of a connection behind its last response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parting {
    /// Last reads follow.
    Open,
    /// The peer may send one more request.
    Postponed,
    /// The connection has ended.
    Ended,
}

/// A last response that is about to end, on a connection with nothing to decode.
#[derive(Debug)]
pub(super) struct LastResponse {
    /// Its last segment is held back.
    is_corked: bool,
}

impl LastResponse {
    /// Before the last bytes of the response are sent.
    #[cold]
    pub(super) fn prepare(connection: &Connection) -> Self {
        let fd = connection.as_fd();
        let is_corked = matches!(connection.peer, Peer::Inet(_))
            && io::has_nothing_to_read(fd)
            && io::cork(fd).is_ok();
        Self { is_corked }
    }

    /// Ends the connection behind them.
    pub(super) fn part(self, connection: &mut Connection) -> Parting {
        match connection.peer {
            Peer::Unix => part_on_unix(connection),
            Peer::Inet(_) if self.is_corked => end(connection),
            Peer::Inet(_) => Parting::Open,
        }
    }
}

fn part_on_unix(connection: &mut Connection) -> Parting {
    if may_postpone(&mut connection.end) && io::peer_has_read_all(connection.as_fd()) {
        return Parting::Postponed;
    }
    // What the peer sends from here on fails. What it has sent before is answered.
    let _ = shutdown(connection.number(), Shutdown::Read);
    connection.end = End::Begun;
    if io::peek(connection.as_fd(), &mut [0]) != Ok(0) {
        return Parting::Open;
    }
    end(connection)
}

fn may_postpone(end: &mut End) -> bool {
    let now = Instant::now();
    let (since, times) = match *end {
        End::NotBegun => (now, 1),
        End::Postponed { since, times } => (since, times.saturating_add(1)),
        End::Begun => return false,
    };
    *end = End::Postponed { since, times };
    now < since + PERSISTENCE.0 || times < PERSISTENCE.1
}

/// Not only by a close, which follows: a child of the application's may have a copy of the descriptor.
fn end(connection: &Connection) -> Parting {
    // It fails when the peer has closed.
    let _ = shutdown(connection.number(), Shutdown::Write);
    Parting::Ended
}
