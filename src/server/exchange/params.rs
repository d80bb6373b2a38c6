//! Reading a connection up to the end of a request's parameters.

use std::ops::ControlFlow;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::sys::socket::{Shutdown, shutdown};

use super::buffer::Progress;
use super::input::{Input, is_overdue};
use super::output::{self, Output};
use super::{Exchange, Serving};
use crate::conn::{ProtocolError, Role};
use crate::server::connection::{Disposal, Idle, WhenQuiet};
use crate::sys::fd::io::{self, Direction, Received};
use crate::sys::log::{self, Level};
use crate::sys::socket::listen::Peer;
use crate::worker::LoopStatus;

/// How long a new connection may send nothing before it is parked. Long enough for a web server on
/// the way from connect(2) to its first write.
const SILENCE: Duration = Duration::from_millis(100);

impl Exchange {
    /// Reads the current connection up to the end of a request's parameters. `Break`: there is no
    /// request. Only where nothing is parked may it wait for the first bytes: otherwise any number of
    /// silent connections would be waited for one after the other.
    pub(in crate::server) fn read_request(
        &mut self,
        status: &mut LoopStatus,
        nothing_parked: bool,
    ) -> ControlFlow<Disposal> {
        let mut deadline = None;
        let mut reads = 0;
        if !self.buffer.is_decoded() {
            self.access_log.begin();
        }
        loop {
            match self.buffer.decode(&mut self.inbound) {
                Ok(Progress::Request) => {
                    self.start(status);
                    return ControlFlow::Continue(());
                }
                Ok(Progress::Declined { close }) => {
                    if !self.send_replies(status) || close {
                        return ControlFlow::Break(self.linger());
                    }
                    continue;
                }
                Ok(Progress::Nothing) => {}
                // Without a request there is no input that could be delivered.
                Ok(Progress::Body | Progress::End | Progress::Aborted) => continue,
                Err(error) => {
                    self.log_error(&error);
                    return ControlFlow::Break(self.linger());
                }
            }
            if !self.send_replies(status) {
                return ControlFlow::Break(self.close());
            }
            if self.inbound.is_quiet() {
                self.before_quiet_read()?;
            }
            match self.receive() {
                Ok(Received::Bytes(_)) => {
                    if self.inbound.is_quiet() {
                        self.access_log.begin();
                    }
                    if let Some(current) = &mut self.current {
                        if current.when_quiet == WhenQuiet::AwaitFirst {
                            current.when_quiet = WhenQuiet::Park;
                        }
                    }
                    if is_overdue(&mut reads, &mut deadline, self.timeouts.params) {
                        return ControlFlow::Break(self.time_out());
                    }
                }
                Ok(Received::Nothing) => self.wait_for_params(&mut deadline, nothing_parked)?,
                Ok(Received::End) | Err(_) => return ControlFlow::Break(self.close()),
            }
        }
    }

    fn receive(&mut self) -> nix::Result<Received> {
        self.sharing.enter_input()?;
        match &self.current {
            Some(current) => self.buffer.receive(&current.connection),
            None => Ok(Received::End),
        }
    }

    /// Sends the answers that the protocol itself owes. False: the connection failed.
    #[inline]
    pub(super) fn send_replies(&mut self, status: &mut LoopStatus) -> bool {
        let has_none = self.inbound.replies().is_empty() && self.outbound.is_empty();
        has_none || self.send_some_replies(status)
    }

    #[cold]
    fn send_some_replies(&mut self, status: &mut LoopStatus) -> bool {
        output::take_replies(&mut self.outbound, &mut self.inbound);
        self.current.as_ref().is_some_and(|current| {
            let timeout = self.timeouts.write;
            output::send_pending(&current.connection, &mut self.outbound, status, timeout).is_ok()
        })
    }

