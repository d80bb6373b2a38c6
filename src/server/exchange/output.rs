//! Writing a response.

use std::io::IoSlice;
use std::os::fd::AsFd as _;
use std::time::Duration;

use crate::conn::{FramedChunk, Inbound, Outbound, Stream};
use crate::error::{Code, Error, Result};
use crate::server::connection::Connection;
use crate::server::exchange::sharing::Sharing;
use crate::sys::fd::io::{self, SendError};
use crate::sys::log::{self, Level};
use crate::sys::process::request_owner::Entry;
use crate::sys::socket::listen::Peer;
use crate::worker::LoopStatus;

/// A write of at least this size is sent from the caller's memory; a smaller one is gathered.
const IN_PLACE: usize = 8 * 1024;

/// Records of one large write that are sent in one system call.
const BATCH: usize = 16;

/// Whether the response can be written to.
#[derive(Clone, Debug)]
pub(super) enum Output {
    Open,
    Failed(Error),
}

impl Output {
    pub(super) fn check(&self) -> Result<()> {
        match self {
            Self::Open => Ok(()),
            Self::Failed(error) => Err(error.clone()),
        }
    }

    pub(super) const fn has_failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }

    /// What was to be sent is dropped, which is logged once for a request.
    pub(super) fn refuse(&mut self, outbound: &mut Outbound) -> Error {
        outbound.clear();
        let error = Error::caused(
            Code::Closed,
            "response: another process has ended the request, or answers it",
            libc::EPIPE,
        );
        log::limited(
            Level::Warning,
            "output is dropped: it came for a request that another process has ended, or answers",
        );
        *self = Self::Failed(error.clone());
        error
    }
}

/// The response of the current request.
#[derive(Debug)]
pub(in crate::server) struct Writer<'e> {
    pub(super) connection: &'e mut Connection,
    pub(super) output: &'e mut Output,
    pub(super) outbound: &'e mut Outbound,
    pub(super) sharing: &'e mut Sharing,
    pub(super) status: &'e mut LoopStatus,
    pub(super) timeout: Option<Duration>,
}

