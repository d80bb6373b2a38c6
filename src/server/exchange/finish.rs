//! Ending a request, and what becomes of its connection.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::sys::socket::{Shutdown, shutdown};

use super::Exchange;
use super::buffer::Progress;
use super::input::Input;
use super::last_response::{LastResponse, Parting};
use super::output;
use crate::error::Result;
use crate::server::connection::{Disposal, Idle, WhenQuiet};
use crate::sys::fd::io;
use crate::sys::process::request_owner::Ending;
use crate::worker::{LoopStatus, Retirement, Served};

/// A peer that does not read its response for this long does not want it.
const LINGER: Duration = Duration::from_secs(5);

/// What is discarded before a lingering connection is parked.
const DISCARD_AT_ONCE: usize = 256 * 1024;

impl Exchange {
    /// Ends the response. Afterwards there is no request, whatever is returned.
    pub(in crate::server) fn finish(
        &mut self,
        status: &mut LoopStatus,
        retirement: impl FnOnce() -> Option<Retirement>,
    ) -> (Result<()>, Disposal) {
        let was_guest = self.sharing.is_guest();
        let ending = self.sharing.settle_end();
        match ending {
            Ending::Lost => self.lose(status),
            Ending::Whole | Ending::Shared => {
                if was_guest {
                    self.keep_in_child();
                }
                self.end_response(ending == Ending::Whole, status, retirement)
            }
        }
    }

    /// The request is over.
    #[inline]
    fn end_request(&mut self) {
        if let Some(current) = &mut self.current {
            current.request = None;
        }
        self.sharing.end();
    }

    fn end_response(
        &mut self,
        may_keep: bool,
        status: &mut LoopStatus,
        retirement: impl FnOnce() -> Option<Retirement>,
    ) -> (Result<()>, Disposal) {
        let is_last = may_keep && self.is_last_response(retirement);
        let taken_in = is_last.then(|| self.take_in_rest());
        let quiet = self
            .current
            .as_ref()
            .filter(|_| taken_in == Some(true) && self.is_quiet());
        let last = quiet.map(|current| LastResponse::prepare(&current.connection));
        let outcome = self.send_end(status);
        let parting = match (last, &mut self.current) {
            (Some(last), Some(current)) if outcome.is_ok() => last.part(&mut current.connection),
            _ => Parting::Open,
        };
        // Questions that arrived behind the input are answered, too: nothing else will do it.
        let taken_in = taken_in.unwrap_or_else(|| self.take_in_rest());
        // Before the connection's number can become another one's.
        let served = self.served(outcome.is_err());
        status.finished(&served);
        self.access_log.end(&served, self.inbound.params_mut());
        self.buffer.drop_body();
        let is_usable = taken_in && outcome.is_ok() && self.send_replies(status);
        let is_complete = self.inbound.input_is_complete() && self.buffer.is_decoded();
        let keep = may_keep && self.inbound.keep_connection();
        self.inbound.finish();
        let disposal = if is_usable && parting == Parting::Ended {
            self.close()
        } else if is_usable && keep {
            // With bytes at hand the connection stays the current one: the next request was sent ahead.
            // With last reads to make, too.
            let has_last_reads = parting == Parting::Open && self.is_closing();
            if !self.buffer.is_decoded() || has_last_reads {
                Disposal::Keep
            } else {
                Disposal::Park(Idle::keep_alive(self.timeouts.idle))
            }
        } else if outcome.is_ok() && !is_complete {
            // Also behind an input that broke off: its response was sent.
            self.linger()
        } else {
            self.close()
        };
        self.end_request();
        (outcome, disposal)
    }

    /// What is counted of a request that ends.
    fn served(&mut self, has_failed: bool) -> Served {
        Served {
            status: self.outbound.status(),
            received: self.buffer.received,
            sent: self.outbound.written(),
            aborted: has_failed || self.serving().is_some_and(|serving| serving.aborted),
            queue_wait: self.access_log.queue_wait(self.inbound.params_mut()),
        }
    }

