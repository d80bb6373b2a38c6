//! Waiting for the next connection, and leaving when the worker is to leave.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::conn::Suspended;
use crate::error::{Code, Error, Result};
use crate::server::accept::drain::is_of_the_connection;
use crate::server::accept::idle_set::{Found, Parked, Parking, Standing};
use crate::server::connection::Link;
use crate::server::request::{FAIL_ACCEPT_ON_INTR, Prospect, RETURN_ON_SIGNAL, Request};
use crate::sys::fd::io::{self, Direction};
use crate::sys::fd::poll;
use crate::sys::log::{self, Level};
use crate::sys::signal::wakeup;
use crate::sys::socket::{arrivals, listen};
use crate::worker;
use crate::worker::{AcceptCounter, ManagerLink, Order, Retirement};

impl Request {
    /// Finds the next connection that may have something to read, and makes it the current one.
    pub(in crate::server) fn next_connection(&mut self) -> Result<()> {
        if worker::must_not_serve() {
            return Err(Error::new(
                Code::State,
                "this worker could not become who the options say, and serves nobody",
            ));
        }
        let link_to_manager = worker::current();
        if let Some(link_to_manager) = link_to_manager {
            if !worker::has_been_ready() {
                // Before anybody can take it for a ready one: until here its manager's death kills it.
                worker::begin_to_follow_guard();
                // An application that ignores or blocks every signal it knows would never hear of its manager.
                wakeup::ensure_wakeable();
            }
            if self.accepts.is_none() {
                let of = |listener| AcceptCounter::of(link_to_manager.page, listener);
                self.accepts = listen::borrow(self.listener).map(of);
            }
            if self.status.idle() {
                link_to_manager.restore_stderr();
                link_to_manager.notify_manager();
                // The manager may have died before.
                self.woken = true;
            }
        }
        let mut failures = 0;
        loop {
            // Entered before the flags are looked at: from here on a wake-up repeats until it is
            // noticed.
            let waiting = self.waiter.enter();
            self.woken |= self.waiter.woken();
            if self.woken
                && let Some(look) = self.wake_hook
            {
                look(self);
            }
            if let Some(link_to_manager) = link_to_manager
                && link_to_manager.page.take_rebalance_request()
            {
                self.share(link_to_manager);
            }
            if let Some(link_to_manager) = link_to_manager
                && (link_to_manager.page.take_handover_hint() || self.woken)
            {
                self.take_over(link_to_manager);
                if self.link.is_some() {
                    // There may be more.
                    link_to_manager.page.set_handover_hint();
                }
            }
            if self.link.is_some() {
                return Ok(());
            }
            // Not before the other flags were looked at, too: with a connection taken over, next time.
            let woken = std::mem::take(&mut self.woken);
            if let Some(leave) = worker::retirement(woken) {
                drop(waiting);
                return self.leave(leave, link_to_manager);
            }
            let is_told_of_signals = self.flags & (FAIL_ACCEPT_ON_INTR | RETURN_ON_SIGNAL) != 0;
            if is_told_of_signals && waiting.is_interrupted() {
                return Err(interrupted());
            }
            let outcome = self.wait_once(link_to_manager);
            drop(waiting);
            let woken = self.waiter.woken();
            self.woken |= woken;
            match outcome {
                Ok(()) if self.link.is_some() => return Ok(()),
                Ok(()) => {}
                // Who is not told otherwise takes it for a failure. Whoever only runs its handlers is
                // told, since with the wake-up may have come a signal of its own.
                Err(Errno::EINTR) if woken && self.flags != RETURN_ON_SIGNAL => {}
                Err(Errno::EINTR) => {
                    if link_to_manager.is_some() && !woken {
                        // By another handler, which may stand where the wake-up's was.
                        wakeup::interrupted_by_another();
                        self.woken = true;
                        if worker::retirement(true).is_some() {
                            continue;
                        }
                    }
                    if is_told_of_signals {
                        // Told now, not once more by the next call.
                        self.waiter.forget_interrupt();
                        return Err(interrupted());
                    }
                }
                Err(errno) => {
                    failures += 1;
                    self.accept_failed(errno, failures, link_to_manager)?;
                }
            }
        }
    }

