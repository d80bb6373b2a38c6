//! Encodes a response: small writes are gathered into records, large ones are framed in place.

use super::answers::put_end_request;
use super::head::Head;
use super::stream::Stream;
use crate::wire::{
    EndRequest, HEADER_LEN, Header, MAX_ALIGNED_CONTENT, ProtocolStatus, RecordType, padding_for,
};

/// A record whose content is sent from the caller's memory, without a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramedChunk {
    /// Precedes the content.
    pub header: [u8; HEADER_LEN],
    /// The number of the caller's bytes that are the content.
    pub content: usize,
    /// The number of zero bytes that follow it.
    pub padding: usize,
}

/// The size of the buffer for small writes.
const GATHERED: usize = 32 * 1024;

/// Space for the records that end a response: two empty ones and END_REQUEST.
const END_ROOM: usize = 2 * HEADER_LEN + HEADER_LEN + EndRequest::LEN;

/// The bytes that are to be sent on a connection.
///
/// Calling order: [`begin`](Self::begin), any number of [`gather`](Self::gather) and
/// [`frame`](Self::frame), [`end`](Self::end). Send what [`pending`](Self::pending) returns, then
/// call [`sent`](Self::sent). The protocol's own answers ([`append_records`](Self::append_records))
/// may be added between any two calls.
#[derive(Debug)]
pub struct Outbound {
    buffer: Vec<u8>,
    /// The open record at the end of the buffer: its stream, and the position of its header.
    open: Option<(Stream, usize)>,
    request_id: u16,
    stderr_used: bool,
    /// Whether STDOUT and STDERR were ended.
    stream_ended: [bool; 2],
    /// END_REQUEST was added.
    ended: bool,
    stdout: Stdout,
    head: Head,
    /// Bytes of STDOUT.
    written: u64,
}

/// How far the response has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stdout {
    Nothing,
    /// Its first part is pending.
    Pending,
    /// Its first part was sent.
    Begun,
}

impl Default for Outbound {
    fn default() -> Self {
        Self::new()
    }
}

