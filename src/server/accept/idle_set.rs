//! Connections that are open and silent: kept ones between requests, new ones that have not said
//! anything, and answered ones whose peer is still sending. They wait beside the listening socket,
//! so that none of them keeps a worker.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use crate::conn::Suspended;
use crate::server::accept::capacity::Room;
use crate::server::connection::Link;
use crate::sys::fd::io;
use crate::sys::socket::listen;
use crate::sys::{clock, kernel};
use crate::worker;
use crate::worker::{ManagerLink, OfferList};

/// Why a connection stands aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) enum Standing {
    /// Between two requests, for as long as the peer likes, or at most until then.
    Kept { until: Option<Instant> },
    /// Accepted, and nothing has arrived.
    Silent {
        until: Option<Instant>,
        /// A peer on the way from connect(2) to its first write has made it by then.
        spoken_by: Instant,
    },
    /// Answered; what still arrives is thrown away until the peer has seen the answer and closes. A
    /// plain close would reset the answer away (tcp(7), close with unread data).
    Lingering { until: Instant },
}

impl Standing {
    /// Between two requests, from now on.
    pub(in crate::server) fn kept(idle_timeout: Option<Duration>) -> Self {
        Self::Kept {
            until: idle_timeout.map(|timeout| Instant::now() + timeout),
        }
    }

    pub(in crate::server) const fn is_lingering(self) -> bool {
        matches!(self, Self::Lingering { .. })
    }

    const fn deadline(self) -> Option<Instant> {
        match self {
            Self::Kept { until } | Self::Silent { until, .. } => until,
            Self::Lingering { until } => Some(until),
        }
    }
}

#[derive(Debug)]
pub(in crate::server) struct Parked {
    pub(in crate::server) link: Link,
    pub(in crate::server) state: Suspended,
    pub(in crate::server) standing: Standing,
    /// When it was parked.
    pub(in crate::server) since: Duration,
}

impl Parked {
    pub(in crate::server) const fn new(link: Link, state: Suspended, standing: Standing) -> Self {
        Self {
            link,
            state,
            standing,
            since: Duration::ZERO,
        }
    }

    const fn is_lingering(&self) -> bool {
        self.standing.is_lingering()
    }

    const fn is_silent(&self) -> bool {
        matches!(self.standing, Standing::Silent { .. })
    }

    /// Whether another worker could go on with it as it stands.
    const fn may_be_passed(&self) -> bool {
        !self.is_lingering() && self.state.is_between_records()
    }
}

/// What a wait found. A connection is named by its place, where it stands until it is [removed](Parking::remove): it has
/// 150 bytes, which nobody copies from hand to hand.
#[derive(Clone, Copy, Debug)]
pub(in crate::server) enum Found {
    /// The listening socket has a connection, if nobody else was faster, or is at its end.
    Listener,
    /// A connection was handed over, if nobody else was faster.
    Handover,
    /// The manager is gone.
    Orphaned,
    /// A connection has something to read, or its end.
    Connection(usize),
    /// A connection is closed, or reset; it may have something to read.
    HungUp(usize),
    /// A kept connection has been silent for too long.
    Idle(usize),
    /// Nothing that concerns a request.
    Nothing,
}

/// What deadlines led to.
enum Expiry {
    /// This kept connection, named by its place, is past its own.
    Idle(usize),
    /// The next one.
    Next(Option<Instant>),
}

const LISTENER: u64 = u64::MAX;
const HANDOVER: u64 = u64::MAX - 1;
const LIFE: u64 = u64::MAX - 2;

/// Bytes that one look at a lingering connection throws away at most.
const DISCARD_BOUND: usize = 1 << 20;

/// Lingering connections that are kept at most; the oldest goes first.
const LINGERING_MAX: usize = 256;

#[derive(Debug)]
pub(in crate::server) struct Parking {
    epoll: Epoll,
    /// In the order in which they came.
    pub(in crate::server) parked: Vec<Parked>,
    pub(in crate::server) room: Room,
    /// How many of them have a deadline: while none has, a wait asks no clock.
    timed: usize,
    /// Until then the hand-over queue is not watched: something is in it that another worker is to have.
    queue_is_for_others_until: Option<Instant>,
    /// The listening socket should be watched again, and is not.
    is_deaf: bool,
}

