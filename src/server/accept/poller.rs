//! What a worker's epoll instance watches: the listening socket, the hand-over queue, the manager's
//! end, and parked connections.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

use crate::server::connection::Connection;
use crate::sys::fd::io;
use crate::sys::fd::listen_fd::ListenFd;
use crate::sys::kernel;
use crate::sys::socket::listen;
use crate::worker::{self, ManagerLink};

const LISTENER: u64 = u64::MAX;
const HANDOVER: u64 = u64::MAX - 1;
const LIFE: u64 = u64::MAX - 2;

/// What epoll reported.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    Listener,
    Handover,
    /// The manager's pipe is closed.
    Orphaned,
    /// This connection.
    Connection(i32, Ready),
}

/// What there is to do on a parked connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    /// It has something to read, or its end.
    Input,
    /// Its peer has closed or reset it; it may have something to read.
    Disconnected,
    /// It is past its deadline, or to be closed for a new one.
    Expired,
}

#[derive(Debug)]
pub(super) struct Poller {
    epoll: Epoll,
    /// The listening socket should be watched again, and is not.
    listener_unwatched: bool,
    /// There was no capacity for what comes from the hand-over queue, so it is not watched.
    handover_unwatched: bool,
    /// Until then the hand-over queue is not watched: it has a connection for another worker.
    handover_paused_until: Option<Instant>,
}

/// One connection is for one worker, so one is woken, as by accept(2).
fn arrivals() -> EpollEvent {
    let mut flags = EpollFlags::EPOLLIN;
    if kernel::wakes_one_in_epoll() {
        flags |= EpollFlags::EPOLLEXCLUSIVE;
    }
    EpollEvent::new(flags, LISTENER)
}

const fn input(token: u64) -> EpollEvent {
    EpollEvent::new(EpollFlags::EPOLLIN, token)
}

impl Poller {
    /// Watches the listening socket, and what comes from a worker's manager. Accepting becomes
    /// non-blocking for every process that shares the socket: a worker that epoll wakes must not block
    /// when another one was faster.
    pub(super) fn open(listener: ListenFd<'_>, manager: Option<&ManagerLink>) -> nix::Result<Self> {
        listen::set_nonblocking(listener)?;
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let epoll = Epoll(crate::sys::fd::above_standard(epoll.0)?);
        epoll.add(listener, arrivals())?;
        if let Some(manager) = manager {
            epoll.add(&manager.handover.1, input(HANDOVER))?;
            epoll.add(&manager.life, input(LIFE))?;
        }
        Ok(Self {
            epoll,
            listener_unwatched: false,
            handover_unwatched: false,
            handover_paused_until: None,
        })
    }

    /// Waits for one event. `None`: nothing came within this time. EINTR: a signal came.
    pub(super) fn wait(&self, left: Option<Duration>) -> nix::Result<Option<Event>> {
        let mut events = [EpollEvent::empty()];
        if self.epoll.wait(&mut events, io::timeout(left))? == 0 {
            return Ok(None);
        }
        let [event] = events;
        Ok(Some(match event.data() {
            LISTENER => Event::Listener,
            HANDOVER => Event::Handover,
            LIFE => Event::Orphaned,
            token => {
                let ends = EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
                let ready = if event.events().intersects(ends) {
                    Ready::Disconnected
                } else {
                    Ready::Input
                };
                Event::Connection(token as i32, ready)
            }
        }))
    }

    pub(super) fn watch(&self, connection: &mut Connection) -> nix::Result<()> {
        if !connection.watched {
            let token = connection.number() as u64;
            self.epoll.add(&*connection, input(token))?;
            connection.watched = true;
        }
        Ok(())
    }

    pub(super) fn unwatch(&self, connection: &mut Connection) {
        connection.was_kept = false;
        if std::mem::take(&mut connection.watched) {
            // It can only fail for a descriptor that is not registered.
            let _ = self.epoll.delete(&*connection);
        }
    }

    /// The kernel wakes the waiting worker that has watched the listening socket for longest. Watches
    /// it anew, so that the next connection goes to another worker: one that keeps its connections
    /// would in the end have all of them.
    pub(super) fn rotate_wait_queue(&mut self, listener: ListenFd<'_>) {
        // A retiring worker does not watch it any more, nor does one at its limit.
        if self.epoll.delete(listener).is_ok() {
            self.listener_unwatched = true;
            // Tried again before the next wait, where a failure is reported.
            let _ = self.watch_listener(listener);
        }
    }

    /// Watches the listening socket, if it should be watched and is not.
    pub(super) fn watch_listener(&mut self, listener: ListenFd<'_>) -> nix::Result<()> {
        if self.listener_unwatched {
            self.epoll.add(listener, arrivals())?;
            self.listener_unwatched = false;
        }
        Ok(())
    }

    /// Does not watch the listening socket for now.
    pub(super) fn unwatch_listener(&mut self, listener: ListenFd<'_>) {
        // It fails for what is not watched any more.
        self.listener_unwatched |= self.epoll.delete(listener).is_ok();
    }

    /// Watches the hand-over queue again, if [`unwatch_handover`](Self::unwatch_handover) ended that.
    pub(super) fn watch_handover(&mut self, manager: Option<&ManagerLink>) {
        if let Some(manager) = manager.filter(|_| self.handover_unwatched) {
            self.handover_unwatched = false;
            self.add_handover(manager);
        }
    }

    /// Does not watch the hand-over queue for now.
    pub(super) fn unwatch_handover(&mut self, manager: Option<&ManagerLink>) {
        if let Some(manager) = manager.filter(|_| !self.handover_unwatched) {
            self.ignore_handover(manager);
            self.handover_unwatched = true;
        }
    }

    fn add_handover(&self, manager: &ManagerLink) {
        // It fails only for lack of memory; then other workers have to take what is there.
        let _ = self.epoll.add(&manager.handover.1, input(HANDOVER));
    }

    /// From here on nothing is received from the hand-over queue.
    pub(super) fn ignore_handover(&mut self, manager: &ManagerLink) {
        self.handover_paused_until = None;
        // It fails for what is not watched any more.
        let _ = self.epoll.delete(&manager.handover.1);
    }

    /// Does not watch the hand-over queue for a moment.
    pub(super) fn pause_handover(&mut self, manager: &ManagerLink) {
        /// A worker that is free has received it long before.
        const MOMENT: Duration = Duration::from_millis(10);
        if self.epoll.delete(&manager.handover.1).is_ok() {
            self.handover_paused_until = Some(Instant::now() + MOMENT);
        }
    }

    /// Ends that pause when it is due. Returns when it will be.
    pub(super) fn resume_handover(&mut self) -> Option<Instant> {
        let until = self.handover_paused_until?;
        if Instant::now() < until {
            return Some(until);
        }
        self.handover_paused_until = None;
        if let Some(manager) = worker::current() {
            self.add_handover(manager);
        }
        None
    }

    /// From here on watches connections only: the worker retires.
    pub(super) fn ignore_newcomers(
        &mut self,
        listener: Option<ListenFd<'_>>,
        manager: Option<&ManagerLink>,
    ) {
        self.handover_paused_until = None;
        self.listener_unwatched = false;
        self.handover_unwatched = false;
        let of_manager = manager.map(|link| [link.handover.1.as_fd(), link.life.as_fd()]);
        let listener = listener.map(ListenFd::source);
        for source in listener.into_iter().chain(of_manager.into_iter().flatten()) {
            // It fails for what is not watched any more.
            let _ = self.epoll.delete(source);
        }
    }
}
