//! Parses the header of a CGI response (RFC 3875, section 6) from bytes that arrive in pieces.
//! Pure.

use std::fmt;

use bytes::{Bytes, BytesMut};
use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, LOCATION};
use hyper::{StatusCode, header};

/// The maximum size of a response header.
pub(crate) const MAX_HEADER: usize = 128 * 1024;

/// A response header.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    /// The reason phrase, if the application sent one.
    pub(crate) reason: Option<Bytes>,
    /// Whether there was a `Status` field.
    pub(crate) explicit_status: bool,
    pub(crate) fields: HeaderMap,
    pub(crate) content_length: Option<u64>,
    /// As the application sent it, including the empty line.
    pub(crate) raw: Bytes,
}

impl Head {
    /// The target of a local redirect (section 6.2.2): the path and query of another resource of
    /// this server, whose response replaces this one.
    pub(crate) fn local_redirect(&self) -> Option<&str> {
        if self.explicit_status {
            return None;
        }
        let location = self.fields.get(LOCATION)?.to_str().ok()?;
        (location.starts_with('/') && !location.starts_with("//")).then_some(location)
    }
}

/// Why a response header is invalid.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum HeadError {
    TooLong,
    NonParsed,
    Empty,
    Line(String),
    Status(String),
    Length(String),
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(
                f,
                "the application's response header is larger than {MAX_HEADER} bytes"
            ),
            Self::NonParsed => f.write_str(
                "the application's response starts with an HTTP status line, which is only for \
                 non-parsed-header programs; it takes a 'Status:' field",
            ),
            Self::Empty => f.write_str("the application's response header has no field"),
            Self::Line(line) => write!(
                f,
                "the application's response header has an invalid line: {line}"
            ),
            Self::Status(value) => write!(
                f,
                "the application's response has Status {value}, which is not a final HTTP status"
            ),
            Self::Length(value) => write!(
                f,
                "the application's response has Content-Length {value}, which is no length or \
                 not the only one"
            ),
        }
    }
}

/// Collects a header up to its empty line.
#[derive(Debug, Default)]
pub(crate) struct HeadReader {
    buffer: BytesMut,
    /// Start of the first line that may be incomplete.
    line: usize,
}

impl HeadReader {
    /// Adds the next bytes. Once the header is complete, returns it and the bytes that follow it.
    ///
    /// # Errors
    /// The header is invalid. The reader cannot be used further.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Option<(Head, Bytes)>, HeadError> {
        let mut searched = self.buffer.len();
        self.buffer.extend_from_slice(bytes);
        while let Some(offset) = self.buffer[searched..]
            .iter()
            .position(|&byte| byte == b'\n')
        {
            let end = searched + offset + 1;
            if end > MAX_HEADER {
                return Err(HeadError::TooLong);
            }
            let is_empty = trim_end(&self.buffer[self.line..end]).is_empty();
            self.line = end;
            searched = end;
            if is_empty {
                let raw = self.buffer.split_to(end).freeze();
                return Ok(Some((parse(raw)?, self.buffer.split().freeze())));
            }
        }
        if self.buffer.len() > MAX_HEADER {
            return Err(HeadError::TooLong);
        }
        Ok(None)
    }

    /// Whether no byte has arrived yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

fn parse(raw: Bytes) -> Result<Head, HeadError> {
    let mut fields = HeaderMap::new();
    let mut status = None;
    let mut content_length = None;
    for line in raw.split(|&byte| byte == b'\n') {
        let line = trim_end(line);
        if line.is_empty() {
            continue;
        }
        if line.starts_with(b"HTTP/") && fields.is_empty() && status.is_none() {
            return Err(HeadError::NonParsed);
        }
        let bad = || HeadError::Line(shown(line));
        let colon = line.iter().position(|&byte| byte == b':').ok_or_else(bad)?;
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let name = HeaderName::from_bytes(name.trim_ascii_end()).map_err(|_| bad())?;
        if name.as_str() == "status" {
            status = Some(parse_status(value)?);
            continue;
        }
        if name == CONTENT_LENGTH {
            let length = parse_length(value)?;
            if content_length.is_some_and(|other| other != length) {
                return Err(HeadError::Length(shown(value)));
            }
            content_length = Some(length);
            fields.insert(name, HeaderValue::from(length));
            continue;
        }
        if is_connections_own(&name) {
            continue;
        }
        let value = HeaderValue::from_bytes(value).map_err(|_| bad())?;
        fields
            .try_append(name, value)
            .map_err(|_| HeadError::TooLong)?;
    }
    if fields.is_empty() && status.is_none() {
        return Err(HeadError::Empty);
    }
    let explicit_status = status.is_some();
    let (status, reason) = status.unwrap_or_else(|| {
        let redirects = fields.contains_key(LOCATION);
        (
            if redirects {
                StatusCode::FOUND
            } else {
                StatusCode::OK
            },
            None,
        )
    });
    Ok(Head {
        status,
        reason,
        explicit_status,
        fields,
        content_length,
        raw,
    })
}

fn parse_status(value: &[u8]) -> Result<(StatusCode, Option<Bytes>), HeadError> {
    let bad = || HeadError::Status(shown(value));
    let (digits, words) = value.split_at_checked(3).ok_or_else(bad)?;
    if words
        .first()
        .is_some_and(|byte| !byte.is_ascii_whitespace())
    {
        return Err(bad());
    }
    let status = StatusCode::from_bytes(digits).map_err(|_| bad())?;
    // A CGI response is final by definition. After 100 or 103 the client would wait for another
    // response.
    if status.is_informational() || status.as_u16() > 599 {
        return Err(bad());
    }
    let words = words.trim_ascii();
    let reason = (!words.is_empty()).then(|| Bytes::copy_from_slice(words));
    Ok((status, reason))
}

