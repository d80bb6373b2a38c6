//! One program's loop: accept, read, write, finish, and again.

use std::ffi::OsString;
use std::ops::Range;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::{Duration, Instant};

use super::settings::{Settings, WEB_SERVER_ADDRS};
use crate::conn::{Event, Inbound, Outbound, Params, ProtocolError, Role};
use crate::error::{Code, Error, Result};
use crate::options::Options;
use crate::server::accept::drain::Drain;
use crate::server::accept::hangup::HungUp;
use crate::server::accept::idle_set::{Parking, Standing};
use crate::server::accept::queue_probe::AtOnce;
use crate::server::connection::Link;
use crate::server::exchange::forked::Sharing;
use crate::server::listen::check_listening;
use crate::sys::fd::io::{self, Received};
use crate::sys::process;
use crate::sys::signal::wakeup;
use crate::sys::socket::listen::{self, Peer};
use crate::worker;
use crate::worker::{AcceptCounter, LoopStatus};

/// A signal that interrupts the wait for a request makes `accept` return [`Code::Interrupted`].
pub const FAIL_ACCEPT_ON_INTR: u32 = 1;

/// The same, for hosts that run their signal handlers later and then call `accept` again.
pub const RETURN_ON_SIGNAL: u32 = 2;

/// Takes a usual request, or the largest record, in one read.
pub(super) const BUFFER: usize = 64 * 1024;

/// How the application's input stands.
#[derive(Clone, Debug)]
pub(super) enum Input {
    /// More may come.
    Open,
    /// Everything was read.
    Ended,
    /// It broke off.
    Failed(Error),
}

/// What becomes of the current connection when its peer is quiet between two requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prospect {
    /// It stands aside.
    Kept,
    /// It stands aside at once, without another look: the worker leaves, and will hand it on.
    HandedOn,
    /// It is closed, after so many last looks: the worker leaves, and nobody goes on.
    Closed {
        /// Looks that were taken.
        looks: u8,
    },
}

/// What the buffered bytes led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The parameters are complete.
    Request,
    /// `body` holds bytes of the input.
    Body,
    /// The input, or a filter's first stream, is at its end.
    End,
    /// The web server aborted the request.
    Aborted,
    /// A request ended before it began.
    Declined { close: bool },
    /// More bytes are needed.
    Nothing,
}

/// A FastCGI request loop on one listening socket.
///
/// Several of them, a thread each, may share the socket. None of them may be used after a fork in
/// the other process; there it can only be dropped, which closes descriptors and sends nothing.
#[derive(Debug)]
pub struct Request {
    pub(super) listener: i32,
    /// It is a unix socket, and peers need not be asked who they are.
    pub(super) is_unix: bool,
    pub(super) flags: u32,
    pub(super) settings: Settings,
    pub(super) waiter: wakeup::Waiter,
    /// What a worker's manager is told.
    pub(super) status: LoopStatus,
    pub(super) parking: Option<Parking>,
    /// How the listen queue was found lately, once connections are watched beside it.
    pub(super) at_once: AtOnce,
    /// The connection that is being served.
    pub(super) link: Option<Link>,
    /// It is new: nothing has arrived on it.
    pub(super) fresh: bool,
    /// What becomes of it when its peer is quiet.
    pub(super) prospect: Prospect,
    /// What of the listen queue is still accepted, once the pool ends.
    pub(super) drain: Option<Drain>,
    pub(super) hung_up: HungUp,
    /// What children have to do with the current request.
    pub(super) sharing: Sharing,
    /// Where a worker counts what it accepts.
    pub(super) accepts: Option<AcceptCounter>,
    /// What stands aside is on offer to other workers.
    pub(super) has_offered: bool,
    /// A wake-up arrived, and what it is about was not looked at.
    pub(super) woken: bool,
    /// See [`on_wake`](Self::on_wake).
    pub(super) wake_hook: Option<fn(&mut Self)>,
    pub(super) inbound: Inbound,
    pub(super) outbound: Outbound,
    pub(super) buffer: Box<[u8]>,
    /// Received and not decoded yet.
    pub(super) unread: Range<usize>,
    /// Decoded bytes of the input that the application has not read yet.
    pub(super) body: Range<usize>,
    pub(super) input: Input,
    /// All that the peer had sent of a large input was received a moment ago.
    pub(super) has_caught_up: bool,
    /// How often the records of the input were not as expected.
    pub(super) surprises: u8,
    pub(super) output_error: Option<Error>,
    pub(super) active: bool,
    pub(super) aborted: bool,
    pub(super) exit_status: u32,
    pub(super) pid: i32,
}