    /// The host has run its handlers for the signals that came so far.
    ///
    /// # Errors
    /// [`Code::Forked`] in another process than the one that made this.
    pub fn forget_signals(&self) -> Result<()> {
        self.check_process()?;
        self.waiter.forget_interrupt();
        Ok(())
    }

    /// One wait. While no connection ever stood aside that is accept(2) itself: the kernel wakes one
    /// worker for one connection, and nothing else costs a system call. Later it is epoll_wait(2), but not for those
    /// who are in the listen queue already while nothing stands aside.
    fn wait_once(&mut self, link_to_manager: Option<&ManagerLink>) -> nix::Result<()> {
        let Some(parking) = &self.parking else {
            return self.accept_one();
        };
        if parking.is_empty() && self.at_once.is_likely() {
            let outcome = self.accept_one();
            self.at_once.tried(outcome.is_ok());
            if outcome != Err(Errno::EAGAIN) {
                return outcome;
            }
        }
        let (Some(parking), Some(listener)) = (&mut self.parking, listen::borrow(self.listener))
        else {
            return Err(Errno::EBADF);
        };
        parking.regulate(listener, link_to_manager)?;
        match parking.wait(None)? {
            Found::Listener => {
                self.at_once.woken();
                match self.accept_one() {
                    Err(Errno::EAGAIN) => return self.found_nobody(listener, link_to_manager),
                    other => return other,
                }
            }
            Found::Idle(place) => {
                let parked = parking.remove(place);
                self.make_current(parked);
                // Nothing had come; what comes until it is closed is answered.
                self.prospect = Prospect::Closed { looks: 1 };
            }
            Found::Handover => {
                if let Some(link_to_manager) = link_to_manager {
                    self.take_over(link_to_manager);
                }
            }
            Found::Orphaned => worker::set_orphaned(),
            Found::Connection(place) => {
                let parked = parking.remove(place);
                self.make_current(parked);
            }
            Found::HungUp(place) => {
                let parked = parking.remove(place);
                self.skip(parked);
            }
            Found::Nothing => {}
        }
        Ok(())
    }

    /// Epoll told of the listening socket, and nobody is in its queue: somebody was faster, or it is at its
    /// end.
    fn found_nobody(
        &mut self,
        listener: BorrowedFd<'_>,
        link_to_manager: Option<&ManagerLink>,
    ) -> nix::Result<()> {
        if !io::input_has_ended(listener) {
            return Ok(());
        }
        // Somebody may have come before it ended.
        match self.accept_one() {
            Err(Errno::EAGAIN) => {}
            other => return other,
        }
        if link_to_manager.is_none() {
            return Err(Errno::EINVAL);
        }
        // From here on only the manager has anything to say.
        if let Some(parking) = &mut self.parking {
            parking.ignore_newcomers(Some(listener), None);
        }
        Ok(())
    }

    pub(in crate::server) fn accept_one(&mut self) -> nix::Result<()> {
        let listener = listen::borrow(self.listener).ok_or(Errno::EBADF)?;
        let (fd, peer) = listen::accept(listener, self.is_unix)?;
        if let Some(accepts) = &self.accepts {
            accepts.count();
        }
        let link = Link::new(fd, peer);
        if self.admits(peer) && !self.hung_up.is(&link, &self.status, listener) {
            self.set_current(link, Suspended::fresh(), true);
        }
        Ok(())
    }

    pub(in crate::server) fn admits(&self, peer: listen::Peer) -> bool {
        let is_admitted = self.settings.admits(peer);
        if let listen::Peer::Inet(address) = peer
            && !is_admitted
        {
            log::limited(
                Level::Warning,
                &format!(
                    "connection from {address} refused: not in {}",
                    crate::server::WEB_SERVER_ADDRS
                ),
            );
        }
        is_admitted
    }