impl Writer<'_> {
    /// Writes all of the data, or gathers it to be sent with what follows.
    #[inline]
    pub(in crate::server) fn write(&mut self, stream: Stream, mut data: &[u8]) -> Result<()> {
        self.output.check()?;
        if self.outbound.has_ended(stream) {
            return Err(Error::new(Code::State, "write: this stream was ended"));
        }
        while !data.is_empty() {
            if data.len() >= IN_PLACE {
                let sent = self.send_in_place(stream, data)?;
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
    pub(in crate::server) fn flush(&mut self) -> Result<()> {
        self.output.check()?;
        self.send_pending()
    }

    /// Ends one stream of the response, which is sent.
    pub(in crate::server) fn end_stream(&mut self, stream: Stream) -> Result<()> {
        self.output.check()?;
        self.outbound.end_stream(stream);
        self.send_pending()
    }

    /// Ends the response.
    pub(in crate::server) fn end_response(&mut self, exit_status: u32) -> Result<()> {
        self.output.check()?;
        self.outbound.end(exit_status);
        self.send_pending()
    }

    /// Sends the answers that the protocol itself owes.
    pub(super) fn send_replies(&mut self, inbound: &mut Inbound) {
        take_replies(self.outbound, inbound);
        // A failure fails the response.
        let _ = self.send_pending();
    }

    fn send_pending(&mut self) -> Result<()> {
        if self.outbound.is_empty() {
            return Ok(());
        }
        let is_writer = self.enter()?;
        let outcome = transmit(self.connection, self.outbound, self.status, self.timeout);
        self.leave(is_writer);
        self.note(outcome)
    }

    /// Sends records that frame the caller's bytes where they are, behind what was gathered. Returns how
    /// many of the caller's bytes were sent.
    fn send_in_place(&mut self, stream: Stream, data: &[u8]) -> Result<usize> {
        const PADDING: [u8; 8] = [0; 8];
        let is_writer = self.enter()?;
        self.outbound.examine_head(stream, data);
        let mut records = [None; BATCH];
        let mut framed = 0;
        for record in &mut records {
            if framed == data.len() {
                break;
            }
            let direct = self.outbound.frame(stream, data.len() - framed);
            framed += direct.content;
            *record = Some(direct);
        }
        let (begun, begins) = (self.outbound.has_begun(), self.outbound.begins());
        let status = &mut *self.status;
        status.respond(begins, true);
        let pending = self.outbound.pending();
        let stuck = |sent: usize| {
            let cut = match sent.checked_sub(pending.len()) {
                None | Some(0) => Outbound::is_cut(pending, sent),
                Some(behind) => ends_within(records.iter().flatten(), behind),
            };
            status.respond(begun || begins && sent > 0, cut);
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
        let outcome = io::send_all(
            self.connection.as_fd(),
            &mut parts[..used],
            self.timeout,
            self.connection.peer == Peer::Unix,
            stuck,
        );
        self.outbound.sent();
        self.leave(is_writer);
        self.note(outcome.map_err(|error| failure(error, self.timeout)))
            .map(|()| framed)
    }

    /// Before something is sent. True: this process is a guest, and [`leave`](Self::leave) follows.
    #[inline]
    fn enter(&mut self) -> Result<bool> {
        if self.sharing.may_have_others() {
            return self.enter_shared();
        }
        Ok(false)
    }

    #[cold]
    fn enter_shared(&mut self) -> Result<bool> {
        let was_guest = self.sharing.is_guest();
        match self.sharing.enter_writing() {
            Entry::Writer => return Ok(true),
            Entry::Keeper if was_guest => {
                self.sharing.keep();
                self.connection.fd.take();
            }
            Entry::Keeper => {}
            Entry::Refused => return Err(self.output.refuse(self.outbound)),
        }
        Ok(false)
    }

    fn leave(&self, is_writer: bool) {
        if is_writer {
            self.sharing.leave_writing();
        }
    }

    fn note(&mut self, outcome: Result<()>) -> Result<()> {
        match &outcome {
            Ok(()) => self.status.respond(self.outbound.has_begun(), false),
            Err(error) => *self.output = Output::Failed(error.clone()),
        }
        outcome
    }
}

/// The answers that the protocol itself owes are sent next.
#[inline]
pub(super) fn take_replies(outbound: &mut Outbound, inbound: &mut Inbound) {
    if !inbound.replies().is_empty() {
        outbound.append_records(inbound.replies());
        inbound.clear_replies();
    }
}

/// Sends what is pending, also where no request is served.
#[inline]
pub(super) fn send_pending(
    connection: &Connection,
    outbound: &mut Outbound,
    status: &mut LoopStatus,
    timeout: Option<Duration>,
) -> Result<()> {
    if outbound.is_empty() {
        return Ok(());
    }
    transmit(connection, outbound, status, timeout)
}

fn transmit(
    connection: &Connection,
    outbound: &mut Outbound,
    status: &mut LoopStatus,
    timeout: Option<Duration>,
) -> Result<()> {
    outbound.examine_head(Stream::Stdout, &[]);
    let (begun, begins) = (outbound.has_begun(), outbound.begins());
    status.respond(begins, true);
    let pending = outbound.pending();
    let stuck = |sent| {
        status.respond(begun || begins && sent > 0, Outbound::is_cut(pending, sent));
    };
    let outcome = io::send_all(
        connection.as_fd(),
        &mut [IoSlice::new(pending)],
        timeout,
        connection.peer == Peer::Unix,
        stuck,
    );
    outbound.sent();
    outcome.map_err(|error| failure(error, timeout))
}

#[cold]
fn failure(error: SendError, timeout: Option<Duration>) -> Error {
    match error {
        SendError::TimedOut => {
            let seconds = timeout.unwrap_or_default().as_secs_f64();
            Error::new(
                Code::TimedOut,
                format!("response: the peer took nothing for write_timeout = {seconds} s"),
            )
        }
        SendError::Failed(errno) => Error::caused(Code::Closed, "response: send", errno as i32),
    }
}

/// Whether this many bytes of these records end in the middle of one.
fn ends_within<'r>(records: impl Iterator<Item = &'r FramedChunk>, mut sent: usize) -> bool {
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
        let record = |content, padding| FramedChunk {
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
