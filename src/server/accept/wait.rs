//! Waiting for the next connection.

use nix::errno::Errno;

use super::errors::{TRANSIENT_MAX, is_lack_of_descriptors, is_transient};
use super::handover;
use super::idle_set::{IdleSet, WaitOutcome};
use super::poller::Ready;
use super::{Acceptor, Next};
use crate::error::{Code, Error, Result};
use crate::server::connection::{Incoming, WhenQuiet};
use crate::sys::fd::io;
use crate::sys::fd::listen_fd::ListenFd;
use crate::sys::log::{self, Level};
use crate::sys::signal::wakeup;
use crate::sys::socket::arrivals;
use crate::worker::{self, AcceptCounter, LoopStatus, ManagerLink};

impl Acceptor {
    /// Finds the next connection that may have something to read.
    ///
    /// # Errors
    /// [`Code::Interrupted`], [`Code::Retired`], [`Code::Listener`], [`Code::Descriptors`].
    pub(in crate::server) fn next(&mut self, status: &mut LoopStatus) -> Result<Next> {
        if worker::must_not_serve() {
            return Err(Error::new(
                Code::State,
                "this worker could not take the identity that the options name, and must not serve",
            ));
        }
        let manager = worker::current();
        if let Some(manager) = manager {
            self.report_idle(manager, status);
        }
        let mut failures = 0;
        loop {
            // Entered before the flags are checked: from here on a wake-up repeats until it is noticed.
            let waiting = self.wake_ups.enter();
            if self.wake_ups.take_hook() {
                return Ok(Next::Woken);
            }
            if let Some(manager) = manager {
                if manager.page.take_rebalance_request() {
                    self.rebalance(manager);
                }
                if manager.page.take_handover_hint() || self.wake_ups.is_pending() {
                    if let Some(incoming) = self.receive_handed_over(manager, status) {
                        // There may be more.
                        manager.page.set_handover_hint();
                        return Ok(Next::Connection(incoming));
                    }
                }
            }
            // Not before the other flags were checked: with a connection received, next time.
            let is_woken = self.wake_ups.take();
            if let Some(retirement) = worker::retirement(is_woken) {
                drop(waiting);
                let incoming = self.retire(retirement, manager, status)?;
                return Ok(Next::Connection(incoming));
            }
            // Not in a worker that is to exit: its copies may believe that they are, too.
            if manager.is_some_and(|manager| manager.page.take_template_request()) {
                // It is woken once more, in case that this is not all.
                self.wake_ups.add();
                return Ok(Next::TemplateDue);
            }
            if self.wake_ups.returns_on_signals() && waiting.is_interrupted() {
                return Err(interrupted());
            }
            let outcome = self.wait_once(manager, status);
            drop(waiting);
            let is_woken = self.wake_ups.note();
            match outcome {
                Ok(Some(incoming)) => return Ok(Next::Connection(incoming)),
                Ok(None) => {}
                // A host that does not ask for this takes it for a failure.
                Err(Errno::EINTR) if is_woken && !self.wake_ups.returns_on_wake_ups() => {}
                Err(Errno::EINTR) => {
                    if manager.is_some() && !is_woken {
                        // By another handler, which may have replaced that of the wake-up.
                        wakeup::interrupted_by_another();
                        self.wake_ups.add();
                        if worker::retirement(true).is_some() {
                            continue;
                        }
                    }
                    if self.wake_ups.returns_on_signals() {
                        // Reported now, and not once more by the next call.
                        self.wake_ups.forget_interrupt();
                        return Err(interrupted());
                    }
                }
                Err(errno) => {
                    failures += 1;
                    self.accept_failed(errno, failures, manager)?;
                }
            }
        }
    }

    /// The loop is about to wait. The first one of a worker makes it ready.
    fn report_idle(&mut self, manager: &'static ManagerLink, status: &mut LoopStatus) {
        if !worker::has_been_ready() {
            // Before the manager can take it for a ready one: until here the manager's death kills it.
            worker::begin_to_follow_guard();
            // An application that ignores or blocks every signal would never hear of its manager.
            wakeup::ensure_wakeable();
        }
        if self.counter.is_none() {
            let of = |listener| AcceptCounter::of(manager.page, listener);
            self.counter = self.borrow_listener().map(of);
        }
        if status.idle() {
            manager.restore_stderr();
            manager.notify_manager();
            // The manager may have died before.
            self.wake_ups.add();
        }
    }

    /// One wait. Before the first connection is parked it is accept(2) itself: the kernel wakes one
    /// worker for one connection, and nothing else costs a system call. Later it is epoll_wait(2), but
    /// while nothing is parked the listen queue may be tried first.
    #[inline]
    fn wait_once(
        &mut self,
        manager: Option<&ManagerLink>,
        status: &LoopStatus,
    ) -> nix::Result<Option<Incoming>> {
        let Some(idle) = &self.idle else {
            return self.accept_one(status);
        };
        if idle.is_empty() && self.probe.is_due() {
            let outcome = self.accept_one(status);
            self.probe.tried(outcome.is_ok());
            if !matches!(outcome, Err(Errno::EAGAIN)) {
                return outcome;
            }
        }
        let (listener, Some(idle)) = (self.borrow_listener(), &mut self.idle) else {
            return Err(Errno::EBADF);
        };
        let listener = listener.ok_or(Errno::EBADF)?;
        idle.regulate(listener, manager)?;
        match idle.wait(None)? {
            WaitOutcome::Listener => {
                self.probe.woken();
                match self.accept_one(status) {
                    Err(Errno::EAGAIN) => self.queue_is_empty(listener, manager, status),
                    other => other,
                }
            }
            WaitOutcome::Handover => {
                Ok(manager.and_then(|manager| self.receive_handed_over(manager, status)))
            }
            WaitOutcome::Orphaned => {
                worker::set_orphaned();
                Ok(None)
            }
            WaitOutcome::Connection(place, ready) => Ok(self.take_parked(place, ready, status)),
            WaitOutcome::Nothing => Ok(None),
        }
    }

