//! Writing a response and finishing a request.

use std::io::IoSlice;
use std::os::fd::AsFd as _;

use nix::errno::Errno;

use crate::conn::{Direct, Outbound, Stream};
use crate::error::{Code, Error, Result};
use crate::server::accept::idle_set::Standing;
use crate::server::request::{Progress, Prospect, Request};
use crate::sys::fd::io::{self, SendError};
use crate::sys::process::request_owner::Ending;
use crate::sys::socket::listen::Peer;

/// A write of at least so many bytes leaves from the caller's memory; a smaller one is gathered.
const DIRECT: usize = 8 * 1024;

/// Records of one large write that leave in one system call.
const BATCH: usize = 16;

impl Request {
    /// Writes all of the data, or gathers it to be sent with what follows.
    ///
    /// # Errors
    /// [`Code::Closed`] when the peer is gone, [`Code::TimedOut`] when it takes nothing: again at
    /// each further call. [`Code::State`] when there is no request.
    pub fn write(&mut self, stream: Stream, mut data: &[u8]) -> Result<()> {
        self.check_active("write")?;
        self.check_output()?;
        if self.outbound.has_ended(stream) {
            return Err(Error::new(Code::State, "write: this stream was ended"));
        }
        while !data.is_empty() {
            if data.len() >= DIRECT {
                let sent = self.send_direct(stream, data)?;
                data = &data[sent..];
                continue;
            }
            let gathered = self.outbound.gather(stream, data);
            data = &data[gathered..];
            if !data.is_empty() {
                self.send_pending()?;
            }
        }
        Ok(())
    }