    /// The peer of a connection that stood aside is gone, whatever it asked for before.
    fn skip(&mut self, parked: Parked) {
        if !self.hung_up.counts_closed(&parked, &self.status) {
            self.make_current(parked);
        } else if let Some(parking) = &self.parking {
            parking.close(parked.link);
        }
    }

    pub(in crate::server) fn make_current(&mut self, parked: Parked) {
        self.set_current(parked.link, parked.state, false);
    }

    pub(in crate::server) fn set_current(&mut self, link: Link, state: Suspended, fresh: bool) {
        self.link = Some(link);
        self.inbound.resume(state);
        self.fresh = fresh;
        self.prospect = Prospect::Kept;
    }

    /// accept(2) failed: what is passing is tried again, what is not is an error.
    fn accept_failed(
        &mut self,
        errno: Errno,
        failures: u32,
        link_to_manager: Option<&ManagerLink>,
    ) -> Result<()> {
        /// So many errors without a connection in between are no passing ones.
        const PASSING: u32 = 1000;
        match errno {
            // Out of descriptors it waits in between.
            _ if failures > PASSING && !matches!(errno, Errno::EMFILE | Errno::ENFILE) => Err(
                Error::caused(Code::System, "accept, again and again", errno as i32),
            ),
            // Another process made the listening socket non-blocking, because it watches kept
            // connections beside it.
            Errno::EAGAIN => self.open_parking(link_to_manager).map(drop),
            _ if is_of_the_connection(errno) => Ok(()),
            Errno::EMFILE | Errno::ENFILE => {
                let parking = self.parking.as_mut();
                if parking.is_some_and(|parking| parking.descriptors_ran_out(errno)) {
                    return Ok(());
                }
                Err(Error::caused(Code::Descriptors, "accept", errno as i32))
            }
            // A manager that stops has ended what arrives, and is about to tell its workers.
            Errno::EINVAL if link_to_manager.is_some() && self.nothing_arrives() => {
                self.open_parking(link_to_manager).map(drop)
            }
            // Without one, another thread that leaves has.
            Errno::EINVAL if worker::retirement(true).is_some() && self.nothing_arrives() => Ok(()),
            Errno::EBADF | Errno::EINVAL | Errno::ENOTSOCK | Errno::EOPNOTSUPP => {
                let what = format_args!("accept on descriptor {}", self.listener);
                Err(Error::caused(Code::Listener, what, errno as i32))
            }
            other => Err(Error::caused(Code::System, "accept", other as i32)),
        }
    }

    fn nothing_arrives(&self) -> bool {
        listen::borrow(self.listener).is_some_and(arrivals::are_stopped)
    }

    pub(in crate::server) fn open_parking(
        &mut self,
        link_to_manager: Option<&ManagerLink>,
    ) -> Result<&mut Parking> {
        if self.parking.is_none() {
            let failed = |errno: Errno| {
                let code = if errno == Errno::EMFILE {
                    Code::Descriptors
                } else {
                    Code::System
                };
                Error::caused(code, "watching kept connections: epoll", errno as i32)
            };
            let listener = listen::borrow(self.listener)
                .ok_or(Errno::EBADF)
                .map_err(failed)?;
            self.parking = Some(Parking::open(listener, link_to_manager).map_err(failed)?);
        }
        self.parking
            .as_mut()
            .ok_or_else(|| Error::new(Code::State, "no parking"))
    }

    /// Puts a connection aside; where that is impossible it is closed, which costs its peer no
    /// request: nothing of one has arrived.
    pub(in crate::server) fn set_aside(&mut self, mut link: Link, standing: Standing) {
        let state = self.inbound.suspend();
        let link_to_manager = worker::current();
        let listener = listen::borrow(self.listener);
        match self.open_parking(link_to_manager) {
            Ok(parking) => {
                // Not only one that is watched from here on: it may have stood aside before it spoke.
                if let (Standing::Kept { .. }, Some(listener)) = (standing, listener)
                    && !std::mem::replace(&mut link.was_kept, true)
                {
                    parking.let_others_first(listener);
                }
                if let Err(refused) = parking.park(Parked::new(link, state, standing)) {
                    log::limited(
                        Level::Warning,
                        "a kept connection is closed: it cannot be watched",
                    );
                    drop(refused);
                }
            }
            Err(error) => log::limited(
                Level::Warning,
                &format!("a kept connection is closed: {error}"),
            ),
        }
    }

