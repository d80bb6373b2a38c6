//! Graceful stop of a worker: its connections are handed over while the pool continues; when the pool
//! ends, they and the listen queue are served.

use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::drain::Drain;
use super::errors::{TRANSIENT_MAX, is_lack_of_descriptors, is_transient};
use super::handover;
use super::idle_set::{IdleSet, WaitOutcome};
use super::{Acceptor, Mode};
use crate::error::{Code, Error, Result};
use crate::server::connection::{Connection, Idle, Incoming, Parked, WhenQuiet};
use crate::sys::clock;
use crate::sys::fd::io::{self, Direction};
use crate::sys::fd::poll;
use crate::sys::log::{self, Level};
use crate::worker::{self, LoopStatus, ManagerLink, Order, Retirement};

/// How long a retiring worker waits for a peer that stopped in the middle of a record that belongs to
/// no request.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often a full hand-over queue is tried again.
const RETRY: Duration = Duration::from_millis(10);

/// How long a connection must have been idle before a pool that ends closes it. If the peer sends
/// earlier, the connection ends with the answer, which the peer does not miss.
const QUIET: Duration = Duration::from_millis(50);

impl Acceptor {
    /// Retires, one connection at a time: `Ok` with one whose request is still to be answered, and in
    /// the end [`Code::Retired`].
    pub(super) fn retire(
        &mut self,
        mut retirement: Retirement,
        manager: Option<&ManagerLink>,
        status: &mut LoopStatus,
    ) -> Result<Incoming> {
        if let Some(manager) = manager {
            if !worker::is_orphaned() && manager.page.order() == Order::Serve {
                retirement = await_order(manager).unwrap_or(retirement);
            }
        }
        let incoming = match (retirement, manager) {
            (Retirement::PoolContinues, Some(manager)) => self.hand_over(manager, status)?,
            (Retirement::PoolContinues, None) | (Retirement::PoolEnds, _) => {
                self.drain(manager, status)?
            }
        };
        if let Some(incoming) = incoming {
            return Ok(incoming);
        }
        self.disconnects.log_pending();
        if let Some(manager) = manager {
            status.exiting();
            manager.notify_manager();
        }
        let listener = self.borrow_listener();
        if let Some(idle) = &mut self.idle {
            idle.ignore_newcomers(listener, manager);
            // If it fails, nothing can be waited for.
            let _ = idle.finish_lingering();
        }
        Err(Error::new(Code::Retired, "this worker retires"))
    }

    /// Hands the parked connections over to the other workers. One that has something to read before
    /// its turn comes is served here.
    fn hand_over(
        &mut self,
        manager: &ManagerLink,
        status: &mut LoopStatus,
    ) -> Result<Option<Incoming>> {
        if let Mode::Serving = self.mode {
            self.mode = Mode::HandingOver;
        }
        let Some(listener) = self.borrow_listener().filter(|_| self.idle.is_some()) else {
            return Ok(None);
        };
        status.exiting();
        let give_up = Instant::now() + PATIENCE;
        loop {
            let Some(idle) = &mut self.idle else {
                return Ok(None);
            };
            // Checked in each round: a peer may stay in the middle of a record for ever, and then the
            // end of the pool, or of the manager, must not be missed.
            if worker::retirement(true) == Some(Retirement::PoolEnds) {
                return self.drain(Some(manager), status);
            }
            let mut kept_back = Vec::new();
            let mut is_closed = false;
            while let Some(parked) = idle.take_oldest() {
                match handover::send(idle, parked, manager) {
                    Ok(()) => {}
                    Err(refused) => {
                        kept_back.push(*refused.parked);
                        is_closed = refused.is_queue_closed;
                    }
                }
                if is_closed {
                    break;
                }
            }
            if is_closed {
                if let Some(parked) = kept_back.pop() {
                    // No other worker will have them: what their peers have sent is answered here.
                    kept_back
                        .into_iter()
                        .for_each(|other| idle.park_again(other));
                    return Ok(Some(last_of(parked)));
                }
            }
            if kept_back.is_empty() {
                // Meanwhile the pool may have ended, and then no worker reads the queue any more.
                if worker::retirement(true) == Some(Retirement::PoolEnds) {
                    return self.drain(Some(manager), status);
                }
                return Ok(None);
            }
            // The queue is full, or a peer is in the middle of a record: only these are watched.
            report_full_queue(&kept_back);
            idle.ignore_newcomers(Some(listener), Some(manager));
            let is_late = Instant::now() >= give_up;
            for parked in kept_back {
                if is_late && !parked.framing.is_between_records() {
                    idle.close(parked.connection);
                } else {
                    idle.park_again(parked);
                }
            }
            match idle.wait(Some(Instant::now() + RETRY)) {
                Ok(WaitOutcome::Connection(place, ready)) => {
                    if let Some(incoming) = self.take_parked(place, ready, status) {
                        return Ok(Some(incoming));
                    }
                }
                Ok(
                    WaitOutcome::Nothing
                    | WaitOutcome::Listener
                    | WaitOutcome::Handover
                    | WaitOutcome::Orphaned,
                )
                | Err(Errno::EINTR) => {}
                Err(errno) => return Err(Error::system("retiring: epoll_wait", errno as i32)),
            }
        }
    }

