//! A program's request loop: accept, read, write, finish, and again.

use std::ffi::OsString;
use std::ops::ControlFlow;

use super::accept::{Acceptor, Next};
use super::built_in::BuiltIn;
use super::connection::Disposal;
use super::exchange::{Exchange, Reader, Writer};
use super::owner::OwnerPid;
use crate::conn::{Params, Role, Stream};
use crate::error::{Code, Error, Result};
use crate::options::Options;
use crate::sys::socket::listen::Peer;
use crate::worker::{self, LoopStatus, Refork};

/// A FastCGI request loop on one listening socket.
///
/// Several of them, a thread each, may share the socket. None of them may be used after a fork in
/// the other process; there it can only be dropped, which closes descriptors and sends nothing.
#[derive(Debug)]
pub struct Request {
    pub(super) owner: OwnerPid,
    /// Which connection comes next, and where one waits.
    pub(super) acceptor: Acceptor,
    /// The connection and the request that are being served.
    pub(super) exchange: Exchange,
    /// What a worker's manager sees of it.
    pub(super) status: LoopStatus,
    /// See [`on_wake`](Self::on_wake).
    pub(super) wake_hook: Option<fn(&mut Self)>,
    /// What the library answers itself.
    built_in: Option<Box<BuiltIn>>,
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
        Ok(Self {
            acceptor: Acceptor::new(listener, flags, options, web_servers)?,
            exchange: Exchange::new(options),
            status: LoopStatus::default(),
            wake_hook: None,
            built_in: BuiltIn::new(options),
            owner: OwnerPid::this_process(),
        })
    }

    /// Whether a request is being served.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.exchange.is_active()
    }

    /// The active request's parameters.
    ///
    /// # Errors
    /// [`Code::State`] when there is no request.
    pub fn params(&mut self) -> Result<&mut Params> {
        self.check_active_here("params")?;
        Ok(self.exchange.inbound_mut().params_mut())
    }

    /// The active request's role.
    ///
    /// # Errors
    /// [`Code::State`] when there is no request.
    pub fn role(&self) -> Result<Role> {
        self.check_active_here("role")?;
        let role = self.exchange.inbound().role();
        role.ok_or_else(|| self.owner.refuse("role"))
    }

    /// Whether the peer asked to keep the connection.
    ///
    /// # Errors
    /// [`Code::State`] when there is no request.
    pub fn keep_connection(&self) -> Result<bool> {
        self.check_active_here("keep connection")?;
        Ok(self.exchange.inbound().keep_connection())
    }

    /// The connection's descriptor and peer. The descriptor stays the library's.
    ///
    /// # Errors
    /// [`Code::State`] when there is no request.
    pub fn connection(&self) -> Result<(i32, Peer)> {
        self.check_active_here("connection")?;
        self.exchange.connection().ok_or_else(closed)
    }

    /// Sets the exit status that END_REQUEST will carry.
    ///
    /// # Errors
    /// [`Code::State`] when there is no request.
    pub fn set_exit_status(&mut self, status: u32) -> Result<()> {
        self.check_active_here("set exit status")?;
        self.exchange.set_exit_status(status);
        Ok(())
    }

    /// Waits for the next request, finishing an unfinished one.
    ///
    /// # Errors
    /// [`Code::Interrupted`] with one of the flags, [`Code::ForkDue`], [`Code::Retired`] when the worker is to exit,
    /// [`Code::Listener`] when the listening socket was closed, [`Code::Descriptors`] when no
    /// descriptor is left, [`Code::Forked`] in another process than the one that made this.
    pub fn accept(&mut self) -> Result<()> {
        self.owner.check()?;
        if self.is_active() {
            // What became of the old response does not concern the next request.
            let _ = self.finish_or_abandon();
        }
        self.acceptor.request_ended();
        loop {
            if self.exchange.has_connection() {
                let acceptor = &mut self.acceptor;
                self.exchange.note_retirement(|| acceptor.retirement());
            } else {
                self.attach_next()?;
            }
            if let Some(manager) = worker::current() {
                self.status.reading();
                let inbound = self.exchange.inbound_mut();
                inbound.set_capacity(manager.page.pool_size());
            }
            let nothing_parked = !self.acceptor.has_parked();
            match self.exchange.read_request(&mut self.status, nothing_parked) {
                ControlFlow::Continue(()) => {
                    worker::follow_guard();
                    self.exchange.report_busy(&mut self.status);
                    if self.built_in.is_none() || !self.answer_built_in() {
                        break;
                    }
                }
                ControlFlow::Break(disposal) => self.dispose(disposal),
            }
        }
        self.acceptor.request_begins(&self.status);
        Ok(())
    }

    /// Answers the active request, if it is for the library. False: it is for the application.
    #[cold]
    fn answer_built_in(&mut self) -> bool {
        let Some(built_in) = &self.built_in else {
            return false;
        };
        if self.exchange.inbound().role() != Some(Role::Responder) {
            return false;
        }
        let params = self.exchange.inbound_mut().params_mut();
        let Some(question) = built_in.question(params) else {
            return false;
        };
        let answer = built_in.answer(question, params);
        // What becomes of it does not concern the next request.
        let _ = self.write(Stream::Stdout, &answer);
        let _ = self.finish();
        true
    }

    /// Makes the next connection that may have something to read the current one.
    pub(super) fn attach_next(&mut self) -> Result<()> {
        loop {
            match self.acceptor.next(&mut self.status)? {
                Next::Connection(incoming) => {
                    self.exchange.attach(incoming);
                    return Ok(());
                }
                Next::Woken => {
                    if let Some(hook) = self.wake_hook {
                        hook(self);
                    }
                }
                Next::TemplateDue => match worker::fork_template()? {
                    Refork::Unchanged => {}
                    Refork::NewWorker => self.begin_anew(),
                    Refork::HostForks => {
                        return Err(Error::new(Code::ForkDue, "a template is to be forked"));
                    }
                },
            }
        }
    }

    /// The host has run its handlers for the signals that came so far.
    ///
    /// # Errors
    /// [`Code::Forked`] in another process than the one that made this.
    pub fn forget_signals(&self) -> Result<()> {
        self.owner.check()?;
        self.acceptor.forget_signals();
        Ok(())
    }

    /// Reads like read(2): waits for at least one byte, 0 at the end.
    ///
    /// # Errors
    /// [`Code::Incomplete`] when the connection ended first, [`Code::Aborted`], [`Code::TimedOut`],
    /// [`Code::Protocol`], [`Code::Closed`]: again at each further call. [`Code::State`] when there
    /// is no request.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.reader("read")?.read(buffer)
    }

    /// Reads until the buffer is full or the input is at its end.
    ///
    /// # Errors
    /// As [`read`](Self::read), when nothing could be read before; else the error comes with the
    /// next call.
    pub fn read_full(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        self.reader("read")?.read_full(buffer)
    }

    /// Reads up to and including the next newline, or until the buffer is full or the input is at
    /// its end.
    ///
    /// # Errors
    /// As [`read_full`](Self::read_full).
    pub fn read_line(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.reader("read line")?.read_line(buffer)
    }

    /// Whether everything was read.
    #[must_use]
    pub fn input_ended(&self) -> bool {
        self.exchange.input_ended()
    }

    /// The error that ended the input of the active request, if one did.
    #[must_use]
    pub fn input_error(&self) -> Option<&Error> {
        self.exchange.input_error()
    }

    /// A filter has read its standard input and starts to read its data (section 6.4).
    ///
    /// # Errors
    /// [`Code::State`] when the role is another one, or the standard input is not at its end.
    pub fn start_filter_data(&mut self) -> Result<()> {
        self.reader("start filter data")?.start_filter_data()
    }

    /// Whether the web server aborted the request. Checks what has arrived, as far as it can without
    /// reading past input that the application has not read.
    ///
    /// # Errors
    /// [`Code::State`] when there is no request.
    pub fn aborted(&mut self) -> Result<bool> {
        Ok(self.reader("aborted")?.aborted())
    }

    /// Writes all of the data, or gathers it to be sent with what follows.
    ///
    /// # Errors
    /// [`Code::Closed`] when the peer has closed the connection, [`Code::TimedOut`] when it takes
    /// nothing: again at each further call. [`Code::State`] when there is no request.
    pub fn write(&mut self, stream: Stream, data: &[u8]) -> Result<()> {
        self.with_writer("write", |writer| writer.write(stream, data))
    }

    /// Sends what was gathered.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn flush(&mut self) -> Result<()> {
        self.with_writer("flush", |writer| writer.flush())
    }

    /// Ends the response. Afterwards there is no request, whatever is returned.
    ///
    /// # Errors
    /// As [`write`](Self::write), when the response could not be sent to its end.
    pub fn finish(&mut self) -> Result<()> {
        self.check_active("finish")?;
        self.acceptor.reclaim_offer(&self.status);
        let acceptor = &mut self.acceptor;
        let retirement = || acceptor.retirement();
        let (outcome, disposal) = self.exchange.finish(&mut self.status, retirement);
        self.dispose(disposal);
        outcome
    }

    /// Ends the request without an answer: the connection is closed.
    ///
    /// # Errors
    /// [`Code::State`] when there is no request.
    pub fn abandon(&mut self) -> Result<()> {
        self.check_active_here("abandon")?;
        self.acceptor.reclaim_offer(&self.status);
        let disposal = self.exchange.abandon(&mut self.status);
        self.dispose(disposal);
        Ok(())
    }

    #[inline]
    fn dispose(&mut self, disposal: Disposal) {
        match disposal {
            Disposal::Keep => {}
            Disposal::Park(idle) => {
                if let Some(parked) = self.exchange.take_parked(idle) {
                    self.acceptor.park(parked);
                }
            }
            Disposal::Close => {
                if let Some(connection) = self.exchange.detach() {
                    self.acceptor.close(connection);
                }
            }
        }
    }

    /// Ends a request that the host has not ended.
    fn finish_or_abandon(&mut self) -> Result<()> {
        if self.exchange.sharing().is_left() {
            self.abandon()
        } else {
            self.finish()
        }
    }

    /// The active request's input.
    #[inline]
    pub(super) fn reader(&mut self, what: &str) -> Result<Reader<'_>> {
        if !self.owner.is_this_process() && !self.exchange.sharing().is_reader() {
            return Err(self.owner.refuse(what));
        }
        match self.exchange.reader(&mut self.status) {
            Some(reader) => Ok(reader),
            None => Err(self.owner.refuse(what)),
        }
    }

    /// Calls this with the active request's response. A child that it was left to takes it.
    #[inline]
    pub(super) fn with_writer(
        &mut self,
        what: &str,
        call: impl FnOnce(&mut Writer<'_>) -> Result<()>,
    ) -> Result<()> {
        if !self.owner.is_this_process() {
            self.take_left();
            self.owner.check()?;
        }
        match self.exchange.writer(&mut self.status) {
            Some(mut writer) => call(&mut writer),
            None => Err(self.owner.refuse(what)),
        }
    }

    /// Whether there is a request to write to. A child that it was left to takes it.
    pub(super) fn check_active(&mut self, what: &str) -> Result<()> {
        if self.owner.is_this_process() && self.is_active() {
            return Ok(());
        }
        self.take_left();
        self.check_active_here(what)
    }

    /// Whether there is a request of this process's.
    #[inline]
    pub(super) fn check_active_here(&self, what: &str) -> Result<()> {
        if self.owner.is_this_process() && self.is_active() {
            return Ok(());
        }
        Err(self.owner.refuse(what))
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // In a child the descriptors are only closed: the connection, and the epoll instance, are
        // the parent's, too.
        if !self.owner.is_this_process() {
            return;
        }
        if self.is_active() {
            let _ = self.finish_or_abandon();
        }
        self.acceptor.end();
    }
}

pub(super) fn closed() -> Error {
    Error::new(Code::Closed, "the connection was closed")
}
