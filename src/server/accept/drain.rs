//! The listen queue of a pool that ends: what waits in it is answered, too.

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::socket::{Shutdown, shutdown};

use crate::server::accept::idle_set::Parking;
use crate::server::listen::owned;
use crate::server::request::{Prospect, Request};
use crate::sys::fd::io;
use crate::sys::log::{self, Level};
use crate::sys::socket::listen::Peer;
use crate::sys::socket::{arrivals, listen};
use crate::worker;
use crate::worker::ManagerLink;

/// How long a worker whose manager is gone goes on to accept, or one that cannot tell how much waits:
/// it must not serve newcomers for ever.
const WITHOUT_BOUND: Duration = Duration::from_millis(500);

/// What a leaving worker still accepts.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) struct Drain {
    /// So many connections, where others go on to arrive: those that waited when the worker was told
    /// to leave. `None`: nothing arrives, and it goes on to the end of the queue.
    left: Option<usize>,
    until: Option<Instant>,
}

impl Drain {
    const OVER: Self = Self {
        left: Some(0),
        until: None,
    };

    fn begin(fd: i32, link_to_manager: Option<&ManagerLink>) -> Self {
        if link_to_manager.is_none() {
            owned::stop_if_alone(fd);
        }
        let Some(listener) = listen::borrow(fd) else {
            return Self::OVER;
        };
        // The others that share it leave, too.
        if listen::set_nonblocking(listener).is_err() {
            return Self::OVER;
        }
        if arrivals::are_stopped(listener) {
            return Self {
                left: None,
                until: None,
            };
        }
        let left = arrivals::waiting(listener);
        let until = match left {
            Some(_) => None,
            None => Some(Instant::now() + WITHOUT_BOUND),
        };
        Self { left, until }
    }

    /// Whether one more may be accepted.
    fn goes_on(&mut self) -> bool {
        if self.until.is_none() && worker::is_orphaned() {
            self.until = Some(Instant::now() + WITHOUT_BOUND);
        }
        self.left != Some(0) && self.until.is_none_or(|until| Instant::now() < until)
    }

    fn count(&mut self) {
        self.left = self.left.map(|left| left.saturating_sub(1));
    }
}

impl Request {
    /// Makes the next connection current that waits in the listen queue, if one may still be taken.
    pub(in crate::server) fn accept_waiting(&mut self, link_to_manager: Option<&ManagerLink>) {
        /// So many errors without a connection in between are no passing ones.
        const PASSING: u32 = 1000;
        let mut drain = match self.drain {
            Some(drain) => drain,
            None => Drain::begin(self.listener, link_to_manager),
        };
        let mut failures = 0;
        while self.link.is_none() && drain.goes_on() {
            match self.accept_one() {
                Ok(()) => drain.count(),
                Err(Errno::EAGAIN) => {
                    // What comes now was not there when the worker was told to leave.
                    drain.left = drain.left.map(|_| 0);
                    break;
                }
                Err(Errno::EMFILE | Errno::ENFILE)
                    if self.parking.as_mut().is_some_and(Parking::end_lingering) => {}
                // First those that are parked are answered a last time.
                Err(Errno::EMFILE | Errno::ENFILE)
                    if self
                        .parking
                        .as_ref()
                        .is_some_and(|parking| !parking.is_empty()) =>
                {
                    break;
                }
                Err(errno) if failures < PASSING && is_of_the_connection(errno) => failures += 1,
                Err(errno) => {
                    log::limited(
                        Level::Warning,
                        &format!("accept, before leaving: {}", errno.desc()),
                    );
                    drain = Drain::OVER;
                }
            }
        }
        self.drain = Some(drain);
    }

    /// Whether a response that is about to end is the last one on a kept TCP connection, because the pool
    /// ends.
    pub(in crate::server) fn is_parting(&mut self) -> bool {
        if !self.inbound.keep_connection() {
            return false;
        }
        match self.link.as_ref().map(|link| link.peer) {
            Some(Peer::Inet(_)) => {}
            // Its peer cannot even send any more, once last looks are taken.
            Some(Peer::Unix) | None => return false,
        }
        self.look_for_retirement();
        match self.prospect {
            Prospect::Closed { .. } => true,
            Prospect::Kept | Prospect::HandedOn => false,
        }
    }

    /// Holds the last segment of that response back, so that the connection's end leaves in the same
    /// one: who has the whole response, and looks before it asks again, knows that nobody will answer.
    /// False: there is something to read, and what was sent ahead is answered, too.
    pub(in crate::server) fn hold_for_end(&self) -> bool {
        let is_quiet = self.is_drained() && self.inbound.input_is_complete();
        let Some(link) = self.link.as_ref().filter(|_| is_quiet) else {
            return false;
        };
        io::is_silent(link.fd.as_fd()) && io::hold_for_end(link.fd.as_fd()).is_ok()
    }

    /// Ends a connection behind its last response.
    pub(in crate::server) fn part(&mut self) {
        if let Some(link) = &self.link {
            // Not only closed: a child of the application's may have a copy of the descriptor. It fails
            // when the peer is gone.
            let _ = shutdown(link.fd.as_raw_fd(), Shutdown::Write);
        }
        self.close();
    }
}

/// Errors of the connection that was to be accepted (accept(2), "Error handling").
pub(in crate::server) fn is_of_the_connection(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EINTR
            | Errno::ECONNABORTED
            | Errno::EPROTO
            | Errno::ENOPROTOOPT
            | Errno::EHOSTDOWN
            | Errno::ENONET
            | Errno::EHOSTUNREACH
            | Errno::ENETUNREACH
            | Errno::ENETDOWN
            | Errno::EPERM
    )
}
