//! Checks responses as their bytes arrive, without storing them. Pure.

use fcgipm::wire::{EndRequest, HEADER_LEN, Header, RecordType};

use super::expected::{Expected, Search};
use super::head::Head;
use super::loss::{Flaw, Loss};
use crate::fastcgi::records;
use crate::fastcgi::records::{State, Violation};

/// Reads the responses of a connection, one after another.
#[derive(Debug)]
pub(crate) struct Reader {
    state: State,
    /// The header of a record or the content of END_REQUEST, as far as it has arrived.
    fixed: [u8; HEADER_LEN],
    filled: usize,
    answer: Answer,
}

/// The state of one response.
#[derive(Debug, Default)]
struct Answer {
    /// Bytes of the connection, framing included.
    bytes: u64,
    stdout: u64,
    head: Head,
    search: Search,
}

/// The result of reading some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The response continues.
    More,
    /// The response is complete. The value is whether surplus bytes follow.
    End { end: EndRequest, surplus: bool },
    /// The bytes are not valid FastCGI.
    Malformed(Violation),
}

impl Reader {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Header,
            fixed: [0; HEADER_LEN],
            filled: 0,
            answer: Answer::default(),
        }
    }

    /// Resets the state for the next response on the same connection.
    pub(crate) fn begin(&mut self) {
        self.answer = Answer::default();
    }

    /// The number of bytes of the response so far.
    pub(crate) const fn bytes(&self) -> u64 {
        self.answer.bytes
    }

    /// The next bytes.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], expected: &Expected) -> Heard {
        loop {
            match self.state {
                State::Header => {
                    let Some(fixed) = self.gather(&mut bytes) else {
                        return Heard::More;
                    };
                    match records::after_header(Header::decode(fixed)) {
                        Ok(state) => self.state = state,
                        Err(violation) => return Heard::Malformed(violation),
                    }
                }
                State::Skip { left: 0 } => self.state = State::Header,
                State::Skip { left } => {
                    let piece = take(&mut bytes, left);
                    if piece.is_empty() {
                        return Heard::More;
                    }
                    let left = left - piece.len();
                    self.state = State::Skip { left };
                }
                State::Content {
                    left: 0, padding, ..
                } => self.state = State::Skip { left: padding },
                State::Content {
                    kind,
                    left,
                    padding,
                } => {
                    let piece = take(&mut bytes, left);
                    if piece.is_empty() {
                        return Heard::More;
                    }
                    self.answer.bytes += piece.len() as u64;
                    if kind == RecordType::Stdout {
                        self.answer.stdout(piece, expected);
                    }
                    self.state = State::Content {
                        kind,
                        left: left - piece.len(),
                        padding,
                    };
                }
                State::End { padding } => {
                    let Some(fixed) = self.gather(&mut bytes) else {
                        return Heard::More;
                    };
                    let left = padding - take(&mut bytes, padding).len();
                    self.state = State::Skip { left };
                    return Heard::End {
                        end: EndRequest::decode(fixed),
                        surplus: !bytes.is_empty(),
                    };
                }
            }
        }
    }

    /// Why a complete response is lost, if it is.
    pub(crate) fn judge(&self, end: EndRequest, expected: &Expected) -> Option<Loss> {
        let answer = &self.answer;
        if end.protocol_status != 0 {
            return Some(Loss::Content(Flaw::Refusal(end)));
        }
        let (status, length) = match answer.head.verdict() {
            Ok(head) => head,
            Err(flaw) => return Some(Loss::Content(flaw)),
        };
        if status != expected.status {
            return Some(Loss::Status {
                found: status,
                expected: expected.status,
            });
        }
        if end.app_status != 0 {
            return Some(Loss::Content(Flaw::ApplicationStatus(end.app_status)));
        }
        let came = answer.stdout - answer.head.bytes();
        // 304 has no body either (RFC 9110, section 15.4.5).
        if let Some(announced) = length {
            if announced != came && !(came == 0 && (expected.bodiless || status == 304)) {
                return Some(Loss::Content(Flaw::Length { announced, came }));
            }
        }
        if !answer.search.is_satisfied(expected) {
            return Some(Loss::Content(Flaw::NotExpected));
        }
        None
    }

    /// The eight bytes of a record header or of END_REQUEST, once they have arrived.
    fn gather(&mut self, bytes: &mut &[u8]) -> Option<[u8; HEADER_LEN]> {
        if self.filled == 0 {
            if let Some((&fixed, rest)) = bytes.split_first_chunk() {
                *bytes = rest;
                self.answer.bytes += HEADER_LEN as u64;
                return Some(fixed);
            }
        }
        let piece = take(bytes, HEADER_LEN - self.filled);
        self.answer.bytes += piece.len() as u64;
        for (place, &byte) in self.fixed.iter_mut().skip(self.filled).zip(piece) {
            *place = byte;
        }
        self.filled += piece.len();
        if self.filled < HEADER_LEN {
            return None;
        }
        self.filled = 0;
        Some(self.fixed)
    }
}