/// What is waited for on the listening socket. One connection is for one worker, so one is woken, as by accept(2).
fn arrivals() -> EpollEvent {
    let mut flags = EpollFlags::EPOLLIN;
    if kernel::wakes_one_in_epoll() {
        flags |= EpollFlags::EPOLLEXCLUSIVE;
    }
    EpollEvent::new(flags, LISTENER)
}

impl Parking {
    /// Watches the listening socket, and what a worker's manager has to tell. Accepting becomes
    /// non-blocking for every process that shares the socket: whoever is woken by poll may find
    /// that another was faster, and must not get stuck there.
    pub(in crate::server) fn open(
        listener: BorrowedFd<'_>,
        link_to_manager: Option<&ManagerLink>,
    ) -> nix::Result<Self> {
        listen::set_nonblocking(listener)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let epoll = Epoll(crate::sys::fd::above_standard(epoll.0)?);
        epoll.add(listener, arrivals())?;
        if let Some(link_to_manager) = link_to_manager {
            epoll.add(
                &link_to_manager.handover.1,
                EpollEvent::new(EpollFlags::EPOLLIN, HANDOVER),
            )?;
            epoll.add(
                &link_to_manager.life,
                EpollEvent::new(EpollFlags::EPOLLIN, LIFE),
            )?;
        }
        Ok(Self {
            epoll,
            parked: Vec::new(),
            room: Room::new(),
            timed: 0,
            queue_is_for_others_until: None,
            is_deaf: false,
        })
    }

    /// Of the workers that wait, the one that has watched the listening socket for longest is woken. Watches it anew, so
    /// that the next connection goes to another: who keeps its connections would in the end have all of them.
    pub(in crate::server) fn let_others_first(&mut self, listener: BorrowedFd<'_>) {
        // A worker that leaves does not watch it any more, and one that has no room does not either.
        if self.epoll.delete(listener).is_ok() {
            self.is_deaf = true;
            // Tried again in front of the next wait, and if it fails there, somebody hears of it.
            let _ = self.listen_again(listener);
        }
    }

    /// Watches the listening socket, if that did not succeed before.
    pub(in crate::server) fn listen_again(&mut self, listener: BorrowedFd<'_>) -> nix::Result<()> {
        if self.is_deaf {
            self.epoll.add(listener, arrivals())?;
            self.is_deaf = false;
        }
        Ok(())
    }

    /// Puts a connection aside. Where it cannot be watched it is handed back.
    pub(in crate::server) fn park(&mut self, mut parked: Parked) -> Result<(), Box<Parked>> {
        parked.since = clock::recently();
        if !parked.link.watched {
            let token = parked.link.fd.as_raw_fd() as u64;
            if self
                .epoll
                .add(&parked.link.fd, EpollEvent::new(EpollFlags::EPOLLIN, token))
                .is_err()
            {
                return Err(Box::new(parked));
            }
            parked.link.watched = true;
        }
        if parked.is_lingering()
            && self.parked.iter().filter(|p| p.is_lingering()).count() >= LINGERING_MAX
            && let Some(oldest) = self.parked.iter().position(Parked::is_lingering)
        {
            self.end(oldest);
        }
        self.timed += usize::from(parked.standing.deadline().is_some());
        self.parked.push(parked);
        Ok(())
    }

    /// Closes a connection, whether it was ever parked or not.
    pub(in crate::server) fn close(&self, mut link: Link) {
        self.unwatch(&mut link);
    }

    /// Gives a connection's descriptor away.
    pub(in crate::server) fn let_go(&self, mut link: Link) -> OwnedFd {
        self.unwatch(&mut link);
        link.into_fd()
    }

    /// Offers what another worker could serve. False: there is nothing.
    pub(in crate::server) fn offer(&self, offers: &OfferList) -> bool {
        let parked = self.parked.iter().filter(|parked| parked.may_be_passed());
        offers.offer(parked.map(|parked| (parked.link.fd.as_raw_fd(), parked.is_silent())))
    }