    /// The next connection of a pool that ends: one that waits in the listen queue, or else a parked
    /// one. What its peer has sent, or begun to send, is answered.
    fn drain(
        &mut self,
        manager: Option<&ManagerLink>,
        status: &LoopStatus,
    ) -> Result<Option<Incoming>> {
        loop {
            if let Some(incoming) = self.accept_waiting(manager, status) {
                self.make_usable(&incoming.connection);
                return Ok(Some(incoming));
            }
            let found = match self.idle.as_ref().and_then(IdleSet::longest_idle) {
                Some(since) => self.last_parked(since, manager, status)?,
                None => match manager.and_then(|link| self.receive_handed_over(link, status)) {
                    Some(received) => Some(received),
                    None => return Ok(None),
                },
            };
            if let Some(mut incoming) = found {
                self.make_usable(&incoming.connection);
                incoming.when_quiet = WhenQuiet::LAST;
                return Ok(Some(incoming));
            }
        }
    }

    /// A parked connection with something to read, or one that is quiet. `None`: there is none yet, or it
    /// was closed. `since`: when the one was parked that is idle for longest.
    fn last_parked(
        &mut self,
        since: Duration,
        manager: Option<&ManagerLink>,
        status: &LoopStatus,
    ) -> Result<Option<Incoming>> {
        let listener = self.borrow_listener();
        let Some(idle) = &mut self.idle else {
            return Ok(None);
        };
        let left = (since + QUIET).saturating_sub(clock::recently());
        if left.is_zero() {
            return Ok(idle.take_oldest().map(last_of));
        }
        // What else arrives at the listening socket is checked in between.
        idle.ignore_newcomers(listener, manager);
        match idle.wait(Some(Instant::now() + left.min(RETRY))) {
            Ok(WaitOutcome::Connection(place, ready)) => Ok(self.take_parked(place, ready, status)),
            Ok(
                WaitOutcome::Nothing
                | WaitOutcome::Listener
                | WaitOutcome::Handover
                | WaitOutcome::Orphaned,
            )
            | Err(Errno::EINTR) => Ok(None),
            Err(errno) => Err(Error::system("retiring: epoll_wait", errno as i32)),
        }
    }

    fn make_usable(&mut self, connection: &Connection) {
        if let Mode::Draining(drain) = &mut self.mode {
            drain.make_usable(connection.as_fd());
        }
    }

    /// From here on, what waits in the listen queue is the rest.
    #[cold]
    pub(super) fn begin_drain(&mut self, manager: Option<&ManagerLink>) {
        if let Mode::Serving | Mode::HandingOver = self.mode {
            self.mode = Mode::Draining(Drain::begin(self.listener, manager));
        }
    }

