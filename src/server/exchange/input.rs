//! Reading a request's input.
//!
//! | state | event | next state |
//! |---|---|---|
//! | `Open` | its end arrives | `Ended` |
//! | `Open` | an error, the web server's abort, a deadline | `Failed` |
//! | `Ended` | a filter starts its data | `Open` |
//!
//! `Failed` is final: every further read returns the error. An authorizer begins with `Ended`.

use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use super::buffer::{Progress, ReceiveBuffer};
use super::output::Writer;
use crate::conn::{Inbound, Role};
use crate::error::{Code, Error, Result};
use crate::sys::fd::io::{self, Direction, Received, Waited};
use crate::worker;

/// After this many reads in a row that brought nothing for the application, the clock is read: a peer
/// that never pauses must not outlast a deadline that only counts while waiting.
const READS: u32 = 64;

/// The state of the application's input.
#[derive(Clone, Debug)]
pub(super) enum Input {
    /// More may come.
    Open,
    /// It has arrived to its end.
    Ended,
    Failed(Error),
}

/// Where bytes of the input are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// In the receive buffer.
    Buffered,
    /// This many are in the caller's memory.
    Delivered(usize),
    /// There are none.
    End,
}

/// The input of the current request.
#[derive(Debug)]
pub(in crate::server) struct Reader<'e> {
    pub(super) input: &'e mut Input,
    pub(super) aborted: &'e mut bool,
    pub(super) wrong_guesses: &'e mut u8,
    pub(super) inbound: &'e mut Inbound,
    pub(super) buffer: &'e mut ReceiveBuffer,
    pub(super) timeout: Option<Duration>,
    /// For answers that the protocol owes.
    pub(super) writer: Writer<'e>,
}