    /// Of what was offered, in the same order, closes what another worker has.
    pub(in crate::server) fn close_claimed(&mut self, mut passed: impl Iterator<Item = bool>) {
        let mut position = 0;
        while let Some(parked) = self.parked.get(position) {
            if parked.may_be_passed() && passed.next() == Some(true) {
                let parked = self.remove(position);
                drop(self.let_go(parked.link));
            } else {
                position += 1;
            }
        }
    }

    /// Watches a connection no longer.
    pub(in crate::server) fn unwatch(&self, link: &mut Link) {
        link.was_kept = false;
        if std::mem::take(&mut link.watched) {
            // It can only fail for a descriptor that is not registered.
            let _ = self.epoll.delete(&link.fd);
        }
    }

    /// Waits until something is to be done, or until `until`. A signal ends it with EINTR.
    pub(in crate::server) fn wait(&mut self, until: Option<Instant>) -> nix::Result<Found> {
        let deadline = match self.expire() {
            Expiry::Idle(place) => return Ok(self.dismiss(place)),
            Expiry::Next(deadline) => {
                let deadlines = deadline.into_iter().chain(until).chain(self.room.opens_at);
                deadlines.chain(self.watch_handover_again()).min()
            }
        };
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let mut events = [EpollEvent::empty()];
        match self.epoll.wait(&mut events, io::timeout(left)) {
            Ok(0) => return Ok(Found::Nothing),
            Ok(_) => {}
            Err(error) => return Err(error),
        }
        Ok(match events[0].data() {
            LISTENER => self.if_room(Found::Listener),
            HANDOVER => self.if_room(Found::Handover),
            LIFE => Found::Orphaned,
            token => match self
                .parked
                .iter()
                .position(|p| p.link.fd.as_raw_fd() as u64 == token)
            {
                Some(position) => self.wake(position, events[0].events()),
                None => Found::Nothing,
            },
        })
    }

