//! Records from the web server's side: encodes requests, and decodes what the application sends.
//! Pure. The application is not trusted.

use std::fmt;

use bytes::{Bytes, BytesMut};
use fcgipm::wire::{
    BeginRequest, EndRequest, HEADER_LEN, Header, MAX_ALIGNED_CONTENT, NULL_REQUEST_ID, RecordType,
    Role, VERSION, encode_pair,
};

/// The id of every request: a connection carries one request at a time.
pub(crate) const REQUEST_ID: u16 = 1;

/// The maximum content of a record of a body: large compared with the header, and small enough for
/// the buffer of any application.
pub(crate) const MAX_BODY_RECORD: usize = 32 * 1024;

/// BEGIN_REQUEST and the whole PARAMS stream.
pub(crate) fn request_head(
    role: Role,
    keep_connection: bool,
    variables: &[(Vec<u8>, Vec<u8>)],
) -> Vec<u8> {
    let mut pairs = Vec::with_capacity(2048);
    for (name, value) in variables {
        encode_pair(name, value, &mut pairs);
    }
    let mut head = Vec::with_capacity(pairs.len() + 64);
    let begin = BeginRequest {
        role: role.number(),
        keep_connection,
    };
    append(RecordType::BeginRequest, &begin.encode(), &mut head);
    for piece in pairs.chunks(MAX_ALIGNED_CONTENT) {
        append(RecordType::Params, piece, &mut head);
    }
    append(RecordType::Params, &[], &mut head);
    head
}

/// Appends a record; the content is at most [`MAX_ALIGNED_CONTENT`] bytes.
pub(crate) fn append(kind: RecordType, content: &[u8], out: &mut Vec<u8>) {
    debug_assert!(
        content.len() <= MAX_ALIGNED_CONTENT,
        "content of one record"
    );
    let header = Header::new(kind, REQUEST_ID, content.len() as u16);
    out.extend_from_slice(&header.encode());
    out.extend_from_slice(content);
    out.resize(out.len() + usize::from(header.padding_length), 0);
}

/// What an application sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Stdout(Bytes),
    Stderr(Bytes),
    End(EndRequest),
}

/// How an application violates the protocol.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    Version(u8),
    RequestId(u16),
    Type(RecordType),
    EndLength(u16),
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => {
                write!(f, "a record of version {version} instead of {VERSION}")
            }
            Self::RequestId(id) => {
                write!(f, "a record of request {id} instead of {REQUEST_ID}")
            }
            Self::Type(kind) => write!(
                f,
                "a record of type {}, which an application does not send",
                kind.to_byte()
            ),
            Self::EndLength(length) => write!(
                f,
                "an END_REQUEST of {length} bytes instead of {}",
                EndRequest::LEN
            ),
        }
    }
}

/// How the next bytes are interpreted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    Header,
    /// `left` bytes of content, then the padding.
    Content {
        kind: RecordType,
        left: usize,
        padding: usize,
    },
    /// Bytes to skip.
    Skip {
        left: usize,
    },
    /// The fixed content of END_REQUEST, then the padding.
    End {
        padding: usize,
    },
}

/// Decodes what an application sends, in pieces of any size.
///
/// Fill [`buffer`](Self::buffer), then call [`next`](Self::next) until it returns `None`. Output is
/// returned as it arrives, so the decoder buffers at most a header or an END_REQUEST.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    buffer: BytesMut,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Header,
            buffer: BytesMut::new(),
        }
    }

    /// The buffer for the next bytes.
    pub(crate) const fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Whether it is between two responses, with no bytes left over.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.buffer.is_empty() && matches!(self.state, State::Header)
    }

    /// The next output or end; `None` until more bytes have arrived.
    ///
    /// # Errors
    /// A record that is invalid from an application. The following bytes cannot be interpreted.
    pub(crate) fn next(&mut self) -> Result<Option<Said>, Violation> {
        loop {
            match self.state {
                State::Header => {
                    let Some(&bytes) = self.buffer.first_chunk::<HEADER_LEN>() else {
                        return Ok(None);
                    };
                    self.state = after_header(Header::decode(bytes))?;
                    drop(self.buffer.split_to(HEADER_LEN));
                }
                State::Skip { left: 0 } => self.state = State::Header,
                State::Content {
                    left: 0, padding, ..
                } => self.state = State::Skip { left: padding },
                State::Skip { left } => {
                    let piece = self.take(left);
                    if piece.is_empty() {
                        return Ok(None);
                    }
                    self.state = State::Skip {
                        left: left - piece.len(),
                    };
                }
                State::Content {
                    kind,
                    left,
                    padding,
                } => {
                    let piece = self.take(left);
                    if piece.is_empty() {
                        return Ok(None);
                    }
                    self.state = State::Content {
                        kind,
                        left: left - piece.len(),
                        padding,
                    };
                    return Ok(Some(if kind == RecordType::Stderr {
                        Said::Stderr(piece)
                    } else {
                        Said::Stdout(piece)
                    }));
                }
                State::End { padding } => {
                    // Also waits for the padding: the next response starts after it.
                    if self.buffer.len() < EndRequest::LEN + padding {
                        return Ok(None);
                    }
                    let Some(&bytes) = self.buffer.first_chunk::<{ EndRequest::LEN }>() else {
                        return Ok(None);
                    };
                    drop(self.buffer.split_to(EndRequest::LEN + padding));
                    self.state = State::Header;
                    return Ok(Some(Said::End(EndRequest::decode(bytes))));
                }
            }
        }
    }

    fn take(&mut self, at_most: usize) -> Bytes {
        let length = at_most.min(self.buffer.len());
        self.buffer.split_to(length).freeze()
    }
}