    fn send_end(&mut self, status: &mut LoopStatus) -> Result<()> {
        let Some(current) = &self.current else {
            return Ok(());
        };
        if let Some(serving) = &current.request {
            serving.output.check()?;
            self.outbound.end(serving.exit_status);
        }
        let timeout = self.timeouts.write;
        output::send_pending(&current.connection, &mut self.outbound, status, timeout)
    }

    /// Another process answers. The connection stays open there.
    #[cold]
    fn lose(&mut self, status: &mut LoopStatus) -> (Result<()>, Disposal) {
        let serving = self.current.as_mut().and_then(|c| c.request.as_mut());
        let outcome = match serving.filter(|_| !self.sharing.is_left()) {
            None => Ok(()),
            // Logged before, if anything was to be sent before.
            Some(serving) => serving.output.check().and_then(|()| {
                if self.outbound.is_empty() {
                    return Ok(());
                }
                Err(serving.output.refuse(&mut self.outbound))
            }),
        };
        (outcome, self.drop_request(false, status))
    }

    /// Ends the request without an answer.
    pub(in crate::server) fn abandon(&mut self, status: &mut LoopStatus) -> Disposal {
        let is_ours = self.sharing.settle_abandon();
        self.drop_request(is_ours, status)
    }

    fn drop_request(&mut self, is_ours: bool, status: &mut LoopStatus) -> Disposal {
        status.abandoned();
        if self.is_active() {
            // If another process answers, this one does not know the response.
            let served = self.served(is_ours);
            self.access_log.end(&served, self.inbound.params_mut());
        }
        self.inbound.finish();
        self.outbound.clear();
        self.end_request();
        if let Some(current) = self.current.as_mut().filter(|_| !is_ours) {
            // It is closed here alone.
            current.connection.fd.leave();
        }
        self.close()
    }

    /// Decodes what was received of the request's input and not read. What begins a next request stays.
    /// False: the connection is of no further use.
    fn take_in_rest(&mut self) -> bool {
        let current = self.current.as_mut();
        let Some(serving) = current.and_then(|current| current.request.as_mut()) else {
            return false;
        };
        let buffer = &mut self.buffer;
        while !buffer.is_decoded() && !self.inbound.begins_next(buffer.undecoded_bytes()) {
            match buffer.decode(&mut self.inbound) {
                Ok(Progress::Aborted) => serving.aborted = true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
        serving.aborted || !matches!(serving.input, Input::Failed(_))
    }

    fn is_closing(&self) -> bool {
        let current = self.current.as_ref();
        current.is_some_and(|current| matches!(current.when_quiet, WhenQuiet::Close { .. }))
    }

    /// Whether a response that is about to end is the last one on its keep-alive connection.
    #[inline]
    fn is_last_response(&mut self, retirement: impl FnOnce() -> Option<Retirement>) -> bool {
        if !self.inbound.keep_connection() {
            return false;
        }
        self.note_retirement(retirement);
        self.is_closing()
    }

    /// Whether nothing of what was received is left to be dealt with.
    fn is_quiet(&self) -> bool {
        let has_replies = !self.inbound.replies().is_empty();
        self.buffer.is_decoded() && self.inbound.input_is_complete() && !has_replies
    }

    pub(super) fn close(&mut self) -> Disposal {
        self.buffer.clear();
        Disposal::Close
    }

    /// Closes the connection so that the peer can read what was sent: when it may still be sending,
    /// reading continues for a while, beside other work.
    pub(super) fn linger(&mut self) -> Disposal {
        self.buffer.clear();
        let Some(current) = &self.current else {
            return Disposal::Keep;
        };
        let connection = &current.connection;
        // It fails when the peer has closed, which reading will show.
        let _ = shutdown(connection.number(), Shutdown::Write);
        let (fd, scratch) = (connection.as_fd(), self.buffer.memory());
        let has_ended = if self.sharing.is_in_child() {
            // Nothing is watched here beside other work, and the listening socket is the parent's.
            let _ = io::discard_until_end(fd, scratch, Instant::now() + LINGER);
            true
        } else {
            io::discard(fd, scratch, DISCARD_AT_ONCE)
        };
        if has_ended {
            return Disposal::Close;
        }
        Disposal::Park(Idle::Lingering {
            until: Instant::now() + LINGER,
        })
    }
}
