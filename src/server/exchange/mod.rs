//! One request after another on one connection.
//!
//! | module | what it does |
//! |---|---|
//! | `params` | reads up to the end of a request's parameters |
//! | `buffer` | what was received, decoded and delivered |
//! | `input`, `scatter` | the application reads, also straight into its memory |
//! | `output` | the application writes |
//! | `finish` | ends a request, and decides what becomes of the connection |
//! | `last_response` | ends a keep-alive connection with its last response |
//! | `sharing` | a request in the children of the process that accepted it |

mod buffer;
mod finish;
mod input;
mod last_response;
mod output;
mod params;
mod scatter;
mod sharing;
#[cfg(test)]
mod tests_input;

use self::buffer::ReceiveBuffer;
use self::input::Input;
pub(super) use self::input::Reader;
use self::output::Output;
pub(super) use self::output::Writer;
use self::sharing::Sharing;
use crate::conn::{Inbound, Outbound};
use crate::error::Error;
use crate::options::Options;
use crate::server::access_log::AccessLog;
use crate::server::connection::{Connection, Idle, Incoming, Parked, WhenQuiet};
use crate::server::settings::{Timeouts, pair_limits};
use crate::sys::socket::listen::Peer;
use crate::worker::{LoopStatus, Retirement};

/// A request that is being served.
#[derive(Debug)]
struct Serving {
    input: Input,
    output: Output,
    exit_status: u32,
    /// The web server aborted it.
    aborted: bool,
    /// How often the records of the input were not as expected.
    wrong_guesses: u8,
}

/// The connection that is being read or served.
#[derive(Debug)]
struct Current {
    connection: Connection,
    when_quiet: WhenQuiet,
    request: Option<Serving>,
}

/// Serves requests on the connection that [`attach`](Self::attach) gives it.
#[derive(Debug)]
pub(super) struct Exchange {
    current: Option<Current>,
    inbound: Inbound,
    outbound: Outbound,
    buffer: ReceiveBuffer,
    sharing: Sharing,
    timeouts: Timeouts,
    access_log: AccessLog,
}

impl Exchange {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            current: None,
            inbound: Inbound::new(pair_limits(options)),
            outbound: Outbound::new(),
            buffer: ReceiveBuffer::new(),
            sharing: Sharing::new(),
            timeouts: Timeouts::new(options),
            access_log: AccessLog::new(options),
        }
    }

    fn serving(&self) -> Option<&Serving> {
        self.current.as_ref()?.request.as_ref()
    }

    /// Whether a request is being served.
    #[inline]
    pub(super) fn is_active(&self) -> bool {
        self.serving().is_some()
    }

    pub(super) const fn has_connection(&self) -> bool {
        self.current.is_some()
    }

    /// The current connection's descriptor and peer.
    pub(super) fn connection(&self) -> Option<(i32, Peer)> {
        let connection = &self.current.as_ref()?.connection;
        Some((connection.number(), connection.peer))
    }

    /// What was decoded of the active request.
    pub(super) const fn inbound(&self) -> &Inbound {
        &self.inbound
    }

    pub(super) const fn inbound_mut(&mut self) -> &mut Inbound {
        &mut self.inbound
    }

    pub(super) const fn sharing(&self) -> &Sharing {
        &self.sharing
    }

    pub(super) const fn sharing_mut(&mut self) -> &mut Sharing {
        &mut self.sharing
    }

    /// The error that ended the input, if one did.
    pub(super) fn input_error(&self) -> Option<&Error> {
        match &self.serving()?.input {
            Input::Failed(error) => Some(error),
            Input::Open | Input::Ended => None,
        }
    }

    /// Whether the input was read to its end. Without a request there is none.
    pub(super) fn input_ended(&self) -> bool {
        self.serving()
            .is_none_or(|serving| !self.buffer.has_body() && matches!(serving.input, Input::Ended))
    }

    pub(super) fn set_exit_status(&mut self, status: u32) {
        if let Some(current) = &mut self.current {
            if let Some(serving) = &mut current.request {
                serving.exit_status = status;
            }
        }
    }

    /// Makes a connection the current one.
    #[inline]
    pub(super) fn attach(&mut self, incoming: Incoming) {
        self.inbound.resume(incoming.framing);
        self.current = Some(Current {
            connection: incoming.connection,
            when_quiet: incoming.when_quiet,
            request: None,
        });
    }

    /// The current connection, for another owner.
    pub(super) fn detach(&mut self) -> Option<Connection> {
        self.current.take().map(|current| current.connection)
    }

    /// The current connection, to be parked.
    pub(super) fn take_parked(&mut self, idle: Idle) -> Option<Parked> {
        let connection = self.detach()?;
        Some(Parked::new(connection, self.inbound.suspend(), idle))
    }

    /// A connection that was not parked has its next request at hand: then, too, the worker may be asked
    /// to exit.
    pub(super) fn note_retirement(&mut self, retirement: impl FnOnce() -> Option<Retirement>) {
        let Some(current) = &mut self.current else {
            return;
        };
        if let WhenQuiet::AwaitFirst | WhenQuiet::Park = current.when_quiet {
            match retirement() {
                Some(Retirement::PoolContinues) => current.when_quiet = WhenQuiet::HandOver,
                Some(Retirement::PoolEnds) => current.when_quiet = WhenQuiet::LAST,
                None => {}
            }
        }
    }

    /// The response of the request that is being served.
    #[inline]
    pub(super) fn writer<'e>(&'e mut self, status: &'e mut LoopStatus) -> Option<Writer<'e>> {
        self.reader(status).map(|reader| reader.writer)
    }

    /// The input of the request that is being served.
    #[inline]
    pub(super) fn reader<'e>(&'e mut self, status: &'e mut LoopStatus) -> Option<Reader<'e>> {
        let current = self.current.as_mut()?;
        let serving = current.request.as_mut()?;
        Some(Reader {
            input: &mut serving.input,
            aborted: &mut serving.aborted,
            wrong_guesses: &mut serving.wrong_guesses,
            inbound: &mut self.inbound,
            buffer: &mut self.buffer,
            timeout: self.timeouts.body,
            writer: Writer {
                connection: &mut current.connection,
                output: &mut serving.output,
                outbound: &mut self.outbound,
                sharing: &mut self.sharing,
                status,
                timeout: self.timeouts.write,
            },
        })
    }

    pub(super) fn exit_status(&self) -> u32 {
        self.serving().map_or(0, |serving| serving.exit_status)
    }

    /// The application gets the request.
    pub(super) fn report_busy(&mut self, status: &mut LoopStatus) {
        let fd = self.connection().map_or(-1, |(fd, _)| fd);
        let id = self.inbound.request_id().unwrap_or_default();
        self.access_log.identify(self.inbound.params_mut(), status);
        let params = self.inbound.params();
        status.busy(params.method(), params.uri(), fd, id);
    }

    /// In a child of the process that accepted the request: the connection stays the parent's. False:
    /// that was known.
    pub(super) fn enter_child(&mut self) -> bool {
        if !self.sharing.enter_child() {
            return false;
        }
        if let Some(current) = &mut self.current {
            current.when_quiet = WhenQuiet::Park;
            current.connection.watched = false;
        }
        true
    }

    /// In a child: the request, and with it the connection, is this process's from here on.
    pub(super) fn keep_in_child(&mut self) {
        self.sharing.keep();
        if let Some(current) = &mut self.current {
            current.connection.fd.take();
        }
    }
}