/// What follows the header of a record.
///
/// # Errors
/// A record that is invalid from an application.
pub(crate) fn after_header(header: Header) -> Result<State, Violation> {
    if header.version != VERSION {
        return Err(Violation::Version(header.version));
    }
    let left = usize::from(header.content_length);
    let padding = usize::from(header.padding_length);
    match header.kind {
        // An unsolicited result is harmless.
        RecordType::GetValuesResult | RecordType::UnknownType
            if header.request_id == NULL_REQUEST_ID =>
        {
            Ok(State::Skip {
                left: left + padding,
            })
        }
        kind @ (RecordType::Stdout | RecordType::Stderr) => {
            own(header)?;
            Ok(State::Content {
                kind,
                left,
                padding,
            })
        }
        RecordType::EndRequest => {
            own(header)?;
            if left != EndRequest::LEN {
                return Err(Violation::EndLength(header.content_length));
            }
            Ok(State::End { padding })
        }
        kind @ (RecordType::BeginRequest
        | RecordType::AbortRequest
        | RecordType::Params
        | RecordType::Stdin
        | RecordType::Data
        | RecordType::GetValues
        | RecordType::GetValuesResult
        | RecordType::UnknownType
        | RecordType::Other(_)) => Err(Violation::Type(kind)),
    }
}

fn own(header: Header) -> Result<(), Violation> {
    if header.request_id == REQUEST_ID {
        Ok(())
    } else {
        Err(Violation::RequestId(header.request_id))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Output is joined, so that pieces of any size compare equal.
    fn decode<'a>(
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> (Vec<u8>, Vec<u8>, Vec<EndRequest>, Option<Violation>) {
        let mut decoder = Decoder::new();
        let (mut out, mut err, mut ends) = (Vec::new(), Vec::new(), Vec::new());
        for piece in pieces {
            decoder.buffer().extend_from_slice(piece);
            loop {
                match decoder.next() {
                    Ok(Some(Said::Stdout(bytes))) => out.extend_from_slice(&bytes),
                    Ok(Some(Said::Stderr(bytes))) => err.extend_from_slice(&bytes),
                    Ok(Some(Said::End(end))) => ends.push(end),
                    Ok(None) => break,
                    Err(violation) => return (out, err, ends, Some(violation)),
                }
            }
        }
        (out, err, ends, None)
    }

    fn record(kind: u8, id: u16, content: Vec<u8>, padding: u8) -> Vec<u8> {
        let header = Header {
            version: VERSION,
            kind: RecordType::from_byte(kind),
            request_id: id,
            content_length: content.len() as u16,
            padding_length: padding,
        };
        let mut bytes = header.encode().to_vec();
        bytes.extend(content);
        bytes.resize(bytes.len() + usize::from(padding), 0xaa);
        bytes
    }

    proptest! {
        #[test]
        fn any_split_of_any_bytes_says_the_same(
            records in prop::collection::vec(
                (5u8..12, 0u16..3, prop::collection::vec(any::<u8>(), 0..40), any::<u8>())
                    .prop_map(|(kind, id, content, padding)| record(kind, id, content, padding)),
                0..6,
            ),
            noise in prop::collection::vec(any::<u8>(), 0..40),
            size in 1usize..30,
        ) {
            let mut bytes = records.concat();
            bytes.extend(noise);
            prop_assert_eq!(decode(bytes.chunks(size)), decode(std::iter::once(&bytes[..])));
        }
    }

    #[test]
    fn output_errors_and_end_are_distinguished_and_padding_is_skipped() {
        let mut bytes = record(6, 1, b"out".to_vec(), 255);
        bytes.extend(record(10, 0, vec![1; 9], 3));
        bytes.extend(record(7, 1, b"err".to_vec(), 0));
        bytes.extend(record(6, 1, Vec::new(), 7));
        bytes.extend(record(3, 1, vec![0, 0, 0, 9, 0, 0, 0, 0], 8));
        let (out, err, ends, violation) = decode(std::iter::once(&bytes[..]));
        assert_eq!((&out[..], &err[..]), (&b"out"[..], &b"err"[..]));
        assert_eq!(ends[0].app_status, 9);
        assert_eq!(violation, None);
    }

    #[test]
    fn a_head_of_many_parameters_spans_records_and_ends_with_an_empty_one() {
        let long = vec![(b"N".to_vec(), vec![b'x'; 200_000])];
        let head = request_head(Role::Responder, true, &long);
        assert_eq!(head.len() % 8, 0);
        assert!(head.len() > 200_000);
        assert_eq!(head[head.len() - 8..], [1, 4, 0, 1, 0, 0, 0, 0]);
    }
}