impl Request {
    /// A loop on a listening socket, which stays the caller's. Of the environment,
    /// `FCGI_WEB_SERVER_ADDRS` counts.
    ///
    /// # Errors
    /// [`Code::Listener`] when the descriptor does not listen, [`Code::Argument`] for unknown
    /// flags, [`Code::Value`] for an address list that cannot be read.
    pub fn new(
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
        check_listening(listener)?;
        if let Some(fd) = listen::borrow(listener) {
            listen::tune_inherited(fd);
            if flags & FAIL_ACCEPT_ON_INTR != 0 {
                wakeup::interrupt_calls();
            } else {
                // Where it is refused, a worker that is to leave does so with its next connection.
                let _ = listen::make_interruptible(fd);
            }
        }
        let web_servers = web_servers.map(|list| {
            let bad = |_| {
                Error::new(
                    Code::Value,
                    format!("environment variable {WEB_SERVER_ADDRS}: not UTF-8"),
                )
            };
            list.into_string().map_err(bad)
        });
        let settings = Settings::new(options, web_servers.transpose()?.as_deref())?;
        let is_unix = |fd| listen::is_unix(fd) == Ok(true);
        let is_unix = settings.admits_all() && listen::borrow(listener).is_some_and(is_unix);
        Ok(Self {
            listener,
            is_unix,
            flags,
            waiter: wakeup::Waiter::claim(),
            status: LoopStatus::default(),
            parking: None,
            at_once: AtOnce::default(),
            link: None,
            fresh: false,
            prospect: Prospect::Kept,
            drain: None,
            hung_up: HungUp::new(options),
            sharing: Sharing::new(),
            accepts: None,
            has_offered: false,
            woken: false,
            wake_hook: None,
            inbound: Inbound::new(settings.limits),
            outbound: Outbound::new(),
            buffer: vec![0; BUFFER].into_boxed_slice(),
            unread: 0..0,
            body: 0..0,
            input: Input::Ended,
            has_caught_up: false,
            surprises: 0,
            output_error: None,
            active: false,
            aborted: false,
            exit_status: 0,
            pid: process::pid(),
            settings,
        })
    }