fn parse_length(value: &[u8]) -> Result<u64, HeadError> {
    let digits = std::str::from_utf8(value)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| HeadError::Length(shown(value)))
}

/// Fields about the HTTP connection, which is up to the gateway, not the application.
fn is_connections_own(name: &HeaderName) -> bool {
    [
        header::CONNECTION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ]
    .contains(name)
        || ["keep-alive", "proxy-connection"].contains(&name.as_str())
}

fn trim_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Bytes of an application for a message: quoted and truncated.
fn shown(bytes: &[u8]) -> String {
    const MOST: usize = 80;
    let start = bytes.get(..MOST).unwrap_or(bytes);
    let dots = if start.len() < bytes.len() { "…" } else { "" };
    format!("'{}{dots}'", start.escape_ascii())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8]) -> Result<(Head, Bytes), HeadError> {
        match HeadReader::default().push(text) {
            Ok(Some(found)) => Ok(found),
            Ok(None) => panic!("incomplete: {}", text.escape_ascii()),
            Err(error) => Err(error),
        }
    }

    #[test]
    fn both_line_ends_and_any_status_are_understood() {
        for text in [
            &b"Status: 404 Gone fishing\r\nX-A: 1\r\n\r\nrest"[..],
            b"Status: 404 Gone fishing\nX-A:1\n\nrest",
            b"X-A: 1\nstatus:404 Gone fishing \r\n\nrest",
        ] {
            let (head, rest) = read(text).unwrap();
            assert_eq!(head.status, 404);
            assert_eq!(head.reason.as_deref(), Some(&b"Gone fishing"[..]));
            assert_eq!(head.fields["x-a"], "1");
            assert_eq!(&rest[..], b"rest");
        }
    }

    #[test]
    fn a_location_decides_the_status_only_when_there_is_none() {
        let head = |text: &str| read(text.as_bytes()).unwrap().0;
        let local = head("Location: /there?x=1\n\n");
        assert_eq!(local.local_redirect(), Some("/there?x=1"));
        for (text, status) in [
            ("Location: http://example.org/\n\n", 302),
            ("Location: //example.org/\n\n", 302),
            ("Status: 301\nLocation: /there\n\n", 301),
            ("Location: /there\nStatus: 201 Created\n\n", 201),
        ] {
            assert_eq!(head(text).status, status, "{text}");
            assert_eq!(head(text).local_redirect(), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_header_is_refused_by_name() {
        for (text, word) in [
            ("HTTP/1.1 200 OK\n\n", "Status:"),
            ("\nbody", "no field"),
            ("no colon\n\n", "'no colon'"),
            (" folded: 1\n\n", "folded"),
            ("X: a\0b\n\n", "a\\x00b"),
            ("Status: 20\n\n", "'20'"),
            ("Status: 2000\n\n", "'2000'"),
            ("Status: 103 Early Hints\n\n", "'103 Early Hints'"),
            ("Content-Length: -1\n\n", "'-1'"),
            ("Content-Length: 1\nContent-Length: 2\n\n", "'2'"),
        ] {
            let error = read(text.as_bytes()).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn a_header_without_end_and_one_of_tiny_fields_stay_bounded() {
        let mut reader = HeadReader::default();
        let error = (0..200).find_map(|_| reader.push(&[b'x'; 1000]).err());
        assert_eq!(error, Some(HeadError::TooLong));
        let letter = |number: usize| char::from(b'a' + (number % 26) as u8);
        let mut tiny: Vec<u8> = (0..MAX_HEADER / 6)
            .flat_map(|n| format!("{n:04x}:\n").into_bytes())
            .collect();
        tiny.push(b'\n');
        assert!(read(&tiny).is_ok());
        let mut tiny: Vec<u8> = (0..26 * 26 * 26)
            .flat_map(|n| [letter(n / 676), letter(n / 26), letter(n), ':', '\n'])
            .map(|letter| letter as u8)
            .collect();
        tiny.extend((0..10_000).flat_map(|n| format!("{n:x}:\n").into_bytes()));
        tiny.push(b'\n');
        assert_eq!(read(&tiny).map(|_| ()), Err(HeadError::TooLong));
    }

    proptest! {
        #[test]
        fn any_split_of_any_bytes_reads_the_same(
            text in "([XS:\r\n]|Status:|a|200|Location:|/){0,40}",
            noise in prop::collection::vec(any::<u8>(), 0..60),
            size in 1usize..9,
        ) {
            let bytes = [text.as_bytes(), &noise].concat();
            let mut reader = HeadReader::default();
            let mut split = None;
            let mut consumed = 0;
            for piece in bytes.chunks(size) {
                consumed += piece.len();
                match reader.push(piece) {
                    Ok(None) => {}
                    Ok(Some((head, rest))) => {
                        split = Some(Ok((head.raw, consumed - rest.len())));
                        break;
                    }
                    Err(error) => {
                        split = Some(Err(error));
                        break;
                    }
                }
            }
            let whole = HeadReader::default().push(&bytes);
            let whole = whole
                .map(|found| found.map(|(head, rest)| (head.raw, bytes.len() - rest.len())))
                .transpose();
            prop_assert_eq!(split, whole);
        }
    }
}
