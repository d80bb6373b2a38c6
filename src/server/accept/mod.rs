//! Which connection comes next, and where one waits or ends.
//!
//! | module | what it does |
//! |---|---|
//! | `wait` | one accept4 or epoll_wait, again until there is a connection |
//! | `retire` | graceful stop: hands connections over, or serves what is left |
//! | `idle_set`, `poller` | parked connections, and what epoll watches |
//! | `capacity`, `replacement` | how many may be parked, and which one is closed for a new one |
//! | `queue_probe` | whether accept is tried before epoll |
//! | `disconnects` | skips clients that have disconnected |
//! | `offer`, `handover` | connections that other workers receive |
//! | `drain` | the listen queue of a pool that ends |
//! | `errors`, `wake_ups` | which errors pass; signals that end a wait |
//!
//! [`Mode`] says which connections a loop still takes:
//!
//! | state | event | next state |
//! |---|---|---|
//! | `Serving` | the worker retires, the pool continues | `HandingOver` |
//! | | the pool ends, or there is no manager (any more) | `Draining` |
//! | `HandingOver` | the pool ends | `Draining` |
//!
//! `HandingOver` and `Draining` end a loop when nothing is left, with [`Code::Retired`]. This is not a
//! state: a host that calls accept again has it look again.

mod capacity;
mod disconnects;
mod drain;
mod errors;
mod handover;
mod idle_set;
mod offer;
mod poller;
mod queue_probe;
mod replacement;
mod retire;
mod wait;
mod wake_ups;

use std::ffi::OsString;

use nix::errno::Errno;

use self::disconnects::DisconnectCheck;
use self::drain::Drain;
use self::idle_set::IdleSet;
use self::offer::Offer;
use self::queue_probe::QueueProbe;
use self::wake_ups::WakeUps;
pub use self::wake_ups::{FAIL_ACCEPT_ON_INTR, RETURN_ON_SIGNAL};
use crate::error::{Code, Error, Result};
use crate::options::Options;
use crate::server::connection::{Connection, Idle, Incoming, Parked, WhenQuiet};
use crate::server::listen::{check_listening, program_socket};
use crate::server::settings::Admission;
use crate::sys::fd::listen_fd::ListenFd;
use crate::sys::log::{self, Level};
use crate::sys::signal::wakeup;
use crate::sys::socket::listen;
use crate::worker::{self, AcceptCounter, LoopStatus, ManagerLink, Retirement};

/// Which connections a loop still takes.
#[derive(Debug)]
enum Mode {
    /// All that come.
    Serving,
    /// Those that it has, as far as other workers do not receive them.
    HandingOver,
    /// Those that it has, and what is left in the listen queue.
    Draining(Drain),
}

/// What [`Acceptor::next`] found.
#[derive(Debug)]
pub(super) enum Next {
    Connection(Incoming),
    /// A wake-up arrived, and the host's hook is due. Then `next` is to be called again.
    Woken,
    /// The manager asks for a template of this worker. Then `next` is to be called again.
    TemplateDue,
}

/// Finds the next connection: new, parked or handed over.
#[derive(Debug)]
pub(super) struct Acceptor {
    listener: i32,
    /// It is a unix socket, and accept need not ask for the peer's address.
    is_unix: bool,
    admission: Admission,
    wake_ups: WakeUps,
    /// Where a worker counts what it accepts.
    counter: Option<AcceptCounter>,
    /// From the first parked connection on.
    idle: Option<IdleSet>,
    probe: QueueProbe,
    disconnects: DisconnectCheck,
    offer: Offer,
    mode: Mode,
}

impl Acceptor {
    /// For a listening socket, which stays the caller's.
    pub(super) fn new(
        listener: i32,
        flags: u32,
        options: &Options,
        web_servers: Option<OsString>,
    ) -> Result<Self> {
        if flags & !(FAIL_ACCEPT_ON_INTR | RETURN_ON_SIGNAL) != 0 {
            return Err(Error::new(
                Code::Argument,
                format!("request flags {flags:#x}: unknown bits"),
            ));
        }
        let listener = program_socket(listener, options)?;
        check_listening(listener)?;
        let borrowed = ListenFd::of_host(listener);
        if let Some(fd) = borrowed {
            listen::tune_inherited(fd);
            if flags & FAIL_ACCEPT_ON_INTR != 0 {
                wakeup::interrupt_calls();
            } else {
                // Where it is refused, a worker that is asked to exit does so with its next connection.
                let _ = listen::make_interruptible(fd);
            }
        }
        let admission = Admission::new(web_servers)?;
        let is_unix = |fd| listen::is_unix(fd) == Ok(true);
        Ok(Self {
            listener,
            is_unix: admission.admits_all() && borrowed.is_some_and(is_unix),
            admission,
            wake_ups: WakeUps::new(flags),
            counter: None,
            idle: None,
            probe: QueueProbe::default(),
            disconnects: DisconnectCheck::new(options),
            offer: Offer::default(),
            mode: Mode::Serving,
        })
    }

    pub(super) const fn listener(&self) -> i32 {
        self.listener
    }

