//! A response as bytes: small writes gathered into records, large ones framed in place.

use super::answers::put_end_request;
use crate::wire::{
    EndRequest, HEADER_LEN, Header, MAX_ALIGNED_CONTENT, ProtocolStatus, RecordType, padding_for,
};

/// The application's two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// The response.
    Stdout,
    /// Messages for the web server's log.
    Stderr,
}

impl Stream {
    const fn record_type(self) -> RecordType {
        match self {
            Self::Stdout => RecordType::Stdout,
            Self::Stderr => RecordType::Stderr,
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Stdout => 0,
            Self::Stderr => 1,
        }
    }
}

/// How the caller's own bytes leave as a record without a copy: header, content, padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direct {
    /// Goes in front of the content.
    pub header: [u8; HEADER_LEN],
    /// How much of the caller's bytes is the content.
    pub content: usize,
    /// Zero bytes that go behind it.
    pub padding: usize,
}

/// Bytes that are gathered before they are sent.
const GATHERED: usize = 32 * 1024;

/// Room for the records that end a response: two empty ones and END_REQUEST.
const END_ROOM: usize = 2 * HEADER_LEN + HEADER_LEN + EndRequest::LEN;

/// The bytes of a connection that are to be sent.
///
/// Calling order: [`begin`](Self::begin), any number of [`gather`](Self::gather) and
/// [`direct`](Self::direct), [`end`](Self::end); [`pending`](Self::pending) is what is to be sent
/// now, [`sent`](Self::sent) that it was. Records of the protocol's own
/// ([`append_records`](Self::append_records)) fit between any two calls.
#[derive(Debug)]
pub struct Outbound {
    buffer: Vec<u8>,
    /// The record at the buffer's end that still takes content: its stream, and where its header
    /// will go.
    open: Option<(Stream, usize)>,
    request_id: u16,
    stderr_used: bool,
    /// The streams whose end was put among the records: STDOUT, STDERR.
    stream_ended: [bool; 2],
    /// END_REQUEST was.
    ended: bool,
    /// Some of STDOUT is pending.
    stdout_pending: bool,
    /// Some of STDOUT was sent.
    begun: bool,
}

impl Default for Outbound {
    fn default() -> Self {
        Self::new()
    }
}

impl Outbound {
    /// Nothing to send.
    #[must_use]
    pub fn new() -> Self {
        let buffer = Vec::with_capacity(GATHERED + 2 * HEADER_LEN + END_ROOM);
        Self {
            buffer,
            open: None,
            request_id: 0,
            stderr_used: false,
            stream_ended: [false; 2],
            ended: false,
            stdout_pending: false,
            begun: false,
        }
    }

