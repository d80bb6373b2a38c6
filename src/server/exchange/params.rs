//! Reading a connection up to the end of a request's parameters.

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::{Duration, Instant};

use nix::sys::socket::{Shutdown, shutdown};

use crate::conn::{ProtocolError, Role};
use crate::server::accept::idle_set::{Parking, Standing};
use crate::server::exchange::input::is_overdue;
use crate::server::request::{Input, Progress, Prospect, Request};
use crate::sys::fd::io::{self, Direction, Received};
use crate::sys::log::{self, Level};
use crate::sys::socket::listen::Peer;
use crate::worker;
use crate::worker::Retirement;

/// How long a new connection may say nothing before it stands aside. Long enough for a web server
/// on the way from connect(2) to its first write.
const SILENCE: Duration = Duration::from_millis(100);

impl Request {
    /// Reads the current connection up to the end of a request's parameters. False: there is none,
    /// and the connection has been closed or stands aside.
    pub(in crate::server) fn read_request(&mut self) -> bool {
        let mut deadline = None;
        let mut reads = 0;
        loop {
            match self.decode() {
                Ok(Progress::Request) => {
                    self.outbound.clear();
                    if let Some(id) = self.inbound.request_id() {
                        self.outbound.begin(id);
                    }
                    self.start();
                    return true;
                }
                Ok(Progress::Declined { close }) => {
                    if !self.send_replies() || close {
                        self.close_answered();
                        return false;
                    }
                    continue;
                }
                Ok(Progress::Nothing) => {}
                // Without a request there is no input that could be delivered.
                Ok(Progress::Body | Progress::End | Progress::Aborted) => continue,
                Err(error) => {
                    self.log_peer(&error);
                    self.close_answered();
                    return false;
                }
            }
            if !self.send_replies() {
                self.close();
                return false;
            }
            if self.inbound.is_quiet() && !self.may_read_quiet() {
                return false;
            }
            match self.receive() {
                Ok(Received::Bytes(_)) => {
                    self.fresh = false;
                    if is_overdue(&mut reads, &mut deadline, self.settings.params_timeout) {
                        self.give_up();
                        return false;
                    }
                }
                Ok(Received::Nothing) => {
                    if !self.wait_for_params(&mut deadline) {
                        return false;
                    }
                }
                Ok(Received::End) | Err(_) => {
                    self.close();
                    return false;
                }
            }
        }
    }

    /// The connection has nothing to read, in front of or within the parameters. False: it was
    /// closed or put aside.
    fn wait_for_params(&mut self, deadline: &mut Option<Instant>) -> bool {
        let Some(link) = &self.link else { return false };
        let patience = self.settings.params_timeout;
        if self.inbound.is_quiet()
            && let Prospect::Closed { looks } = self.prospect
        {
            if link.peer == Peer::Unix && looks <= 1 {
                return true;
            }
            self.close();
            return false;
        }
        if self.inbound.is_quiet() {
            let standing = if self.fresh {
                let now = Instant::now();
                let spoken_by = now + SILENCE;
                // While connections are watched beside the listening socket this one can be, too: any
                // number of silent ones must not be waited for one after the other.
                if self.parking.as_ref().is_none_or(Parking::is_empty)
                    && let Ok(true) = io::wait(link.fd.as_fd(), Direction::Read, Some(spoken_by))
                {
                    return true;
                }
                Standing::Silent {
                    until: patience.map(|patience| now + patience),
                    spoken_by,
                }
            } else {
                Standing::kept(self.settings.idle_timeout)
            };
            if let Some(link) = self.link.take() {
                self.set_aside(link, standing);
            }
            return false;
        }
        if deadline.is_none() {
            *deadline = patience.map(|patience| Instant::now() + patience);
        }
        if let Ok(true) = io::wait(link.fd.as_fd(), Direction::Read, *deadline) {
            return true;
        }
        self.give_up();
        false
    }

    /// A connection that never stood aside has its next request at hand: also then the worker may be
    /// told to leave.
    pub(in crate::server) fn look_for_retirement(&mut self) {
        self.woken |= self.waiter.woken();
        if self.prospect == Prospect::Kept {
            self.prospect = match worker::retirement(self.woken) {
                Some(Retirement::PoolGoesOn) => Prospect::HandedOn,
                Some(Retirement::PoolEnds) => Prospect::Closed { looks: 0 },
                None => Prospect::Kept,
            };
        }
    }

    /// Whether to read on a connection between two requests, of which everything received was dealt
    /// with. Where the pool ends, what its peer has sent is answered; on a unix socket it is then told
    /// that nothing more is read (shutdown(2) with SHUT_RD): what it sent before is still there to be
    /// read, and what it sends after fails at once, so that it can tell that nothing was accepted. TCP
    /// has no such thing, so that the number of looks has a bound. False: it was closed or put aside.
    fn may_read_quiet(&mut self) -> bool {
        const LOOKS_TCP: u8 = 16;
        let Some(link) = &self.link else { return false };
        let Prospect::Closed { looks } = self.prospect else {
            if self.prospect == Prospect::HandedOn
                && let Some(link) = self.link.take()
            {
                self.set_aside(link, Standing::Kept { until: None });
                return false;
            }
            return true;
        };
        if link.peer == Peer::Unix {
            if looks == 1 {
                // It fails when the peer is gone, which reading will tell.
                let _ = shutdown(link.fd.as_raw_fd(), Shutdown::Read);
            }
        } else if looks >= LOOKS_TCP {
            self.close();
            return false;
        }
        let looks = looks.saturating_add(1);
        self.prospect = Prospect::Closed { looks };
        true
    }

    /// The parameters took too long.
    fn give_up(&mut self) {
        if let Some(patience) = self.settings.params_timeout {
            log::limited(
                Level::Warning,
                &format!(
                    "a request is given up: its parameters took longer than params_timeout = {} s",
                    patience.as_secs_f64()
                ),
            );
        }
        self.close();
    }

    fn start(&mut self) {
        self.active = true;
        self.sharing.begin();
        self.aborted = false;
        self.exit_status = 0;
        self.output_error = None;
        self.body = 0..0;
        self.has_caught_up = false;
        self.surprises = 0;
        self.input = if self.inbound.role() == Some(Role::Authorizer) {
            Input::Ended
        } else {
            Input::Open
        };
        // Answers to what stood between the parameters must not wait for the response.
        if !self.inbound.replies().is_empty() {
            let _ = self.send_replies();
        }
    }

    fn log_peer(&self, error: &ProtocolError) {
        let peer = match self.link.as_ref().map(|link| link.peer) {
            Some(Peer::Inet(address)) => address.to_string(),
            Some(Peer::Unix) | None => "unix:".to_owned(),
        };
        log::limited(
            Level::Warning,
            &format!("connection from {peer} ends: {error}"),
        );
    }
}
