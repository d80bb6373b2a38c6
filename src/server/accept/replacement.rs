//! What happens at the limit of parked connections.
//!
//! The worker does not watch the listening socket then: new connections wait in its queue, and other
//! workers may accept them. It watches again while a parked connection has been idle for so long that
//! it can be closed for a new one. One that is in use is never closed: its next request may be on its
//! way.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::capacity::LONG;
use super::idle_set::{IdleSet, WaitOutcome};
use super::poller::Ready;
use crate::server::connection::{Idle, Parked};
use crate::sys::clock;
use crate::sys::fd::io::{self, Direction};
use crate::sys::fd::listen_fd::ListenFd;
use crate::worker::ManagerLink;

/// Which parked connection can be closed for a new one.
enum Replaceable {
    /// This one, by its place.
    Now(usize),
    /// One will be at this time, if it stays idle.
    Later(Duration),
    Never,
}

impl IdleSet {
    fn is_full(&self) -> bool {
        self.capacity.is_full(self.parked.len())
    }

    /// Whether nothing can be received from the hand-over queue.
    pub(super) fn is_full_for_handover(&self) -> bool {
        self.capacity.is_full_for_handover(self.parked.len())
    }

    /// Watches the listening socket and the hand-over queue while there is capacity for what comes from
    /// them, or a connection can be closed for it. Otherwise the kernel is to wake another worker.
    pub(super) fn regulate(
        &mut self,
        listener: ListenFd<'_>,
        manager: Option<&ManagerLink>,
    ) -> nix::Result<()> {
        self.capacity.next_check = None;
        if !self.is_full() {
            self.poller.watch_handover(manager);
            return self.poller.watch_listener(listener);
        }
        let now = clock::recently();
        let exhausted_until = self.capacity.exhausted_until;
        if exhausted_until.is_some_and(|until| until <= now) {
            self.capacity.exhausted_until = None;
            return self.regulate(listener, manager);
        }
        let replaceable_at = match self.replaceable(now) {
            Replaceable::Now(_) => {
                self.poller.watch_handover(manager);
                return self.poller.watch_listener(listener);
            }
            Replaceable::Later(at) => Some(at),
            Replaceable::Never => None,
        };
        self.capacity.log_limit(self.parked.len());
        self.poller.unwatch_listener(listener);
        if self.is_full_for_handover() {
            self.poller.unwatch_handover(manager);
        } else {
            self.poller.watch_handover(manager);
        }
        let times = replaceable_at.into_iter().chain(exhausted_until);
        // The clock advances in ticks.
        let left = times.min().map(|at| at.saturating_sub(now) + clock::tick());
        self.capacity.next_check = left.map(|left| Instant::now() + left);
        Ok(())
    }

    /// How a wait ended, if there is capacity for what it found; otherwise what becomes of the
    /// connection that is closed for it.
    pub(super) fn within_capacity(&mut self, outcome: WaitOutcome) -> WaitOutcome {
        let is_full = match outcome {
            WaitOutcome::Listener => self.is_full(),
            WaitOutcome::Handover => self.is_full_for_handover(),
            _ => false,
        };
        if !is_full {
            return outcome;
        }
        match self.replaceable(clock::recently()) {
            Replaceable::Now(place) => {
                // If descriptors had run out, its own is free again.
                self.capacity.exhausted_until = None;
                self.dismiss(place)
            }
            Replaceable::Later(_) | Replaceable::Never => WaitOutcome::Nothing,
        }
    }

    /// Which connection can be closed for a new one: preferably one that was answered, then one on
    /// which nothing ever arrived, then a keep-alive connection; of several the one that has been idle
    /// for longest. A keep-alive connection stays while another one can be closed later.
    fn replaceable(&self, now: Duration) -> Replaceable {
        let candidates = self.parked.iter().enumerate().map(|(position, parked)| {
            let rank = match parked.idle {
                Idle::Lingering { .. } => 0,
                Idle::NoData { .. } => 1,
                Idle::KeepAlive { .. } => 2,
            };
            (rank, parked.since + LONG, position)
        });
        match candidates.min() {
            Some((_, at, position)) if at <= now => Replaceable::Now(position),
            Some((_, at, _)) => Replaceable::Later(at),
            None => Replaceable::Never,
        }
    }

    /// A connection that is idle is to be closed, unless something has arrived on it.
    pub(super) fn dismiss(&mut self, place: usize) -> WaitOutcome {
        let now = Some(Instant::now());
        let parked = &self.parked[place];
        if parked.is_lingering() {
            self.end(place);
            return WaitOutcome::Nothing;
        }
        // This worker may have been busy when something came. If nothing has, it may come before the close.
        match io::wait(parked.connection.as_fd(), Direction::Read, now) {
            Ok(true) => WaitOutcome::Connection(place, Ready::Input),
            Ok(false) | Err(_) => WaitOutcome::Connection(place, Ready::Expired),
        }
    }

    /// accept(2) found no free descriptor. False: no connection is here whose end would free one.
    pub(super) fn descriptors_ran_out(&mut self, errno: Errno) -> bool {
        if !self.is_empty() {
            self.capacity.exhaust(self.parked.len(), errno);
        }
        !self.is_empty()
    }

    /// Closes the connection that has lingered for longest, for its descriptor. False: none lingers.
    pub(super) fn end_lingering(&mut self) -> bool {
        let position = self.parked.iter().position(Parked::is_lingering);
        if let Some(position) = position {
            self.end(position);
        }
        position.is_some()
    }
}