    /// Sends what was gathered.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn flush(&mut self) -> Result<()> {
        self.check_active("flush")?;
        self.check_output()?;
        self.send_pending()
    }

    /// Ends the response. Afterwards there is no request, whatever is returned.
    ///
    /// # Errors
    /// As [`write`](Self::write), when the response could not be sent to its end.
    pub fn finish(&mut self) -> Result<()> {
        self.check_active("finish")?;
        let ending = self.settle_end();
        self.active = false;
        let outcome = match ending {
            Ending::Lost => self.lose(),
            ending => self.end_response_and_request(ending == Ending::Whole),
        };
        self.end_sharing();
        outcome
    }

    fn end_response_and_request(&mut self, may_keep: bool) -> Result<()> {
        self.reclaim_parked();
        let taken_in = (may_keep && self.is_parting()).then(|| self.take_in_rest());
        let parts = taken_in == Some(true) && self.hold_for_end();
        let outcome = self.check_output().and_then(|()| {
            self.outbound.end(self.exit_status);
            self.send_pending()
        });
        // Before the connection's number can become another one's.
        self.status.finished();
        self.body = 0..0;
        // Questions that arrived behind the input are answered, too: nobody will ask again.
        let taken_in = taken_in.unwrap_or_else(|| self.take_in_rest());
        let usable = taken_in && outcome.is_ok() && self.send_replies();
        let complete = self.inbound.input_is_complete() && self.is_drained();
        let keep = may_keep && self.inbound.keep_connection();
        self.inbound.finish();
        if self.link.is_none() {
            return outcome;
        }
        if usable && parts {
            self.part();
        } else if usable && keep {
            // With bytes at hand the connection stays the current one: the next request was sent
            // ahead. With last looks to take, too.
            let stays = !self.is_drained() || matches!(self.prospect, Prospect::Closed { .. });
            if !stays && let Some(link) = self.link.take() {
                self.set_aside(link, Standing::kept(self.settings.idle_timeout));
            }
        } else if outcome.is_ok() && !complete {
            // Also behind an input that broke off: its response went out.
            self.close_answered();
        } else {
            self.close();
        }
        outcome
    }

    /// Ends the request without an answer: the connection is closed.
    ///
    /// # Errors
    /// [`Code::State`] when there is no request.
    pub fn abandon(&mut self) -> Result<()> {
        self.check_active_here("abandon")?;
        let is_ours = self.settle_abandon();
        self.active = false;
        self.reclaim_parked();
        self.status.abandoned();
        self.inbound.finish();
        self.outbound.clear();
        if is_ours {
            self.close();
        } else {
            self.leave_connection();
        }
        self.end_sharing();
        Ok(())
    }

    /// Decodes what was received of the request's input and not read. What begins a next request
    /// stays. False: the connection is of no further use.
    fn take_in_rest(&mut self) -> bool {
        while !self.is_drained() && !self.inbound.begins_next(self.unread_bytes()) {
            match self.decode() {
                Ok(Progress::Aborted) => self.aborted = true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
        self.input_error().is_none() || self.aborted
    }

    pub(in crate::server) fn check_output(&self) -> Result<()> {
        self.output_error.clone().map_or(Ok(()), Err)
    }

    /// Sends the answers that the protocol itself owes. False: the connection failed.
    pub(in crate::server) fn send_replies(&mut self) -> bool {
        if !self.inbound.replies().is_empty() {
            self.outbound.append_records(self.inbound.replies());
            self.inbound.clear_replies();
        }
        self.outbound.is_empty() || self.send_pending().is_ok()
    }

    pub(in crate::server) fn send_pending(&mut self) -> Result<()> {
        if self.outbound.is_empty() {
            return Ok(());
        }
        let entered = self.enter_response()?;
        let (begun, begins) = (self.outbound.has_begun(), self.outbound.begins());
        let report = &mut self.status;
        let outcome = match &self.link {
            Some(link) => {
                report.respond(begins, true);
                let pending = self.outbound.pending();
                let stuck = |sent| {
                    report.respond(begun || begins && sent > 0, Outbound::is_cut(pending, sent));
                };
                let mut parts = [IoSlice::new(pending)];
                io::send_all(
                    link.fd.as_fd(),
                    &mut parts,
                    self.settings.write_timeout,
                    link.peer == Peer::Unix,
                    stuck,
                )
            }
            None => Err(SendError::Failed(Errno::EPIPE)),
        };
        self.leave_response(entered);
        self.outbound.sent();
        self.note(outcome)
    }

    /// Sends records that frame the caller's bytes where they are, behind what was gathered.
    /// Returns how many of the caller's bytes left.
    fn send_direct(&mut self, stream: Stream, data: &[u8]) -> Result<usize> {
        const PADDING: [u8; 8] = [0; 8];
        let entered = self.enter_response()?;
        let mut records = [None; BATCH];
        let mut framed = 0;
        for record in &mut records {
            if framed == data.len() {
                break;
            }
            let direct = self.outbound.direct(stream, data.len() - framed);
            framed += direct.content;
            *record = Some(direct);
        }
        let (begun, begins) = (self.outbound.has_begun(), self.outbound.begins());
        let report = &mut self.status;
        let outcome = match &self.link {
            Some(link) => {
                report.respond(begins, true);
                let pending = self.outbound.pending();
                let stuck = |sent: usize| {
                    let cut = match sent.checked_sub(pending.len()) {
                        None | Some(0) => Outbound::is_cut(pending, sent),
                        Some(behind) => ends_within(records.iter().flatten(), behind),
                    };
                    report.respond(begun || begins && sent > 0, cut);
                };
                let mut parts = [IoSlice::new(&[]); 3 * BATCH + 1];
                parts[0] = IoSlice::new(pending);
                let (mut used, mut rest) = (1, data);
                for direct in records.iter().flatten() {
                    let (content, after) = rest.split_at(direct.content);
                    parts[used] = IoSlice::new(&direct.header);
                    parts[used + 1] = IoSlice::new(content);
                    parts[used + 2] = IoSlice::new(&PADDING[..direct.padding]);
                    used += 3;
                    rest = after;
                }
                io::send_all(
                    link.fd.as_fd(),
                    &mut parts[..used],
                    self.settings.write_timeout,
                    link.peer == Peer::Unix,
                    stuck,
                )
            }
            None => Err(SendError::Failed(Errno::EPIPE)),
        };
        self.leave_response(entered);
        self.outbound.sent();
        self.note(outcome).map(|()| framed)
    }

    fn note(&mut self, outcome: std::result::Result<(), SendError>) -> Result<()> {
        let error = match outcome {
            Ok(()) => {
                // At the end of a request there is more to say.
                if self.active {
                    self.status.respond(self.outbound.has_begun(), false);
                }
                return Ok(());
            }
            Err(SendError::TimedOut) => {
                let seconds = self
                    .settings
                    .write_timeout
                    .unwrap_or_default()
                    .as_secs_f64();
                Error::new(
                    Code::TimedOut,
                    format!("response: the peer took nothing for write_timeout = {seconds} s"),
                )
            }
            Err(SendError::Failed(errno)) => {
                Error::caused(Code::Closed, "response: send", errno as i32)
            }
        };
        self.output_error = Some(error.clone());
        Err(error)
    }
}

/// Whether so many bytes of these records end in the middle of one.
fn ends_within<'r>(records: impl Iterator<Item = &'r Direct>, mut sent: usize) -> bool {
    for record in records {
        match sent.checked_sub(record.header.len() + record.content + record.padding) {
            Some(left) => sent = left,
            None => return sent > 0,
        }
    }
    sent > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_among_records_that_were_framed_in_place_is_seen() {
        let record = |content, padding| Direct {
            header: [0; 8],
            content,
            padding,
        };
        let records = [record(10, 6), record(65_528, 0), record(1, 7)];
        let ends = [0, 24, 24 + 65_536, 24 + 65_536 + 16];
        for sent in (0..100).chain(65_500..65_580) {
            let cut = ends_within(records.iter(), sent);
            assert_eq!(cut, !ends.contains(&sent), "after {sent} bytes");
        }
    }
}
