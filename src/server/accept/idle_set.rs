//! Parked connections: keep-alive connections between requests, new ones on which nothing has
//! arrived, and answered ones whose peer is still sending. They wait beside the listening socket, so
//! that none of them holds a worker.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::capacity::Capacity;
use super::poller::{Event, Poller, Ready};
use crate::server::connection::{Connection, Idle, Parked};
use crate::sys::clock;
use crate::sys::fd::io;
use crate::sys::fd::listen_fd::ListenFd;
use crate::worker::{ManagerLink, OfferList};

/// Bytes of a lingering connection that are discarded at once.
const DISCARD_BOUND: usize = 1 << 20;

/// The maximum number of lingering connections; the oldest is closed first.
const LINGERING_MAX: usize = 256;

/// How a wait ended. A connection is named by its place, where it stays until it is
/// [removed](IdleSet::remove): it has 150 bytes, which need not be copied.
#[derive(Clone, Copy, Debug)]
pub(super) enum WaitOutcome {
    /// The listening socket has a connection, unless another worker was faster, or was shut down.
    Listener,
    /// A connection was handed over, unless another worker was faster.
    Handover,
    /// The manager has exited.
    Orphaned,
    /// A parked connection.
    Connection(usize, Ready),
    /// Nothing that concerns a request.
    Nothing,
}

/// What the deadlines led to.
enum Expiry {
    /// This keep-alive connection, named by its place, is past its own.
    Expired(usize),
    /// The next one.
    Next(Option<Instant>),
}

#[derive(Debug)]
pub(super) struct IdleSet {
    pub(super) poller: Poller,
    /// In the order in which they came.
    pub(super) parked: Vec<Parked>,
    pub(super) capacity: Capacity,
    /// How many of them have a deadline: while none has, a wait reads no clock.
    timed: usize,
}