    fn wake(&mut self, place: usize, events: EpollFlags) -> Found {
        if self.parked[place].is_lingering() {
            self.discard(place);
            return Found::Nothing;
        }
        if events.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
            return Found::HungUp(place);
        }
        Found::Connection(place)
    }

    /// Throws away what has arrived on a lingering connection.
    #[cold]
    fn discard(&mut self, place: usize) {
        let parked = self.remove(place);
        let mut scratch = [0; 8192];
        if io::discard(parked.link.fd.as_fd(), &mut scratch, DISCARD_BOUND) {
            self.close(parked.link);
        } else {
            // It is watched already, so parking it cannot fail.
            let _ = self.park(parked);
        }
    }

    /// Closes what stands past its deadline, but for a kept connection: on that a request may be on its
    /// way, so it is handed out.
    fn expire(&mut self) -> Expiry {
        if self.timed == 0 {
            return Expiry::Next(None);
        }
        let now = Instant::now();
        while let Some(position) = self
            .parked
            .iter()
            .position(|p| p.standing.deadline().is_some_and(|d| d <= now))
        {
            if let Standing::Kept { .. } = self.parked[position].standing {
                return Expiry::Idle(position);
            }
            self.end(position);
        }
        let deadlines = self.parked.iter().filter_map(|p| p.standing.deadline());
        Expiry::Next(deadlines.min())
    }

    pub(in crate::server) fn remove(&mut self, place: usize) -> Parked {
        let parked = self.parked.remove(place);
        self.timed -= usize::from(parked.standing.deadline().is_some());
        parked
    }

    /// Closes a connection that is parked.
    pub(in crate::server) fn end(&mut self, place: usize) {
        let parked = self.remove(place);
        self.close(parked.link);
    }

    /// From here on watches connections only: the worker leaves.
    pub(in crate::server) fn ignore_newcomers(
        &mut self,
        listener: Option<BorrowedFd<'_>>,
        link_to_manager: Option<&ManagerLink>,
    ) {
        self.queue_is_for_others_until = None;
        self.is_deaf = false;
        self.room.forget();
        let of_manager = link_to_manager.map(|s| [s.handover.1.as_fd(), s.life.as_fd()]);
        for source in listener.into_iter().chain(of_manager.into_iter().flatten()) {
            // It fails for what is not watched any more.
            let _ = self.epoll.delete(source);
        }
    }

    /// From here on nothing is handed over.
    pub(in crate::server) fn ignore_handover(&mut self, link_to_manager: &ManagerLink) {
        self.queue_is_for_others_until = None;
        // It fails for what is not watched any more.
        let _ = self.epoll.delete(&link_to_manager.handover.1);
    }

    /// Watches the hand-over queue.
    pub(in crate::server) fn watch_handover(&self, link_to_manager: &ManagerLink) {
        let event = EpollEvent::new(EpollFlags::EPOLLIN, HANDOVER);
        // Nothing but a lack of memory lets it fail; then others have to take what is there.
        let _ = self.epoll.add(&link_to_manager.handover.1, event);
    }

    /// Watches the listening socket no longer, for the time being.
    pub(in crate::server) fn ignore_listener(&mut self, listener: BorrowedFd<'_>) {
        // It fails for what is not watched any more.
        self.is_deaf |= self.epoll.delete(listener).is_ok();
    }

    /// Takes out the connection that has stood longest and is not lingering.
    pub(in crate::server) fn take_oldest(&mut self) -> Option<Parked> {
        let position = self.parked.iter().position(|p| !p.is_lingering())?;
        Some(self.remove(position))
    }

    /// Takes out the connection that came last and that another worker could go on with, unless it is the
    /// only one.
    pub(in crate::server) fn take_latest_of_several(&mut self) -> Option<Parked> {
        let mut passable = (0..self.parked.len()).filter(|at| self.parked[*at].may_be_passed());
        let latest = passable.next_back()?;
        passable.next_back()?;
        Some(self.remove(latest))
    }

    /// For a moment takes nothing from the hand-over queue.
    pub(in crate::server) fn leave_handover_to_others(&mut self, link_to_manager: &ManagerLink) {
        /// Whoever is free has it long before.
        const MOMENT: Duration = Duration::from_millis(10);
        if self.epoll.delete(&link_to_manager.handover.1).is_ok() {
            self.queue_is_for_others_until = Some(Instant::now() + MOMENT);
        }
    }

    /// Watches the hand-over queue again, when it is time. Returns when that will be.
    fn watch_handover_again(&mut self) -> Option<Instant> {
        let until = self.queue_is_for_others_until?;
        if Instant::now() < until {
            return Some(until);
        }
        self.queue_is_for_others_until = None;
        if let Some(link_to_manager) = worker::current() {
            self.watch_handover(link_to_manager);
        }
        None
    }

    /// Whether nothing stands aside here.
    pub(in crate::server) const fn is_empty(&self) -> bool {
        self.parked.is_empty()
    }

    /// Whether some are here that another one could go on with.
    pub(in crate::server) fn has_passable(&self) -> bool {
        self.parked.iter().any(Parked::may_be_passed)
    }

    /// Takes out those that another one could go on with.
    pub(in crate::server) fn take_passable(&mut self) -> Vec<Parked> {
        let mut taken = Vec::new();
        while let Some(position) = self.parked.iter().position(Parked::may_be_passed) {
            taken.push(self.remove(position));
        }
        taken
    }

    /// Waits until the lingering connections have come to their end, or to their deadline: the
    /// worker leaves, and with what their peers still send unread, the answers would be reset away.
    pub(in crate::server) fn see_off(&mut self) -> nix::Result<()> {
        // With an end of its own: the last deadline may pass between a look and the wait.
        loop {
            let until = match self.expire() {
                Expiry::Idle(place) => {
                    self.end(place);
                    continue;
                }
                Expiry::Next(Some(until)) => until,
                Expiry::Next(None) => return Ok(()),
            };
            match self.wait(Some(until)) {
                Ok(Found::Connection(place) | Found::HungUp(place) | Found::Idle(place)) => {
                    self.end(place);
                }
                Ok(Found::Nothing | Found::Listener | Found::Handover | Found::Orphaned)
                | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}
