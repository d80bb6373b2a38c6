//! What was received on the current connection, decoded in place and delivered from there.

use std::ops::Range;
use std::os::fd::AsFd as _;

use crate::conn::{Event, Inbound, ProtocolError};
use crate::server::connection::Connection;
use crate::sys::fd::io::{self, Received};

/// Holds a usual request, or the largest record, so that one read receives it.
pub(super) const BUFFER: usize = 64 * 1024;

/// What the buffered bytes led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The parameters are complete.
    Request,
    /// There are bytes of the input.
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

#[derive(Debug)]
pub(super) struct ReceiveBuffer {
    memory: Box<[u8]>,
    /// Received, not decoded.
    pub(super) undecoded: Range<usize>,
    /// Decoded bytes of the input that the application has not read.
    body: Range<usize>,
    /// The last call received all that the peer had sent of a large input.
    pub(super) socket_drained: bool,
    /// Bytes of the request's input so far, also those that did not come into the buffer.
    pub(super) received: u64,
}

impl ReceiveBuffer {
    pub(super) fn new() -> Self {
        Self {
            memory: vec![0; BUFFER].into_boxed_slice(),
            undecoded: 0..0,
            body: 0..0,
            socket_drained: false,
            received: 0,
        }
    }

    /// Forgets what was received.
    pub(super) fn clear(&mut self) {
        self.undecoded = 0..0;
        self.body = 0..0;
    }

    /// A request begins: nothing of its input was decoded.
    pub(super) fn begin(&mut self) {
        self.body = 0..0;
        self.socket_drained = false;
        self.received = 0;
    }

    /// Decodes received bytes up to the next event.
    pub(super) fn decode(&mut self, inbound: &mut Inbound) -> Result<Progress, ProtocolError> {
        let step = inbound.handle(&self.memory[self.undecoded.clone()])?;
        self.undecoded.start += step.consumed;
        Ok(match step.event {
            None => Progress::Nothing,
            Some(Event::Request) => Progress::Request,
            Some(Event::Stdin(piece) | Event::Data(piece)) => {
                self.received += piece.len() as u64;
                self.body = self.undecoded.start - piece.len()..self.undecoded.start;
                Progress::Body
            }
            Some(Event::StdinEnd | Event::DataEnd) => Progress::End,
            Some(Event::Aborted) => Progress::Aborted,
            Some(Event::Declined { close }) => Progress::Declined { close },
        })
    }

    /// Receives into the buffer, of which everything was decoded and read.
    pub(super) fn receive(&mut self, connection: &Connection) -> nix::Result<Received> {
        let received = io::receive(connection.as_fd(), &mut self.memory)?;
        if let Received::Bytes(count) = received {
            self.undecoded = 0..count;
        }
        Ok(received)
    }

    /// Receives more behind the bytes that were not decoded.
    pub(super) fn receive_behind(&mut self, connection: &Connection) -> nix::Result<Received> {
        self.memory.copy_within(self.undecoded.clone(), 0);
        self.undecoded = 0..self.undecoded.len();
        let behind = &mut self.memory[self.undecoded.end..];
        let received = io::receive(connection.as_fd(), behind)?;
        if let Received::Bytes(count) = received {
            self.undecoded.end += count;
        }
        Ok(received)
    }

    /// The whole memory, while nothing is in it.
    pub(super) fn memory(&mut self) -> &mut [u8] {
        &mut self.memory
    }

    /// Whether all received bytes were decoded.
    pub(super) fn is_decoded(&self) -> bool {
        self.undecoded.is_empty()
    }

    pub(super) fn undecoded_bytes(&self) -> &[u8] {
        &self.memory[self.undecoded.clone()]
    }

    pub(super) fn has_body(&self) -> bool {
        !self.body.is_empty()
    }

    /// The decoded input that the application has not read.
    pub(super) fn body(&self) -> &[u8] {
        &self.memory[self.body.clone()]
    }

    /// The application has read these first bytes of it.
    pub(super) fn consume_body(&mut self, count: usize) {
        self.body.start += count;
    }

    /// The same, all of which is read with this.
    pub(super) fn take_body(&mut self) -> &mut [u8] {
        let body = std::mem::take(&mut self.body);
        &mut self.memory[body]
    }

    /// Nothing of the input is to be delivered any more.
    pub(super) fn drop_body(&mut self) {
        self.body = 0..0;
    }
}
