//! The request that every client sends, encoded once.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use fcgipm::wire::{BeginRequest, HEADER_LEN, RecordType, Role};
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Uri, Version};

use crate::cgi::variables::{Mapping, Subject, Variables};
use crate::fastcgi::records;
use crate::fastcgi::records::MAX_BODY_RECORD;

/// The encoded request.
#[derive(Debug)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    /// The length of the first of two segments.
    middle: usize,
}

/// The properties of the request.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) mapping: &'a Mapping,
    /// The number of parameters, if it was given.
    pub(crate) parameters: Option<usize>,
    pub(crate) body: Option<&'a Body>,
    pub(crate) keep: bool,
}

/// The body of every request.
#[derive(Debug)]
pub(crate) enum Body {
    /// This number of bytes, which repeat the values 0 to 250, so that lost or repeated bytes show.
    Counting(u64),
    Content(Vec<u8>),
}

/// The default number of parameters: as many as nginx sends for a browser.
const USUAL_PARAMETERS: usize = 28;

/// Header fields of a browser. As many are sent as the number of parameters requires.
const FIELDS: [(&str, &str); 13] = [
    ("host", "localhost"),
    ("user-agent", concat!("fcgipm/", env!("CARGO_PKG_VERSION"))),
    (
        "accept",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    ),
    ("accept-language", "en-GB,en;q=0.7,de;q=0.3"),
    ("accept-encoding", "gzip, deflate, br"),
    ("connection", "keep-alive"),
    (
        "cookie",
        "session=5d41402abc4b2a76b9719d911017c592; theme=light",
    ),
    ("referer", "http://localhost/"),
    ("cache-control", "max-age=0"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-site", "same-origin"),
    ("priority", "u=0, i"),
];

impl Request {
    /// # Errors
    /// The options contradict each other.
    pub(crate) fn new(question: &Question<'_>) -> Result<Self, String> {
        let variables = question.variables()?;
        let mut bytes = records::request_head(Role::Responder, question.keep, &variables);
        // Inside the content of the first PARAMS record, so that the reader has to wait for the
        // rest.
        let content = HEADER_LEN + BeginRequest::LEN + HEADER_LEN;
        let middle = content + (bytes.len() - content) / 2;
        append_body(question.body, &mut bytes);
        Ok(Self { bytes, middle })
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) const fn middle(&self) -> usize {
        self.middle
    }

    /// A range of the bytes.
    pub(crate) fn piece(&self, from: usize, to: usize) -> &[u8] {
        self.bytes.get(from..to).unwrap_or_default()
    }
}

impl Question<'_> {
    fn variables(&self) -> Result<Variables, String> {
        let wanted = self.parameters.unwrap_or(USUAL_PARAMETERS);
        let mut headers = HeaderMap::new();
        if self.body.is_some() {
            let kind = HeaderValue::from_static("application/octet-stream");
            headers.insert(CONTENT_TYPE, kind);
        }
        let least = self.mapped(&headers)?.len();
        if least > wanted && self.parameters.is_some() {
            return Err(format!(
                "--params {wanted}: this request needs at least {least} parameters"
            ));
        }
        let mut fields = FIELDS.iter();
        let mut filler = 0;
        let mut variables = self.mapped(&headers)?;
        while variables.len() < wanted {
            let (name, value) = match fields.next() {
                Some(&(name, value)) => (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                ),
                None => {
                    filler += 1;
                    let name = format!("x-load-{filler}");
                    let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
                    (name, HeaderValue::from_static("a value of usual length"))
                }
            };
            // A --param may replace it, so the number may stay the same.
            headers.insert(name, value);
            if filler == 0 || headers.len() >= wanted - least {
                variables = self.mapped(&headers)?;
            }
        }
        Ok(variables)
    }

    fn mapped(&self, headers: &HeaderMap) -> Result<Variables, String> {
        let nowhere = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        let subject = Subject {
            role: Role::Responder,
            method: self.method,
            uri: self.uri,
            version: Version::HTTP_11,
            headers,
            content_length: self.body.map(Body::len),
            remote: nowhere(50_000),
            local: nowhere(80),
        };
        let mapped = self.mapping.variables(&subject);
        mapped.map_err(|unmapped| format!("--uri: {}", unmapped.reason))
    }
}

impl Body {
    fn len(&self) -> u64 {
        match self {
            Self::Counting(length) => *length,
            Self::Content(content) => content.len() as u64,
        }
    }
}

/// The STDIN stream.
fn append_body(body: Option<&Body>, bytes: &mut Vec<u8>) {
    match body {
        None => {}
        Some(Body::Content(content)) => {
            for piece in content.chunks(MAX_BODY_RECORD) {
                records::append(RecordType::Stdin, piece, bytes);
            }
        }
        Some(&Body::Counting(length)) => {
            let mut content = (0..=250u8).cycle();
            let mut left = length;
            while left > 0 {
                let size = left.min(MAX_BODY_RECORD as u64);
                let piece: Vec<u8> = content
                    .by_ref()
                    .take(usize::try_from(size).unwrap_or(MAX_BODY_RECORD))
                    .collect();
                records::append(RecordType::Stdin, &piece, bytes);
                left -= size;
            }
        }
    }
    records::append(RecordType::Stdin, &[], bytes);
}