impl Answer {
    fn stdout(&mut self, piece: &[u8], expected: &Expected) {
        self.stdout += piece.len() as u64;
        self.head.push(piece);
        self.search.push(piece, expected);
    }
}

/// Splits off up to `at_most` bytes at the front.
fn take<'a>(bytes: &mut &'a [u8], at_most: usize) -> &'a [u8] {
    let (piece, rest) = bytes.split_at(at_most.min(bytes.len()));
    *bytes = rest;
    piece
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fastcgi::records::append;

    fn response(pieces: &[&[u8]], app_status: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        for piece in pieces {
            append(RecordType::Stdout, piece, &mut bytes);
        }
        append(RecordType::Stderr, b"needle only here", &mut bytes);
        append(RecordType::Stdout, &[], &mut bytes);
        let end = EndRequest {
            app_status,
            protocol_status: 0,
        };
        append(RecordType::EndRequest, &end.encode(), &mut bytes);
        bytes
    }

    /// The result for the bytes in pieces of every size.
    fn judged(bytes: &[u8], expected: &Expected) -> Option<Loss> {
        let verdicts = (1..=bytes.len()).map(|size| {
            let mut reader = Reader::new();
            for piece in bytes.chunks(size) {
                match reader.feed(piece, expected) {
                    Heard::More => {}
                    Heard::End { end, surplus } => {
                        assert!(!surplus);
                        return reader.judge(end, expected);
                    }
                    Heard::Malformed(violation) => return Some(Loss::Malformed(violation)),
                }
            }
            panic!("no end in pieces of {size}");
        });
        let mut verdicts: Vec<_> = verdicts.collect();
        verdicts.dedup();
        assert_eq!(verdicts.len(), 1, "{verdicts:?}");
        verdicts.remove(0)
    }

    #[test]
    fn a_text_is_found_across_records_and_pieces_of_any_size() {
        let expected = Expected::new(200, false, Some("aabaac"));
        let good = response(&[b"X: y\r\n\r\naabaa", b"b", b"aac"], 0);
        assert_eq!(judged(&good, &expected), None);
        let bad = response(&[b"X: y\r\n\r\naabaab", b"aa"], 0);
        let flaw = Some(Loss::Content(Flaw::NotExpected));
        assert_eq!(judged(&bad, &expected), flaw);
        let needle = Expected::new(200, false, Some("needle"));
        assert_eq!(judged(&bad, &needle), flaw);
    }

    #[test]
    fn the_result_does_not_depend_on_the_size_of_the_pieces() {
        let expected = Expected::new(200, false, None);
        let content = |flaw| Some(Loss::Content(flaw));
        let status = |found| {
            Some(Loss::Status {
                found,
                expected: 200,
            })
        };
        let length = Flaw::Length {
            announced: 5,
            came: 4,
        };
        for (output, app_status, loss) in [
            (&b"Content-Length: 5\n\nfive!"[..], 0, None),
            (b"STATUS:404 Not Found\r\nX: y\r\n\r\n", 0, status(404)),
            (b"Location: /x\r\n\r\n", 0, status(302)),
            (b"X: y\r\n\r\n", 9, content(Flaw::ApplicationStatus(9))),
            (b"X: y\r\n", 0, content(Flaw::NoHeader)),
            (b"", 0, content(Flaw::NoHeader)),
            (b"Content-Length: 5\n\nfour", 0, content(length)),
        ] {
            let bytes = response(&[output], app_status);
            assert_eq!(judged(&bytes, &expected), loss, "{output:?}");
        }
        let head = Expected::new(200, true, None);
        let bytes = response(&[b"Content-Length: 5\n\n"], 0);
        assert_eq!(judged(&bytes, &head), None);
    }

    #[test]
    fn bytes_after_the_end_are_noticed_but_padding_is_allowed() {
        let expected = Expected::new(200, false, None);
        let mut bytes = response(&[b"X: y\n\n"], 0);
        bytes.push(0);
        let heard = Reader::new().feed(&bytes, &expected);
        assert!(matches!(heard, Heard::End { surplus: true, .. }));
    }
}