    /// A parked connection is not parked any more. `None`: it was closed.
    #[inline]
    pub(super) fn take_parked(
        &mut self,
        place: usize,
        ready: Ready,
        status: &LoopStatus,
    ) -> Option<Incoming> {
        let idle = self.idle.as_mut()?;
        let parked = idle.remove(place);
        let when_quiet = match ready {
            Ready::Disconnected if self.disconnects.skips_parked(&parked, status) => {
                idle.close(parked.connection);
                return None;
            }
            Ready::Input | Ready::Disconnected => WhenQuiet::Park,
            // Nothing had come; what comes until it is closed is answered.
            Ready::Expired => WhenQuiet::Close { last_reads: 1 },
        };
        Some(parked.into_incoming(when_quiet))
    }

    /// Epoll reported the listening socket, and its queue is empty: another worker was faster, or the
    /// socket was shut down.
    fn queue_is_empty(
        &mut self,
        listener: ListenFd<'_>,
        manager: Option<&ManagerLink>,
        status: &LoopStatus,
    ) -> nix::Result<Option<Incoming>> {
        if !io::input_has_ended(listener.source()) {
            return Ok(None);
        }
        // A connection may have come before that.
        match self.accept_one(status) {
            Err(Errno::EAGAIN) => {}
            other => return other,
        }
        if manager.is_none() {
            return Err(Errno::EINVAL);
        }
        // From here on only the manager has anything to say.
        if let Some(idle) = &mut self.idle {
            idle.ignore_newcomers(Some(listener), None);
        }
        Ok(None)
    }

    /// Receives a connection that another worker handed over, if one waits.
    pub(super) fn receive_handed_over(
        &mut self,
        manager: &ManagerLink,
        status: &LoopStatus,
    ) -> Option<Incoming> {
        /// Messages before anything else is done: a hostile worker may send without end.
        const AT_ONCE: usize = 64;
        if self
            .idle
            .as_ref()
            .is_some_and(IdleSet::is_full_for_handover)
        {
            return None;
        }
        for _ in 0..AT_ONCE {
            match handover::receive(self.borrow_listener(), manager) {
                // The manager, which may have accepted it, does not know whom this worker admits.
                Ok(Some((connection, when_quiet)))
                    if self.admission.admits(connection.peer)
                        && !self.disconnects.has_disconnected(&connection, status) =>
                {
                    return Some(Incoming::unread(connection, when_quiet));
                }
                Ok(_) => {}
                Err(errno) => {
                    self.receive_failed(errno, manager);
                    return None;
                }
            }
        }
        None
    }

    fn receive_failed(&mut self, errno: Errno, manager: &ManagerLink) {
        let poller = self.idle.as_mut().map(|idle| &mut idle.poller);
        match (errno, poller) {
            (Errno::EAGAIN, _) | (Errno::EPIPE, None) => return,
            (Errno::EPIPE, Some(poller)) => return poller.ignore_handover(manager),
            // A worker that has a descriptor left receives it.
            (_, Some(poller)) => poller.pause_handover(manager),
            (_, None) => {}
        }
        log::limited(
            Level::Warning,
            &format!("receiving a handed-over connection: {}", errno.desc()),
        );
    }

    /// accept(2) failed: the next attempt follows, unless the error does not pass.
    fn accept_failed(
        &mut self,
        errno: Errno,
        failures: u32,
        manager: Option<&ManagerLink>,
    ) -> Result<()> {
        match errno {
            // Without descriptors it waits in between.
            _ if failures > TRANSIENT_MAX && !is_lack_of_descriptors(errno) => Err(Error::caused(
                Code::System,
                format_args!("accept, {failures} times in a row"),
                errno as i32,
            )),
            // Another process made the listening socket non-blocking, because it watches parked
            // connections beside it.
            Errno::EAGAIN => self.open_idle_set(manager).map(drop),
            _ if is_transient(errno) => Ok(()),
            _ if is_lack_of_descriptors(errno) => {
                let idle = self.idle.as_mut();
                if idle.is_some_and(|idle| idle.descriptors_ran_out(errno)) {
                    return Ok(());
                }
                Err(Error::caused(Code::Descriptors, "accept", errno as i32))
            }
            // A manager that stops has ended arrivals, and is about to notify its workers.
            Errno::EINVAL if manager.is_some() && self.nothing_arrives() => {
                self.open_idle_set(manager).map(drop)
            }
            // Without one, another thread that exits has.
            Errno::EINVAL if worker::retirement(true).is_some() && self.nothing_arrives() => Ok(()),
            Errno::EBADF | Errno::EINVAL | Errno::ENOTSOCK | Errno::EOPNOTSUPP => {
                let what = format!("accept on descriptor {}", self.listener);
                Err(Error::caused(Code::Listener, what, errno as i32))
            }
            other => Err(Error::caused(Code::System, "accept", other as i32)),
        }
    }

    fn nothing_arrives(&self) -> bool {
        self.borrow_listener().is_some_and(arrivals::are_stopped)
    }
}

fn interrupted() -> Error {
    Error::caused(Code::Interrupted, "accept", libc::EINTR)
}