    /// Leaves, one connection at a time: `Ok` with a current connection whose request is still to
    /// be answered, and in the end [`Code::Retired`].
    fn leave(
        &mut self,
        mut retirement: Retirement,
        link_to_manager: Option<&ManagerLink>,
    ) -> Result<()> {
        if let Some(link_to_manager) = link_to_manager
            && !worker::is_orphaned()
            && link_to_manager.page.order() == Order::Serve
        {
            retirement = hear_manager(link_to_manager).unwrap_or(retirement);
        }
        match (retirement, link_to_manager) {
            (Retirement::PoolGoesOn, Some(link_to_manager)) => self.hand_over(link_to_manager)?,
            (Retirement::PoolGoesOn, None) | (Retirement::PoolEnds, _) => {
                self.drain(link_to_manager)
            }
        }
        if self.link.is_some() {
            return Ok(());
        }
        self.hung_up.tell();
        if let Some(link_to_manager) = link_to_manager {
            self.status.leaving();
            link_to_manager.notify_manager();
        }
        if let Some(parking) = &mut self.parking {
            parking.ignore_newcomers(listen::borrow(self.listener), link_to_manager);
            // If it fails, nothing can be waited for.
            let _ = parking.see_off();
        }
        Err(Error::new(Code::Retired, "this worker is to leave"))
    }

    /// Makes the next connection current that waits in the listen queue, or else one that stands aside,
    /// to be read a last time: what its peer has sent, or begun to send, is answered.
    pub(in crate::server) fn drain(&mut self, link_to_manager: Option<&ManagerLink>) {
        self.accept_waiting(link_to_manager);
        if self.link.is_some() {
            return;
        }
        let parked = self.parking.as_mut().and_then(Parking::take_oldest);
        match (parked, link_to_manager) {
            (Some(parked), _) => self.take_last_look_at(parked),
            (None, Some(link_to_manager)) => self.take_over(link_to_manager),
            (None, None) => {}
        }
        if self.link.is_some() {
            self.fresh = false;
            self.prospect = Prospect::Closed { looks: 0 };
        }
    }

    /// Makes a connection current that nobody will have after this worker.
    pub(in crate::server) fn take_last_look_at(&mut self, parked: Parked) {
        if let Standing::Silent { spoken_by, .. } = parked.standing {
            // The peer was accepted, and may be about to write.
            let _ = io::wait(parked.link.fd.as_fd(), Direction::Read, Some(spoken_by));
        }
        self.make_current(parked);
        self.fresh = false;
        self.prospect = Prospect::Closed { looks: 0 };
    }
}

fn interrupted() -> Error {
    Error::caused(Code::Interrupted, "accept", libc::EINTR)
}

/// Somebody other than the manager asked this worker to leave. Where a service manager signals the whole
/// group, the manager is about to say that the pool ends, and then the last ones must not have left
/// before nothing arrives any more.
fn hear_manager(link_to_manager: &ManagerLink) -> Option<Retirement> {
    /// Short beside the 100 ms in which an idle worker that was asked is to be gone.
    const MOMENT: Duration = Duration::from_millis(40);
    let until = Instant::now() + MOMENT;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        // Its end ends the wait, and so does the wake-up that follows an order.
        let life = std::iter::once(link_to_manager.life.as_fd());
        poll::wait(life, Some(left), &mut Vec::new());
        let retirement = worker::retirement(true);
        let is_told = link_to_manager.page.order() != Order::Serve || worker::is_orphaned();
        if is_told || left.is_zero() {
            return retirement;
        }
    }
}