    /// Whether a request is being served.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        self.active
    }

    /// The active request's parameters.
    ///
    /// # Errors
    /// [`Code::State`] when there is no request.
    pub fn params(&mut self) -> Result<&mut Params> {
        self.check_active_here("params")?;
        Ok(self.inbound.params_mut())
    }

    /// The active request's role.
    ///
    /// # Errors
    /// [`Code::State`] when there is no request.
    pub fn role(&self) -> Result<Role> {
        self.check_active_here("role")?;
        self.inbound
            .role()
            .ok_or_else(|| Error::new(Code::State, "role: no request is active"))
    }

    /// Whether the peer asked to keep the connection.
    ///
    /// # Errors
    /// [`Code::State`] when there is no request.
    pub fn keep_connection(&self) -> Result<bool> {
        self.check_active_here("keep connection")
            .map(|()| self.inbound.keep_connection())
    }

    /// The connection's descriptor and peer. The descriptor stays the library's.
    ///
    /// # Errors
    /// [`Code::State`] when there is no request.
    pub fn connection(&self) -> Result<(i32, Peer)> {
        self.check_active_here("connection")?;
        let link = self
            .link
            .as_ref()
            .ok_or_else(|| Error::new(Code::Closed, "the connection is gone"))?;
        Ok((link.fd.as_raw_fd(), link.peer))
    }

    /// Sets what END_REQUEST will say.
    ///
    /// # Errors
    /// [`Code::State`] when there is no request.
    pub fn set_exit_status(&mut self, status: u32) -> Result<()> {
        self.check_active_here("set exit status")?;
        self.exit_status = status;
        Ok(())
    }

    /// Waits for the next request, finishing an unfinished one.
    ///
    /// # Errors
    /// [`Code::Interrupted`] with one of the flags, [`Code::Retired`] when the worker is to leave,
    /// [`Code::Listener`] when the listening socket is gone, [`Code::Descriptors`] when no
    /// descriptor is left, [`Code::Forked`] in another process than the one that made this.
    pub fn accept(&mut self) -> Result<()> {
        self.check_process()?;
        if self.active {
            // What became of the old response has nothing to do with the next request.
            let _ = self.finish_or_leave();
        }
        self.hung_up.end();
        loop {
            if self.link.is_none() {
                self.next_connection()?;
            } else {
                self.look_for_retirement();
            }
            if let Some(link_to_manager) = worker::current() {
                self.status.reading();
                self.inbound.set_capacity(link_to_manager.page.pool_size());
            }
            if self.read_request() {
                break;
            }
        }
        worker::follow_guard();
        let fd = self.link.as_ref().map_or(-1, |link| link.fd.as_raw_fd());
        let id = self.inbound.request_id().unwrap_or_default();
        let params = self.inbound.params();
        self.status.busy(params.method(), params.uri(), fd, id);
        self.offer_parked();
        self.hung_up.begin();
        Ok(())
    }

    /// Decodes received bytes up to the next event.
    pub(super) fn decode(&mut self) -> std::result::Result<Progress, ProtocolError> {
        let step = self.inbound.handle(&self.buffer[self.unread.clone()])?;
        self.unread.start += step.consumed;
        Ok(match step.event {
            None => Progress::Nothing,
            Some(Event::Request) => Progress::Request,
            Some(Event::Stdin(piece) | Event::Data(piece)) => {
                self.body = self.unread.start - piece.len()..self.unread.start;
                Progress::Body
            }
            Some(Event::StdinEnd | Event::DataEnd) => Progress::End,
            Some(Event::Aborted) => Progress::Aborted,
            Some(Event::Declined { close }) => Progress::Declined { close },
        })
    }

    /// Receives into the buffer, of which everything was decoded and read.
    pub(super) fn receive(&mut self) -> nix::Result<Received> {
        self.enter_input()?;
        let Some(link) = &self.link else {
            return Ok(Received::End);
        };
        let received = io::receive(link.fd.as_fd(), &mut self.buffer)?;
        if let Received::Bytes(count) = received {
            self.unread = 0..count;
        }
        Ok(received)
    }

    /// Receives more behind the bytes that were not decoded.
    pub(super) fn receive_behind(&mut self) -> nix::Result<Received> {
        self.enter_input()?;
        let Some(link) = &self.link else {
            return Ok(Received::End);
        };
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        let received = io::receive(link.fd.as_fd(), &mut self.buffer[self.unread.end..])?;
        if let Received::Bytes(count) = received {
            self.unread.end += count;
        }
        Ok(received)
    }

    /// Whether all received bytes were decoded.
    pub(super) fn is_drained(&self) -> bool {
        self.unread.is_empty()
    }

    /// What was received and not decoded.
    pub(super) fn unread_bytes(&self) -> &[u8] {
        &self.buffer[self.unread.clone()]
    }

    /// The decoded input that the application has not read.
    pub(super) fn body_bytes(&self) -> &[u8] {
        &self.buffer[self.body.clone()]
    }

    /// The same, which is read with this.
    pub(super) fn take_body(&mut self) -> &mut [u8] {
        let body = std::mem::take(&mut self.body);
        &mut self.buffer[body]
    }

    /// Closes the current connection at once.
    pub(super) fn close(&mut self) {
        self.forget_received();
        if let (Some(parking), Some(link)) = (&self.parking, &mut self.link) {
            parking.unwatch(link);
        }
        self.link = None;
    }

    /// Closes the current connection so that the peer can read what was sent: when it may still be
    /// sending, reading goes on for a while, beside other work.
    pub(super) fn close_answered(&mut self) {
        /// A peer that does not read its answer for so long does not want it.
        const LINGER: Duration = Duration::from_secs(5);
        /// What is thrown away before the connection stands aside.
        const AT_ONCE: usize = 256 * 1024;
        self.forget_received();
        let Some(link) = self.link.take() else { return };
        // It fails when the peer is gone, which reading will tell.
        let _ = nix::sys::socket::shutdown(link.fd.as_raw_fd(), nix::sys::socket::Shutdown::Write);
        let ended = if self.is_in_child() {
            // Nothing is watched here beside other work, and the listening socket is the parent's.
            let _ =
                io::discard_until_end(link.fd.as_fd(), &mut self.buffer, Instant::now() + LINGER);
            true
        } else {
            io::discard(link.fd.as_fd(), &mut self.buffer, AT_ONCE)
        };
        if ended {
            self.link = Some(link);
            self.close();
        } else {
            self.set_aside(
                link,
                Standing::Lingering {
                    until: Instant::now() + LINGER,
                },
            );
        }
    }

    fn forget_received(&mut self) {
        self.unread = 0..0;
        self.body = 0..0;
    }

    pub(super) fn check_process(&self) -> Result<()> {
        if self.is_of_this_process() {
            return Ok(());
        }
        Err(self.refuse_process())
    }

    /// Whether there is a request to write to. A child that it was left to takes it.
    #[inline]
    pub(super) fn check_active(&mut self, what: &str) -> Result<()> {
        if self.is_active_here() {
            return Ok(());
        }
        self.take_if_left();
        self.check_active_here(what)
    }

    /// Whether there is a request to read from.
    pub(super) fn check_readable(&self, what: &str) -> Result<()> {
        if self.active && self.reads_in_child() {
            return Ok(());
        }
        self.check_active_here(what)
    }

    /// Whether there is a request of this process's. Each call of the host's asks.
    #[inline]
    pub(super) fn check_active_here(&self, what: &str) -> Result<()> {
        if self.is_active_here() {
            return Ok(());
        }
        Err(self.refuse_call(what))
    }

    #[inline]
    fn is_active_here(&self) -> bool {
        self.active && self.is_of_this_process()
    }

    #[cold]
    fn refuse_call(&self, what: &str) -> Error {
        if self.is_of_this_process() {
            Error::new(Code::State, format!("{what}: no request is active"))
        } else {
            self.refuse_process()
        }
    }

    #[cold]
    fn refuse_process(&self) -> Error {
        Error::new(
            Code::Forked,
            format!(
                "this request belongs to process {}, from before a fork",
                self.pid
            ),
        )
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // In a child the descriptors are only closed: the connection, and the epoll instance, are
        // the parent's, too.
        if process::pid() != self.pid {
            return;
        }
        if self.active {
            let _ = self.finish_or_leave();
        }
        self.hung_up.tell();
        self.bequeath();
    }
}