impl Outbound {
    /// An empty buffer.
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
            stdout: Stdout::Nothing,
            head: Head::default(),
            written: 0,
        }
    }

    /// Resets the state for another connection.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.buffer.shrink_to(2 * GATHERED);
        self.open = None;
        self.stderr_used = false;
        self.stdout = Stdout::Nothing;
    }

    fn stdout_pends(&mut self) {
        if self.stdout == Stdout::Nothing {
            self.stdout = Stdout::Pending;
        }
    }

    /// Starts a response.
    pub fn begin(&mut self, request_id: u16) {
        self.request_id = request_id;
        self.open = None;
        self.stderr_used = false;
        self.stream_ended = [false; 2];
        self.ended = false;
        self.stdout = Stdout::Nothing;
        self.head = Head::default();
        self.written = 0;
    }

    /// Copies as much of `data` as fits, and returns how much. If it returns 0, send what is
    /// pending first.
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
        self.count(stream, taken);
        self.buffer.extend_from_slice(&data[..taken]);
        taken
    }

    /// Frames the caller's bytes in place. Send what is pending before the header.
    pub fn frame(&mut self, stream: Stream, length: usize) -> FramedChunk {
        self.close_record();
        self.note_use(stream);
        let content = length.min(MAX_ALIGNED_CONTENT);
        self.count(stream, content);
        let header = Header::new(stream.record_type(), self.request_id, content as u16);
        FramedChunk {
            header: header.encode(),
            content,
            padding: usize::from(header.padding_length),
        }
    }

    /// Ends a stream before the response: adds an empty record, except for STDERR if it was not
    /// used.
    pub fn end_stream(&mut self, stream: Stream) {
        if std::mem::replace(&mut self.stream_ended[stream.index()], true) {
            return;
        }
        match stream {
            Stream::Stdout => self.stdout_pends(),
            Stream::Stderr if self.stderr_used => {}
            Stream::Stderr => return,
        }
        self.close_record();
        let empty = Header::new(stream.record_type(), self.request_id, 0);
        self.buffer.extend_from_slice(&empty.encode());
    }

    /// Ends both streams, then adds END_REQUEST (section 5.5). Further calls do nothing.
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

    /// Appends whole records: the protocol's own answers.
    pub fn append_records(&mut self, records: &[u8]) {
        self.close_record();
        self.buffer.extend_from_slice(records);
    }

    /// The whole records to send.
    pub fn pending(&mut self) -> &[u8] {
        self.close_record();
        &self.buffer
    }

    /// Examines the head of the response, of which more may follow what is pending: these bytes.
    #[inline]
    pub fn examine_head(&mut self, stream: Stream, following: &[u8]) {
        if self.head.is_open() {
            self.examine(stream, following);
        }
    }

    fn examine(&mut self, stream: Stream, following: &[u8]) {
        self.close_record();
        let mut rest = &self.buffer[..];
        while let Some((header, content)) = rest.split_first_chunk::<HEADER_LEN>() {
            let header = Header::decode(*header);
            let length = usize::from(header.content_length);
            let Some((content, after)) = content.split_at_checked(length) else {
                break;
            };
            if header.kind == RecordType::Stdout {
                self.head.examine(content);
            }
            let padding = usize::from(header.padding_length);
            rest = after.get(padding..).unwrap_or_default();
        }
        if stream == Stream::Stdout {
            self.head.examine(following);
        }
    }

    /// The status of the response, as far as it was [examined](Self::examine_head); 0: none.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.head.status()
    }

    /// Bytes of STDOUT so far.
    #[must_use]
    pub const fn written(&self) -> u64 {
        self.written
    }

    /// Whether anything is to be sent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Notes that everything pending was sent.
    pub fn sent(&mut self) {
        self.buffer.clear();
        self.open = None;
        if self.stdout == Stdout::Pending {
            self.stdout = Stdout::Begun;
        }
    }

    /// Whether a stream, or the response, was ended.
    #[must_use]
    pub fn has_ended(&self, stream: Stream) -> bool {
        self.ended || self.stream_ended[stream.index()]
    }

    /// Whether part of STDOUT was sent.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        matches!(self.stdout, Stdout::Begun)
    }

    /// Whether part of STDOUT was sent or is pending.
    #[must_use]
    pub const fn begins(&self) -> bool {
        !matches!(self.stdout, Stdout::Nothing)
    }

    /// Whether the first `sent` bytes of whole records end within a record.
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

    #[inline]
    fn count(&mut self, stream: Stream, bytes: usize) {
        if stream == Stream::Stdout {
            self.written += bytes as u64;
        }
    }

    fn note_use(&mut self, stream: Stream) {
        match stream {
            Stream::Stdout => self.stdout_pends(),
            Stream::Stderr => self.stderr_used = true,
        }
    }

    fn close_record(&mut self) {
        let Some((stream, start)) = self.open.take() else {
            return;
        };
        // GATHERED is below the maximum content of a record.
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
    fn the_head_is_examined_across_streams_and_parts() {
        let mut outbound = Outbound::new();
        outbound.begin(1);
        assert_eq!((outbound.status(), outbound.written()), (0, 0));
        outbound.gather(Stream::Stdout, b"A: b\r\nSta");
        outbound.gather(Stream::Stdout, b"tus: 404\r\n");
        outbound.gather(Stream::Stderr, b"Status: 500\r\n");
        outbound.examine_head(Stream::Stdout, &[]);
        outbound.sent();
        assert_eq!((outbound.status(), outbound.written()), (404, 19));
        outbound.begin(2);
        outbound.gather(Stream::Stderr, b"message");
        outbound.gather(Stream::Stdout, b"A: b\r\n");
        outbound.examine_head(Stream::Stderr, b"Status: 500\r\n");
        outbound.examine_head(Stream::Stdout, b"Status: 301\r\n\r\n");
        assert_eq!(outbound.status(), 301);
        outbound.sent();
        outbound.begin(3);
        outbound.end(0);
        outbound.examine_head(Stream::Stdout, &[]);
        assert_eq!(outbound.status(), 0);
    }

    #[test]
    fn a_stream_is_ended_once() {
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
