//! The listen queue of a pool that ends: what waits in it is served, too.

use std::time::{Duration, Instant};

use crate::server::listen::owned;
use crate::sys::fd::listen_fd::ListenFd;
use crate::sys::socket::{arrivals, listen};
use crate::worker::{self, ManagerLink};

/// How long a worker continues to accept whose manager has exited, or that does not know how many
/// connections wait: it must not serve new ones for ever.
const WITHOUT_BOUND: Duration = Duration::from_millis(500);

/// What a worker of a pool that ends still accepts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Drain {
    /// The number of connections, where others continue to arrive: those that waited when the drain
    /// began. `None`: nothing arrives, and the whole queue is accepted.
    left: Option<usize>,
    until: Option<Instant>,
}

impl Drain {
    pub(super) const OVER: Self = Self {
        left: Some(0),
        until: None,
    };

    pub(super) fn begin(listener: i32, manager: Option<&ManagerLink>) -> Self {
        if manager.is_none() {
            owned::stop_if_alone(listener);
        }
        let Some(listener) = ListenFd::of_host(listener) else {
            return Self::OVER;
        };
        // The other workers that share it exit, too.
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
    pub(super) fn may_accept(&mut self) -> bool {
        if self.until.is_none() && worker::is_orphaned() {
            self.until = Some(Instant::now() + WITHOUT_BOUND);
        }
        self.left != Some(0) && self.until.is_none_or(|until| Instant::now() < until)
    }

    /// One was accepted.
    pub(super) fn count(&mut self) {
        self.left = self.left.map(|left| left.saturating_sub(1));
    }

    /// The queue is empty. What arrives from here on was not there when the drain began.
    pub(super) fn found_empty(&mut self) {
        self.left = self.left.map(|_| 0);
    }
}