    /// Takes the next connection from the listen queue, if one may still be accepted.
    fn accept_waiting(
        &mut self,
        manager: Option<&ManagerLink>,
        status: &LoopStatus,
    ) -> Option<Incoming> {
        self.begin_drain(manager);
        // The mode is set again below.
        let Mode::Draining(mut drain) = std::mem::replace(&mut self.mode, Mode::HandingOver) else {
            return None;
        };
        let mut failures = 0;
        let mut accepted = None;
        while accepted.is_none() && drain.may_accept() {
            match self.accept_one(status) {
                Ok(incoming) => {
                    drain.count();
                    accepted = incoming;
                }
                Err(Errno::EAGAIN) => {
                    drain.found_empty();
                    break;
                }
                Err(errno)
                    if is_lack_of_descriptors(errno)
                        && self.idle.as_mut().is_some_and(IdleSet::end_lingering) => {}
                // The parked ones are answered first.
                Err(errno) if is_lack_of_descriptors(errno) && self.has_parked() => break,
                Err(errno) if failures < TRANSIENT_MAX && is_transient(errno) => failures += 1,
                Err(errno) => {
                    log::limited(
                        Level::Warning,
                        &format!("accept, while retiring: {}", errno.desc()),
                    );
                    drain = Drain::over();
                }
            }
        }
        self.mode = Mode::Draining(drain);
        accepted
    }

    /// Hands over the connection that was served last, unless it is the only one that could be.
    pub(super) fn rebalance(&mut self, manager: &ManagerLink) {
        let Some(idle) = &mut self.idle else { return };
        let Some(parked) = idle.take_latest_of_several() else {
            return;
        };
        match handover::send(idle, parked, manager) {
            Ok(()) => {
                idle.poller.pause_handover(manager);
                manager.notify_manager();
            }
            Err(refused) => idle.park_again(*refused.parked),
        }
    }

    /// A loop ends that was not asked to: what is parked goes to the other workers, as far as their
    /// queue takes it at once, and responses that are on their way arrive.
    pub(super) fn hand_over_at_end(&mut self) {
        let listener = self.borrow_listener();
        let Some(idle) = &mut self.idle else { return };
        let manager = worker::current();
        let pool_ends = worker::retirement(true) == Some(Retirement::PoolEnds);
        let receivers = manager.filter(|_| !pool_ends);
        while let Some(parked) = idle.take_oldest() {
            let Some(manager) = receivers else {
                idle.close(parked.connection);
                continue;
            };
            if let Err(refused) = handover::send(idle, parked, manager) {
                idle.close(refused.parked.connection);
            }
        }
        idle.ignore_newcomers(listener, manager);
        // If it fails, nothing can be waited for.
        let _ = idle.finish_lingering();
    }
}

/// A parked connection that no other worker will have after this one.
fn last_of(parked: Parked) -> Incoming {
    if let Idle::NoData { spoken_by, .. } = parked.idle {
        // The peer was accepted, and may be about to write.
        let _ = io::wait(parked.connection.as_fd(), Direction::Read, Some(spoken_by));
    }
    parked.into_incoming(WhenQuiet::LAST)
}

/// A signal from outside, not the manager's order, asks this worker to exit. Where a service manager
/// signals the whole group, the manager is about to announce that the pool ends. Then the last workers
/// must not have exited before arrivals are ended.
fn await_order(manager: &ManagerLink) -> Option<Retirement> {
    /// Short beside the 100 ms within which an idle worker that was asked to exit does so.
    const MOMENT: Duration = Duration::from_millis(40);
    let until = Instant::now() + MOMENT;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        // The manager's end ends the wait, and so does the wake-up that follows an order.
        let life = std::iter::once(manager.life.as_fd());
        poll::wait(life, Some(left), &mut Vec::new());
        let retirement = worker::retirement(true);
        let has_order = manager.page.order() != Order::Serve || worker::is_orphaned();
        if has_order || left.is_zero() {
            return retirement;
        }
    }
}

/// Logs, once in this process, that the hand-over queue has no room for connections.
fn report_full_queue(kept_back: &[Parked]) {
    static IS_REPORTED: AtomicBool = AtomicBool::new(false);
    let waiting = kept_back.iter();
    let count = waiting
        .filter(|parked| parked.framing.is_between_records())
        .count();
    if count > 0 && !IS_REPORTED.swap(true, Ordering::Relaxed) {
        log::limited(
            Level::Warning,
            &format!(
                "the hand-over queue is full: {count} keep-alive connections stay in this worker, which \
                 retires, until others have room"
            ),
        );
    }
}