impl<'e> Reader<'e> {
    /// Reads like read(2): waits for at least one byte, 0 at the end.
    pub(in crate::server) fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.read_after(buffer, 0)
    }

    /// The same for a caller that has got `before` bytes by the same call.
    fn read_after(&mut self, buffer: &mut [u8], before: usize) -> Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        Ok(match self.find(buffer, before)? {
            Found::End => 0,
            Found::Delivered(count) => count,
            Found::Buffered => {
                let available = self.buffer.body();
                let count = available.len().min(buffer.len());
                buffer[..count].copy_from_slice(&available[..count]);
                self.buffer.consume_body(count);
                count
            }
        })
    }

    /// Reads until the buffer is full or the input is at its end.
    pub(in crate::server) fn read_full(&mut self, buffer: &mut [u8]) -> Result<usize> {
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
    pub(in crate::server) fn read_line(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut count = 0;
        while count < buffer.len() {
            match self.find(&mut [], 0) {
                Ok(Found::End) => break,
                Ok(_) => {}
                Err(_) if count > 0 => break,
                Err(error) => return Err(error),
            }
            let available = self.buffer.body();
            let most = available.len().min(buffer.len() - count);
            let newline = available[..most].iter().position(|byte| *byte == b'\n');
            let taken = newline.map_or(most, |position| position + 1);
            buffer[count..count + taken].copy_from_slice(&available[..taken]);
            self.buffer.consume_body(taken);
            count += taken;
            if newline.is_some() {
                break;
            }
        }
        Ok(count)
    }

    /// The next bytes of the input where they were received, at least one, all of them read with this;
    /// nothing at the end.
    pub(in crate::server) fn chunk(mut self) -> Result<&'e mut [u8]> {
        if self.find(&mut [], 0)? == Found::End {
            return Ok(&mut []);
        }
        let Self { buffer, .. } = self;
        Ok(buffer.take_body())
    }

    /// A filter has read its standard input and starts to read its data (section 6.4).
    pub(in crate::server) fn start_filter_data(&mut self) -> Result<()> {
        if self.inbound.role() != Some(Role::Filter) {
            return Err(Error::new(
                Code::State,
                "start filter data: the role is not filter",
            ));
        }
        let has_ended = !self.buffer.has_body() && matches!(self.input, Input::Ended);
        if !has_ended || !self.inbound.data_is_open() {
            return Err(Error::new(
                Code::State,
                "start filter data: the standard input is not at its end",
            ));
        }
        *self.input = Input::Open;
        Ok(())
    }

    /// Whether the web server aborted the request. Checks what has arrived, as far as it can without
    /// reading past input that the application has not read.
    pub(in crate::server) fn aborted(&mut self) -> bool {
        let mut reads = 0;
        while !*self.aborted && !self.buffer.has_body() && reads < READS {
            let undecoded = self.buffer.undecoded_bytes();
            let received = if undecoded.len() == 1 && self.inbound.begins_next(undecoded) {
                // One byte does not distinguish an abort from a next request.
                self.enter()
                    .and_then(|()| self.buffer.receive_behind(self.writer.connection))
            } else if !self.may_decode_on() {
                break;
            } else if !self.buffer.is_decoded() {
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
        *self.aborted
    }

    /// Bytes for the application: at least one, or the end. It wants `wanted`, and has got `before` bytes
    /// by the same call.
    fn find(&mut self, wanted: &mut [u8], before: usize) -> Result<Found> {
        let mut deadline = None;
        let mut reads = 0;
        loop {
            if self.buffer.has_body() {
                return Ok(Found::Buffered);
            }
            match &*self.input {
                Input::Open => {}
                Input::Ended => return Ok(Found::End),
                Input::Failed(error) => return Err(error.clone()),
            }
            if !self.buffer.is_decoded() {
                self.advance();
                continue;
            }
            // Another call would most likely find nothing.
            if std::mem::take(&mut self.buffer.socket_drained) {
                self.wait(&mut deadline);
                continue;
            }
            match self.receive_into(wanted, before) {
                Ok(Received::Bytes(count)) if count > 0 => return Ok(Found::Delivered(count)),
                Ok(Received::Bytes(_)) => {
                    if is_overdue(&mut reads, &mut deadline, self.timeout) {
                        self.fail_late();
                    }
                }
                Ok(Received::End) => self.fail(Error::new(
                    Code::Incomplete,
                    "request body: the connection ended before the end of the input",
                )),
                Ok(Received::Nothing) => self.wait(&mut deadline),
                Err(errno) => self.fail(Error::caused(
                    Code::Closed,
                    "request body: recv",
                    errno as i32,
                )),
            }
        }
    }

    /// Sends the answers that the protocol itself owes.
    pub(super) fn send_replies(&mut self) {
        self.writer.send_replies(self.inbound);
    }

    /// Before something is received.
    pub(super) fn enter(&self) -> nix::Result<()> {
        self.writer.sharing.enter_input()
    }

    /// Receives into the buffer, of which everything was decoded and read.
    pub(super) fn receive(&mut self) -> nix::Result<Received> {
        self.enter()?;
        self.buffer.receive(self.writer.connection)
    }

    fn wait(&mut self, deadline: &mut Option<Instant>) {
        if deadline.is_none() {
            *deadline = self.timeout.map(|timeout| Instant::now() + timeout);
        }
        // A host that is given notice by a signal would not get to it while this continues.
        let noticed = worker::notice_given();
        let give_up = || !noticed && worker::notice_given();
        let fd = self.writer.connection.as_fd();
        match io::wait_unless(fd, Direction::Read, *deadline, give_up) {
            Ok(Waited::Ready) => {}
            Ok(Waited::TimedOut) => self.fail_late(),
            Ok(Waited::Abandoned) => self.fail(Error::new(
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
        let seconds = self.timeout.unwrap_or_default().as_secs_f64();
        self.fail(Error::new(
            Code::TimedOut,
            format!("request body: nothing arrived for body_timeout = {seconds} s"),
        ));
    }

    /// Decodes up to the next event, which becomes the input's state. Answers that the protocol owes are
    /// sent.
    pub(super) fn advance(&mut self) {
        match self.buffer.decode(self.inbound) {
            Ok(Progress::End) => *self.input = Input::Ended,
            Ok(Progress::Aborted) => {
                *self.aborted = true;
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
        // Not tried again after an error: each attempt may wait for as long as a write may. What a guest
        // finds, the keeper of the request may have received, too, and answers.
        if self.writer.output.has_failed() || self.writer.sharing.is_guest() {
            self.inbound.clear_replies();
        } else if !self.inbound.replies().is_empty() {
            self.send_replies();
        }
    }

    /// Whether what follows can only be of the active request: a filter's data waits until the filter
    /// asks for it, and a next request that was sent ahead until this one is finished.
    fn may_decode_on(&self) -> bool {
        match self.input {
            Input::Open => true,
            Input::Failed(_) => false,
            Input::Ended => {
                !self.inbound.data_is_open()
                    && !self.inbound.begins_next(self.buffer.undecoded_bytes())
            }
        }
    }

    fn fail(&mut self, error: Error) {
        self.buffer.drop_body();
        *self.input = Input::Failed(error);
    }
}

/// Counts a read that brought nothing, and reads the clock now and then: true past the deadline, which
/// starts with the first check.
pub(super) fn is_overdue(
    reads: &mut u32,
    deadline: &mut Option<Instant>,
    patience: Option<Duration>,
) -> bool {
    *reads += 1;
    let Some(patience) = patience.filter(|_| *reads % READS == 0) else {
        return false;
    };
    let now = Instant::now();
    now >= *deadline.get_or_insert_with(|| now + patience)
}
