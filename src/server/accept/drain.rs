//! The listen queue of a pool that ends: what waits in it is served, too.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::server::listen::owned;
use crate::sys::fd::io::{self, Direction};
use crate::sys::fd::listen_fd::ListenFd;
use crate::sys::socket::arrivals::{self, Stopped};
use crate::sys::socket::queue_marker::QueueMarker;
use crate::sys::socket::{hop_limit, listen};
use crate::worker::{self, ManagerLink};

/// How long a worker continues to accept whose manager has exited, or that does not know how many
/// connections wait: it must not serve new ones for ever.
const WITHOUT_BOUND: Duration = Duration::from_millis(500);

/// How long a worker waits for what was dropped. TCP repeats it after 0.2 s, but after 3 s if a segment
/// of the handshake was repeated, too (RFC 6298).
const UNTIL_REPEATED: Duration = Duration::from_secs(4);

/// What a worker of a pool that ends still accepts.
#[derive(Debug)]
pub(super) struct Drain {
    listener: i32,
    bound: Bound,
    until: Option<Instant>,
    /// Waits for what was dropped end here, however many connections there are.
    repeated_by: Option<Instant>,
}

/// Which connections are the last.
#[derive(Debug)]
enum Bound {
    /// Nothing arrives: the whole queue is accepted.
    Whole(Stopped),
    /// Others continue to arrive, and this many waited when the drain began.
    Count(usize),
    /// The same, if they cannot be counted.
    Marker(QueueMarker),
    /// The same, but the queue has no room for a marker yet.
    Full,
    /// It is unknown which ones waited.
    Unknown,
    /// No more.
    Over,
}

impl Drain {
    const fn new(listener: i32, bound: Bound) -> Self {
        Self {
            listener,
            bound,
            until: None,
            repeated_by: None,
        }
    }

    pub(super) const fn over() -> Self {
        Self::new(-1, Bound::Over)
    }

    pub(super) fn begin(listener: i32, manager: Option<&ManagerLink>) -> Self {
        if manager.is_none() {
            owned::stop_if_alone(listener);
        }
        let Some(socket) = ListenFd::of_host(listener) else {
            return Self::over();
        };
        // The other workers that share it exit, too.
        if listen::set_nonblocking(socket).is_err() {
            return Self::over();
        }
        if let Some(stopped) = arrivals::stopped(socket) {
            return Self::new(listener, Bound::Whole(stopped));
        }
        if let Some(count) = arrivals::waiting(socket) {
            return Self::new(listener, Bound::Count(count));
        }
        let mut this = Self::new(listener, Bound::Full);
        this.place_marker();
        this
    }

    fn place_marker(&mut self) {
        let placed = match ListenFd::of_host(self.listener).map(QueueMarker::place) {
            Some(Ok(marker)) => Some(Bound::Marker(marker)),
            Some(Err(Errno::EAGAIN)) => None,
            Some(Err(_)) | None => Some(Bound::Unknown),
        };
        self.bound = placed.unwrap_or(Bound::Full);
        self.until = match self.bound {
            Bound::Full | Bound::Unknown => self.until.or(Some(Instant::now() + WITHOUT_BOUND)),
            _ => None,
        };
    }

    /// Whether one more may be accepted.
    pub(super) fn may_accept(&mut self) -> bool {
        if let Bound::Full = self.bound {
            self.place_marker();
        }
        if self.until.is_none() && worker::is_orphaned() {
            self.until = Some(Instant::now() + WITHOUT_BOUND);
        }
        let has_more = match &self.bound {
            Bound::Whole(_) | Bound::Full | Bound::Unknown => true,
            Bound::Count(left) => *left > 0,
            Bound::Marker(marker) => !marker.has_passed(),
            Bound::Over => false,
        };
        has_more && self.until.is_none_or(|until| Instant::now() < until)
    }

    /// One was accepted.
    pub(super) fn count(&mut self) {
        if let Bound::Count(left) = &mut self.bound {
            *left = left.saturating_sub(1);
        }
    }

    /// The queue is empty. What arrives from here on was not there when the drain began.
    pub(super) fn found_empty(&mut self) {
        if !matches!(self.bound, Bound::Whole(_)) {
            self.bound = Bound::Over;
        }
    }

    /// A connection that was accepted since arrivals were stopped may not hear its peer yet.
    pub(super) fn make_usable(&mut self, connection: BorrowedFd<'_>) {
        if let Bound::Whole(Stopped::ByHopLimit) = self.bound {
            if hop_limit::lift(connection) {
                let until = || Instant::now() + UNTIL_REPEATED;
                let until = *self.repeated_by.get_or_insert_with(until);
                let _ = io::wait(connection, Direction::Read, Some(until));
            }
        }
    }
}