    /// Before a read on a connection between two requests, of which everything received was dealt with.
    ///
    /// Where the pool ends, what its peer has sent is answered. On a unix socket reading is then shut
    /// down (shutdown(2), SHUT_RD): what the peer sent before can still be read, and what it sends after
    /// that fails immediately, so it knows that nothing was accepted. TCP has no such thing, so the number
    /// of reads is limited.
    fn before_quiet_read(&mut self) -> ControlFlow<Disposal> {
        const LAST_READS_TCP: u8 = 16;
        let Some(current) = &mut self.current else {
            return ControlFlow::Break(Disposal::Keep);
        };
        match &mut current.when_quiet {
            WhenQuiet::AwaitFirst | WhenQuiet::Park => {}
            WhenQuiet::HandOver => {
                return ControlFlow::Break(Disposal::Park(Idle::KeepAlive { until: None }));
            }
            WhenQuiet::Close { last_reads } => {
                match current.connection.peer {
                    Peer::Unix if *last_reads == 1 => {
                        // It fails when the peer has closed, which reading will show.
                        let _ = shutdown(current.connection.number(), Shutdown::Read);
                    }
                    Peer::Inet(_) if *last_reads >= LAST_READS_TCP => {
                        return ControlFlow::Break(self.close());
                    }
                    Peer::Unix | Peer::Inet(_) => {}
                }
                *last_reads = last_reads.saturating_add(1);
            }
        }
        ControlFlow::Continue(())
    }

    /// The connection has nothing to read, before or within the parameters.
    fn wait_for_params(
        &mut self,
        deadline: &mut Option<Instant>,
        nothing_parked: bool,
    ) -> ControlFlow<Disposal> {
        let Some(current) = &self.current else {
            return ControlFlow::Break(Disposal::Keep);
        };
        let fd = current.connection.as_fd();
        let patience = self.timeouts.params;
        if !self.inbound.is_quiet() {
            if deadline.is_none() {
                *deadline = patience.map(|patience| Instant::now() + patience);
            }
            if let Ok(true) = io::wait(fd, Direction::Read, *deadline) {
                return ControlFlow::Continue(());
            }
            return ControlFlow::Break(self.time_out());
        }
        let idle = match current.when_quiet {
            WhenQuiet::Close { last_reads } => {
                // The next one sees what came before reading was shut down.
                if current.connection.peer == Peer::Unix && last_reads <= 1 {
                    return ControlFlow::Continue(());
                }
                return ControlFlow::Break(self.close());
            }
            WhenQuiet::AwaitFirst => {
                let now = Instant::now();
                let spoken_by = now + SILENCE;
                if nothing_parked && io::wait(fd, Direction::Read, Some(spoken_by)) == Ok(true) {
                    return ControlFlow::Continue(());
                }
                Idle::NoData {
                    until: patience.map(|patience| now + patience),
                    spoken_by,
                }
            }
            WhenQuiet::Park | WhenQuiet::HandOver => Idle::keep_alive(self.timeouts.idle),
        };
        ControlFlow::Break(Disposal::Park(idle))
    }

    /// The parameters took too long.
    fn time_out(&mut self) -> Disposal {
        if let Some(patience) = self.timeouts.params {
            log::limited(
                Level::Warning,
                &format!(
                    "a request timed out: its parameters took longer than params_timeout = {} s",
                    patience.as_secs_f64()
                ),
            );
        }
        self.close()
    }

    fn start(&mut self, status: &mut LoopStatus) {
        self.outbound.clear();
        if let Some(id) = self.inbound.request_id() {
            self.outbound.begin(id);
        }
        self.sharing.begin();
        self.buffer.begin();
        let input = if self.inbound.role() == Some(Role::Authorizer) {
            Input::Ended
        } else {
            Input::Open
        };
        if let Some(current) = &mut self.current {
            current.request = Some(Serving {
                input,
                output: Output::Open,
                exit_status: 0,
                aborted: false,
                wrong_guesses: 0,
            });
        }
        // Answers to what stood between the parameters must not wait for the response.
        if !self.inbound.replies().is_empty() {
            if let Some(mut reader) = self.reader(status) {
                reader.send_replies();
            }
        }
    }

    fn log_error(&self, error: &ProtocolError) {
        let peer = match self.connection() {
            Some((_, Peer::Inet(address))) => address.to_string(),
            Some((_, Peer::Unix)) | None => "unix:".to_owned(),
        };
        log::limited(
            Level::Warning,
            &format!("closing connection from {peer}: {error}"),
        );
    }
}
