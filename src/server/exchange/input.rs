//! Reading a request's input.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use crate::conn::Role;
use crate::error::{Code, Error, Result};
use crate::server::request::{Input, Progress, Request};
use crate::sys::fd::io::{self, Direction, Received, Waited};
use crate::worker;

/// After so many reads in a row that brought nothing for the application the clock is looked at: a
/// peer that never pauses must not outlast a deadline that only counts while waiting.
const READS: u32 = 64;

/// Where bytes of the input are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// In the receive buffer.
    Buffered,
    /// So many in the caller's memory.
    Delivered(usize),
    /// There are none.
    End,
}

impl Request {
    /// Reads like read(2): waits for at least one byte, 0 at the end.
    ///
    /// # Errors
    /// [`Code::Incomplete`] when the connection ended first, [`Code::Aborted`], [`Code::TimedOut`],
    /// [`Code::Protocol`], [`Code::Closed`]: again at each further call. [`Code::State`] when there
    /// is no request.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.read_after(buffer, 0)
    }

    /// The same for a caller that has got so much before by the same wish.
    fn read_after(&mut self, buffer: &mut [u8], before: usize) -> Result<usize> {
        self.check_readable("read")?;
        if buffer.is_empty() {
            return Ok(0);
        }
        Ok(match self.find(buffer, before)? {
            Found::End => 0,
            Found::Delivered(count) => count,
            Found::Buffered => {
                let available = self.body_bytes();
                let count = available.len().min(buffer.len());
                buffer[..count].copy_from_slice(&available[..count]);
                self.body.start += count;
                count
            }
        })
    }

    /// Reads until the buffer is full or the input is at its end.
    ///
    /// # Errors
    /// As [`read`](Self::read), when nothing could be read before; else the error comes with the
    /// next call.
    pub fn read_full(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut count = 0;
        while count < buffer.len() {
            match self.read_after(&mut buffer[count..], count) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(_) if count > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    /// Reads up to and including the next newline, or until the buffer is full or the input is at
    /// its end.
    ///
    /// # Errors
    /// As [`read_full`](Self::read_full).
    pub fn read_line(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.check_readable("read line")?;
        let mut count = 0;
        while count < buffer.len() {
            match self.fill() {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) if count > 0 => break,
                Err(error) => return Err(error),
            }
            let available = self.body_bytes();
            let most = available.len().min(buffer.len() - count);
            let newline = available[..most].iter().position(|byte| *byte == b'\n');
            let taken = newline.map_or(most, |position| position + 1);
            buffer[count..count + taken].copy_from_slice(&available[..taken]);
            self.body.start += taken;
            count += taken;
            if newline.is_some() {
                break;
            }
        }
        Ok(count)
    }

    /// Whether everything was read.
    #[must_use]
    pub fn input_ended(&self) -> bool {
        self.body.is_empty() && matches!(self.input, Input::Ended)
    }

    /// The error that ended the input, if one did.
    #[must_use]
    pub const fn input_error(&self) -> Option<&Error> {
        match &self.input {
            Input::Failed(error) => Some(error),
            Input::Open | Input::Ended => None,
        }
    }

    /// A filter has read its standard input and goes on to its data (section 6.4).
    ///
    /// # Errors
    /// [`Code::State`] when the role is another one, or the standard input is not at its end.
    pub fn start_filter_data(&mut self) -> Result<()> {
        self.check_readable("start filter data")?;
        if self.inbound.role() != Some(Role::Filter) {
            return Err(Error::new(
                Code::State,
                "start filter data: the role is not filter",
            ));
        }
        if !self.input_ended() || !self.inbound.data_is_open() {
            return Err(Error::new(
                Code::State,
                "start filter data: the standard input is not at its end",
            ));
        }
        self.input = Input::Open;
        Ok(())
    }

    /// Whether the web server aborted the request. Looks at what has arrived, as far as it can
    /// without reading past input that the application has not read.
    ///
    /// # Errors
    /// [`Code::State`] when there is no request.
    pub fn aborted(&mut self) -> Result<bool> {
        self.check_readable("aborted")?;
        let mut reads = 0;
        while !self.aborted && self.body.is_empty() && reads < READS {
            let unread = self.unread_bytes();
            let received = if unread.len() == 1 && self.inbound.begins_next(unread) {
                // One byte does not tell an abort from a next request.
                self.receive_behind()
            } else if !self.may_look_ahead() {
                break;
            } else if !self.is_drained() {
                self.advance();
                continue;
            } else {
                self.receive()
            };
            if !matches!(received, Ok(Received::Bytes(_))) {
                break;
            }
            reads += 1;
        }
        Ok(self.aborted)
    }

    /// Makes sure that the application finds bytes to read. False: the input is at its end.
    pub(in crate::server) fn fill(&mut self) -> Result<bool> {
        self.find(&mut [], 0).map(|found| found != Found::End)
    }

    /// Bytes for the application, which wants so many, and has got so many before by the same wish.
    fn find(&mut self, wanted: &mut [u8], before: usize) -> Result<Found> {
        let mut deadline = None;
        let mut reads = 0;
        loop {
            if !self.body.is_empty() {
                return Ok(Found::Buffered);
            }
            match &self.input {
                Input::Open => {}
                Input::Ended => return Ok(Found::End),
                Input::Failed(error) => return Err(error.clone()),
            }
            if !self.is_drained() {
                self.advance();
                continue;
            }
            // Then it would most likely be asked for nothing.
            if std::mem::take(&mut self.has_caught_up) {
                self.wait_for_body(&mut deadline);
                continue;
            }
            match self.receive_into(wanted, before) {
                Ok(Received::Bytes(count)) if count > 0 => return Ok(Found::Delivered(count)),
                Ok(Received::Bytes(_)) => {
                    if is_overdue(&mut reads, &mut deadline, self.settings.body_timeout) {
                        self.fail_late();
                    }
                }
                Ok(Received::End) => self.fail(Error::new(
                    Code::Incomplete,
                    "request body: the connection ended before the end of the input",
                )),
                Ok(Received::Nothing) => self.wait_for_body(&mut deadline),
                Err(errno) => self.fail(Error::caused(
                    Code::Closed,
                    "request body: recv",
                    errno as i32,
                )),
            }
        }
    }

    fn wait_for_body(&mut self, deadline: &mut Option<Instant>) {
        let Some(link) = &self.link else { return };
        let patience = self.settings.body_timeout;
        if deadline.is_none() {
            *deadline = patience.map(|patience| Instant::now() + patience);
        }
        // A host that takes notice by a signal would not get to it while this goes on.
        let noticed = worker::notice_given();
        let give_up = || !noticed && worker::notice_given();
        match io::wait_unless(link.fd.as_fd(), Direction::Read, *deadline, give_up) {
            Ok(Waited::Ready) => {}
            Ok(Waited::TimedOut) => self.fail_late(),
            Ok(Waited::GivenUp) => self.fail(Error::new(
                Code::TimedOut,
                "request body: the request has run for longer than request_timeout",
            )),
            Err(errno) => self.fail(Error::caused(
                Code::System,
                "request body: poll",
                errno as i32,
            )),
        }
    }

    fn fail_late(&mut self) {
        let seconds = self.settings.body_timeout.unwrap_or_default().as_secs_f64();
        self.fail(Error::new(
            Code::TimedOut,
            format!("request body: nothing arrived for body_timeout = {seconds} s"),
        ));
    }

    /// Decodes on; what happens becomes the input's state. Answers that the protocol owes are sent.
    pub(in crate::server) fn advance(&mut self) {
        match self.decode() {
            Ok(Progress::End) => self.input = Input::Ended,
            Ok(Progress::Aborted) => {
                self.aborted = true;
                self.fail(Error::new(
                    Code::Aborted,
                    "the web server aborted the request",
                ));
            }
            // A second request cannot begin while this one is active.
            Ok(
                Progress::Body | Progress::Nothing | Progress::Request | Progress::Declined { .. },
            ) => {}
            Err(error) => self.fail(Error::new(Code::Protocol, format!("request body: {error}"))),
        }
        // Not tried again after an error: each try may wait for as long as a write may. What a guest finds, the one
        // who keeps the request may have received, too, and answers.
        if self.output_error.is_some() || self.is_guest() {
            self.inbound.clear_replies();
        } else if !self.inbound.replies().is_empty() {
            let _ = self.send_replies();
        }
    }

    /// Whether decoding on could only tell of the active request: a filter's data waits until it is
    /// asked for, and a next request that was sent ahead until this one is finished.
    fn may_look_ahead(&self) -> bool {
        match self.input {
            Input::Open => true,
            Input::Failed(_) => false,
            Input::Ended => {
                !self.inbound.data_is_open() && !self.inbound.begins_next(self.unread_bytes())
            }
        }
    }

    fn fail(&mut self, error: Error) {
        self.body = 0..0;
        self.input = Input::Failed(error);
    }
}

/// Counts a read that brought nothing, and now and then looks at the clock: true past the deadline,
/// which starts with the first look.
pub(in crate::server) fn is_overdue(
    reads: &mut u32,
    deadline: &mut Option<Instant>,
    patience: Option<Duration>,
) -> bool {
    *reads += 1;
    let Some(patience) = patience.filter(|_| reads.is_multiple_of(READS)) else {
        return false;
    };
    let now = Instant::now();
    now >= *deadline.get_or_insert_with(|| now + patience)
}