impl IdleSet {
    pub(super) fn open(listener: ListenFd<'_>, manager: Option<&ManagerLink>) -> nix::Result<Self> {
        Ok(Self {
            poller: Poller::open(listener, manager)?,
            parked: Vec::new(),
            capacity: Capacity::new(),
            timed: 0,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parked.is_empty()
    }

    /// Whether another worker could continue with some of them.
    pub(super) fn has_transferable(&self) -> bool {
        self.parked.iter().any(Parked::is_transferable)
    }

    /// Parks a connection. One that cannot be watched is handed back.
    #[inline]
    pub(super) fn park(&mut self, mut parked: Parked) -> Result<(), Box<Parked>> {
        parked.since = clock::recently();
        if self.poller.watch(&mut parked.connection).is_err() {
            return Err(Box::new(parked));
        }
        if parked.is_lingering()
            && self.parked.iter().filter(|p| p.is_lingering()).count() >= LINGERING_MAX
        {
            if let Some(oldest) = self.parked.iter().position(Parked::is_lingering) {
                self.end(oldest);
            }
        }
        self.timed += usize::from(parked.idle.deadline().is_some());
        self.parked.push(parked);
        Ok(())
    }

    /// Parks a connection again that is watched already, so it cannot fail.
    pub(super) fn park_again(&mut self, parked: Parked) {
        let _ = self.park(parked);
    }

    /// Stops watching a connection.
    pub(super) fn unwatch(&self, mut connection: Connection) -> Connection {
        self.poller.unwatch(&mut connection);
        connection
    }

    pub(super) fn close(&self, connection: Connection) {
        drop(self.unwatch(connection));
    }

    /// Offers what another worker could serve. False: there is nothing.
    pub(super) fn offer(&self, offers: &OfferList) -> bool {
        let parked = self.parked.iter().filter(|parked| parked.is_transferable());
        offers.offer(parked.map(|parked| (parked.connection.number(), parked.has_no_data())))
    }

    /// Of what was offered, in the same order, closes what another worker has.
    pub(super) fn close_claimed(&mut self, mut claimed: impl Iterator<Item = bool>) {
        let mut position = 0;
        while let Some(parked) = self.parked.get(position) {
            if parked.is_transferable() && claimed.next() == Some(true) {
                let parked = self.remove(position);
                drop(self.unwatch(parked.connection).into_fd());
            } else {
                position += 1;
            }
        }
    }

    /// Waits for something to do, or until this deadline. A signal ends it with EINTR.
    pub(super) fn wait(&mut self, until: Option<Instant>) -> nix::Result<WaitOutcome> {
        let deadline = match self.expire() {
            Expiry::Expired(place) => return Ok(self.dismiss(place)),
            Expiry::Next(deadline) => {
                let deadlines = deadline.into_iter().chain(until);
                let deadlines = deadlines.chain(self.capacity.next_check);
                deadlines.chain(self.poller.resume_handover()).min()
            }
        };
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let Some(event) = self.poller.wait(left)? else {
            return Ok(WaitOutcome::Nothing);
        };
        Ok(match event {
            Event::Listener => self.within_capacity(WaitOutcome::Listener),
            Event::Handover => self.within_capacity(WaitOutcome::Handover),
            Event::Orphaned => WaitOutcome::Orphaned,
            Event::Connection(fd, ready) => {
                let mut parked = self.parked.iter();
                match parked.position(|parked| parked.connection.number() == fd) {
                    Some(place) => self.found(place, ready),
                    None => WaitOutcome::Nothing,
                }
            }
        })
    }

    fn found(&mut self, place: usize, ready: Ready) -> WaitOutcome {
        if self.parked[place].is_lingering() {
            self.discard(place);
            return WaitOutcome::Nothing;
        }
        WaitOutcome::Connection(place, ready)
    }

    /// Discards what has arrived on a lingering connection.
    #[cold]
    fn discard(&mut self, place: usize) {
        let parked = self.remove(place);
        let mut scratch = [0; 8192];
        if io::discard(parked.connection.as_fd(), &mut scratch, DISCARD_BOUND) {
            self.close(parked.connection);
        } else {
            self.park_again(parked);
        }
    }

    /// Closes what is past its deadline, but not a keep-alive connection: a request may be on its way.
    fn expire(&mut self) -> Expiry {
        if self.timed == 0 {
            return Expiry::Next(None);
        }
        let now = Instant::now();
        while let Some(position) = self
            .parked
            .iter()
            .position(|p| p.idle.deadline().is_some_and(|d| d <= now))
        {
            if let Idle::KeepAlive { .. } = self.parked[position].idle {
                return Expiry::Expired(position);
            }
            self.end(position);
        }
        let deadlines = self.parked.iter().filter_map(|p| p.idle.deadline());
        Expiry::Next(deadlines.min())
    }

    pub(super) fn remove(&mut self, place: usize) -> Parked {
        let parked = self.parked.remove(place);
        self.timed -= usize::from(parked.idle.deadline().is_some());
        parked
    }

    /// Closes a parked connection.
    pub(super) fn end(&mut self, place: usize) {
        let parked = self.remove(place);
        self.close(parked.connection);
    }

    /// When the connection was parked that has been for longest and is not lingering.
    pub(super) fn longest_idle(&self) -> Option<Duration> {
        let oldest = self.parked.iter().find(|p| !p.is_lingering());
        oldest.map(|parked| parked.since)
    }

    /// Removes the connection that has been parked for longest and is not lingering.
    pub(super) fn take_oldest(&mut self) -> Option<Parked> {
        let position = self.parked.iter().position(|p| !p.is_lingering())?;
        Some(self.remove(position))
    }

    /// Removes the connection that came last and that another worker could continue with, unless it is
    /// the only one.
    pub(super) fn take_latest_of_several(&mut self) -> Option<Parked> {
        let places = 0..self.parked.len();
        let mut transferable = places.filter(|place| self.parked[*place].is_transferable());
        let latest = transferable.next_back()?;
        transferable.next_back()?;
        Some(self.remove(latest))
    }

    /// Removes a connection that another worker could continue with.
    pub(super) fn take_transferable(&mut self) -> Option<Parked> {
        let position = self.parked.iter().position(Parked::is_transferable)?;
        Some(self.remove(position))
    }

    /// From here on nothing new comes: the worker retires.
    pub(super) fn ignore_newcomers(
        &mut self,
        listener: Option<ListenFd<'_>>,
        manager: Option<&ManagerLink>,
    ) {
        self.capacity.next_check = None;
        self.poller.ignore_newcomers(listener, manager);
    }

    /// Waits until the lingering connections are closed by their peers, or past their deadlines. If
    /// the worker exited before, what their peers still send would reset the responses away.
    pub(super) fn finish_lingering(&mut self) -> nix::Result<()> {
        // The last deadline may pass between the check and the wait, so it also ends the wait.
        loop {
            let until = match self.expire() {
                Expiry::Expired(place) => {
                    self.end(place);
                    continue;
                }
                Expiry::Next(Some(until)) => until,
                Expiry::Next(None) => return Ok(()),
            };
            match self.wait(Some(until)) {
                Ok(WaitOutcome::Connection(place, _)) => self.end(place),
                Ok(
                    WaitOutcome::Nothing
                    | WaitOutcome::Listener
                    | WaitOutcome::Handover
                    | WaitOutcome::Orphaned,
                )
                | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}