    /// Forgets everything: the connection is another one.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.buffer.shrink_to(2 * GATHERED);
        self.open = None;
        self.stderr_used = false;
        self.stdout_pending = false;
        self.begun = false;
    }

    /// A response starts.
    pub fn begin(&mut self, request_id: u16) {
        self.request_id = request_id;
        self.open = None;
        self.stderr_used = false;
        self.stream_ended = [false; 2];
        self.ended = false;
        self.stdout_pending = false;
        self.begun = false;
    }

    /// Takes as much of `data` as the buffer has room for, and says how much. None left means: send
    /// what is pending first.
    pub fn gather(&mut self, stream: Stream, data: &[u8]) -> usize {
        let room = GATHERED.saturating_sub(self.buffer.len());
        let taken = data.len().min(room);
        if taken == 0 {
            return 0;
        }
        if self.open.is_none_or(|(open, _)| open != stream) {
            self.close_record();
            self.open = Some((stream, self.buffer.len()));
            self.buffer.extend_from_slice(&[0; HEADER_LEN]);
            self.note_use(stream);
        }
        self.buffer.extend_from_slice(&data[..taken]);
        taken
    }

    /// Frames the caller's bytes in place. What is pending goes out before the header.
    pub fn direct(&mut self, stream: Stream, length: usize) -> Direct {
        self.close_record();
        self.note_use(stream);
        let content = length.min(MAX_ALIGNED_CONTENT);
        let header = Header::new(stream.record_type(), self.request_id, content as u16);
        Direct {
            header: header.encode(),
            content,
            padding: usize::from(header.padding_length),
        }
    }

    /// One stream ends before the response does: an empty record closes it, where it was used (STDOUT
    /// always).
    pub fn end_stream(&mut self, stream: Stream) {
        if std::mem::replace(&mut self.stream_ended[stream.index()], true) {
            return;
        }
        match stream {
            Stream::Stdout => self.stdout_pending = true,
            Stream::Stderr if self.stderr_used => {}
            Stream::Stderr => return,
        }
        self.close_record();
        let empty = Header::new(stream.record_type(), self.request_id, 0);
        self.buffer.extend_from_slice(&empty.encode());
    }

    /// The response ends: both streams do, and then comes END_REQUEST (section 5.5). Once.
    pub fn end(&mut self, app_status: u32) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.close_record();
        self.end_stream(Stream::Stdout);
        self.end_stream(Stream::Stderr);
        put_end_request(
            &mut self.buffer,
            self.request_id,
            app_status,
            ProtocolStatus::RequestComplete,
        );
    }

    /// Appends whole records of the protocol's own.
    pub fn append_records(&mut self, records: &[u8]) {
        self.close_record();
        self.buffer.extend_from_slice(records);
    }

    /// What is to be sent: whole records.
    pub fn pending(&mut self) -> &[u8] {
        self.close_record();
        &self.buffer
    }

    /// Whether anything is to be sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// All that was pending has been sent.
    pub fn sent(&mut self) {
        self.buffer.clear();
        self.open = None;
        self.begun |= std::mem::take(&mut self.stdout_pending);
    }

    /// Whether a stream takes no more: it was ended, or the response was.
    #[must_use]
    pub fn has_ended(&self, stream: Stream) -> bool {
        self.ended || self.stream_ended[stream.index()]
    }

    /// Whether some of the response's STDOUT was sent.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether some of it will have been, with what is pending.
    #[must_use]
    pub const fn begins(&self) -> bool {
        self.begun || self.stdout_pending
    }

    /// Whether the first `sent` bytes of whole records end in the middle of one.
    #[must_use]
    pub fn is_cut(records: &[u8], sent: usize) -> bool {
        let mut end = 0;
        while end < sent {
            let Some(header) = records.get(end..).and_then(<[u8]>::first_chunk) else {
                return true;
            };
            let header = Header::decode(*header);
            end += HEADER_LEN
                + usize::from(header.content_length)
                + usize::from(header.padding_length);
        }
        end != sent
    }

    fn note_use(&mut self, stream: Stream) {
        match stream {
            Stream::Stdout => self.stdout_pending = true,
            Stream::Stderr => self.stderr_used = true,
        }
    }

    fn close_record(&mut self) {
        let Some((stream, start)) = self.open.take() else {
            return;
        };
        // GATHERED bounds the content below what a record can carry.
        let content = (self.buffer.len() - start - HEADER_LEN) as u16;
        let header = Header::new(stream.record_type(), self.request_id, content);
        self.buffer[start..start + HEADER_LEN].copy_from_slice(&header.encode());
        self.buffer
            .resize(self.buffer.len() + usize::from(padding_for(content)), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_seen_at_every_byte_but_the_ends_of_records() {
        let mut outbound = Outbound::new();
        outbound.begin(1);
        let mut ends = vec![0];
        for length in [1, 8, 300, 7] {
            outbound.gather(Stream::Stdout, &vec![b'x'; length]);
            ends.push(outbound.pending().len());
        }
        outbound.end(0);
        let records = outbound.pending().to_vec();
        ends.extend([records.len() - 16, records.len()]);
        for sent in 0..=records.len() {
            let cut = Outbound::is_cut(&records, sent);
            assert_eq!(cut, !ends.contains(&sent), "after {sent} bytes");
        }
        assert!(Outbound::is_cut(&records, records.len() + 1));
        assert!(Outbound::is_cut(&[], 1));
    }

    #[test]
    fn what_was_ended_before_is_not_ended_again() {
        let whole = |early: &[Stream]| {
            let mut outbound = Outbound::new();
            outbound.begin(1);
            outbound.gather(Stream::Stderr, b"message");
            outbound.gather(Stream::Stdout, b"page");
            early.iter().for_each(|stream| outbound.end_stream(*stream));
            outbound.end(3);
            outbound.end(3);
            let records = outbound.pending().to_vec();
            outbound.sent();
            outbound.end_stream(Stream::Stdout);
            assert!(outbound.is_empty());
            records
        };
        let usual = whole(&[]);
        assert_eq!(whole(&[Stream::Stdout]), usual);
        assert_eq!(
            whole(&[Stream::Stdout, Stream::Stderr, Stream::Stdout]),
            usual
        );
        assert_eq!(whole(&[Stream::Stderr]).len(), usual.len());
    }

    #[test]
    fn a_response_begins_with_what_was_sent_of_stdout() {
        let mut outbound = Outbound::new();
        outbound.begin(1);
        outbound.gather(Stream::Stderr, b"message");
        assert!(!outbound.begins());
        outbound.sent();
        assert!(!outbound.has_begun());
        outbound.gather(Stream::Stdout, b"page");
        assert!(outbound.begins() && !outbound.has_begun());
        outbound.sent();
        assert!(outbound.has_begun());
        outbound.clear();
        outbound.begin(1);
        assert!(!outbound.begins());
    }
}