    fn borrow_listener(&self) -> Option<ListenFd<'static>> {
        ListenFd::of_host(self.listener)
    }

    /// Whether connections are parked here.
    pub(super) fn has_parked(&self) -> bool {
        self.idle.as_ref().is_some_and(|idle| !idle.is_empty())
    }

    /// Whether connections are parked here that another loop could watch.
    pub(super) fn has_transferable(&self) -> bool {
        self.idle.as_ref().is_some_and(IdleSet::has_transferable)
    }

    /// From here on [`next`](Self::next) returns [`Next::Woken`] with each wake-up.
    pub(super) fn report_wake_ups(&mut self) {
        self.wake_ups.report_to_hook();
    }

    /// The host has run its handlers for the signals that came so far.
    pub(super) fn forget_signals(&self) {
        self.wake_ups.forget_interrupt();
    }

    /// Whether this worker is to exit. Checked between two requests of one connection, where nothing
    /// waits.
    #[inline]
    pub(super) fn retirement(&mut self) -> Option<Retirement> {
        self.wake_ups.note();
        let retirement = worker::retirement(self.wake_ups.is_pending());
        if retirement == Some(Retirement::PoolEnds) {
            // Before the first connection is closed: its client may connect again, and is not among
            // those that wait now.
            self.begin_drain(worker::current());
        }
        retirement
    }

    /// Before the application runs: other workers may receive what is parked here.
    pub(super) fn request_begins(&mut self, status: &LoopStatus) {
        self.offer.make(self.idle.as_ref(), status);
        self.disconnects.request_begins();
    }

    /// Behind the application, before anything else is done with what is parked here.
    #[inline]
    pub(super) fn reclaim_offer(&mut self, status: &LoopStatus) {
        self.offer.reclaim(self.idle.as_mut(), status);
    }

    /// The application asks for the next request.
    pub(super) fn request_ended(&mut self) {
        self.disconnects.request_ended();
    }

    pub(super) fn close(&self, mut connection: Connection) {
        if let Some(idle) = &self.idle {
            idle.poller.unwatch(&mut connection);
        }
    }

    /// Stops watching a connection.
    pub(super) fn unwatch(&self, mut connection: Connection) -> Connection {
        if let Some(idle) = &self.idle {
            idle.poller.unwatch(&mut connection);
        }
        connection
    }

    /// Parks a connection. Where that is impossible it is closed, which costs its peer no request:
    /// nothing of one has arrived.
    #[inline]
    pub(super) fn park(&mut self, mut parked: Parked) {
        let listener = self.borrow_listener();
        match self.open_idle_set(worker::current()) {
            Ok(idle) => {
                // Also one that is watched already: it may have been parked before it spoke.
                if let (Idle::KeepAlive { .. }, Some(listener)) = (parked.idle, listener) {
                    if !std::mem::replace(&mut parked.connection.was_kept, true) {
                        idle.poller.rotate_wait_queue(listener);
                    }
                }
                if let Err(refused) = idle.park(parked) {
                    log::limited(
                        Level::Warning,
                        "closing idle connection: it cannot be watched",
                    );
                    drop(refused);
                }
            }
            Err(error) => {
                log::limited(Level::Warning, &format!("closing idle connection: {error}"))
            }
        }
    }

    /// Watches from here on what is parked in another loop, which does not wait.
    pub(super) fn adopt(&mut self, other: &mut Self) {
        let Some(from) = &mut other.idle else {
            return;
        };
        while let Some(mut parked) = from.take_transferable() {
            from.poller.unwatch(&mut parked.connection);
            self.park(parked);
        }
    }

    fn open_idle_set(&mut self, manager: Option<&ManagerLink>) -> Result<&mut IdleSet> {
        let failed = |errno: Errno| {
            let code = if errno == Errno::EMFILE {
                Code::Descriptors
            } else {
                Code::System
            };
            Error::caused(code, "watching idle connections: epoll", errno as i32)
        };
        if self.idle.is_none() {
            let listener = self.borrow_listener();
            let listener = listener.ok_or(Errno::EBADF).map_err(failed)?;
            self.idle = Some(IdleSet::open(listener, manager).map_err(failed)?);
        }
        self.idle.as_mut().ok_or_else(|| failed(Errno::EBADF))
    }

    /// Takes one connection from the listen queue. `None`: it is not to be served.
    pub(super) fn accept_one(&mut self, status: &LoopStatus) -> nix::Result<Option<Incoming>> {
        let listener = self.borrow_listener().ok_or(Errno::EBADF)?;
        let (fd, peer) = listen::accept(listener, self.is_unix)?;
        if let Some(counter) = &self.counter {
            counter.count();
        }
        let connection = Connection::accepted(fd, peer);
        if self.admission.admits(peer) && !self.disconnects.skips(&connection, status, listener) {
            return Ok(Some(Incoming::unread(connection, WhenQuiet::AwaitFirst)));
        }
        Ok(None)
    }

    /// In a child of the process that made this: everything here stays the parent's. Copies of
    /// descriptors are only closed.
    pub(super) fn forget_in_child(&mut self) {
        self.idle = None;
        self.offer = Offer::default();
        self.counter = None;
        self.mode = Mode::Serving;
    }

    /// Logs what was not logged yet, and gives up what is parked: the loop ends.
    pub(super) fn end(&mut self) {
        self.disconnects.log_pending();
        self.hand_over_at_end();
    }

    /// Whether accept would wait where the host may not: it does so itself on a non-blocking socket that
    /// no other worker of a manager shares.
    pub(super) fn waits_for_host(&self) -> bool {
        worker::current().is_some() || !self.borrow_listener().is_some_and(listen::is_nonblocking)
    }
}
