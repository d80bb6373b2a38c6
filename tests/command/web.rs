//! A simple HTTP client that shows the complete response.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;

use crate::process::{LIMIT, drain};

/// A response, read until the server closes the connection.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Whether the body is complete by its framing.
    pub(crate) complete: bool,
}

impl Response {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    }
}

pub(crate) fn connect(http: &str) -> TcpStream {
    let stream = TcpStream::connect(http).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream
}

pub(crate) fn get(http: &str, path: &str) -> Response {
    request(http, "GET", path, &[], b"")
}

/// Sends a request, with a body of known length unless it is empty.
pub(crate) fn request(
    http: &str,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &[u8],
) -> Response {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n");
    for header in headers {
        head += &format!("{header}\r\n");
    }
    if !body.is_empty() {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    send(http, &[format!("{head}\r\n").as_bytes(), body].concat())
}

/// Sends bytes, and reads the response at the same time.
pub(crate) fn send(http: &str, bytes: &[u8]) -> Response {
    let stream = connect(http);
    let mut sender = stream.try_clone().unwrap();
    thread::scope(|scope| {
        // A server that answers early may stop reading.
        scope.spawn(move || drop(sender.write_all(bytes)));
        let method = bytes.split(|&byte| byte == b' ').next().unwrap();
        parse(&drain(stream), method == b"HEAD")
    })
}

/// The same, for a server that keeps the connection: the response ends where its length says.
pub(crate) fn exchange(http: &str, bytes: &[u8]) -> Response {
    let mut stream = connect(http);
    stream.write_all(bytes).unwrap();
    let mut received = Vec::new();
    let mut buffer = [0; 16_384];
    loop {
        let length = stream.read(&mut buffer).unwrap();
        received.extend(&buffer[..length]);
        let has_head = received.windows(4).any(|window| window == b"\r\n\r\n");
        if length == 0 || has_head && parse(&received, false).complete {
            return parse(&received, false);
        }
    }
}

pub(crate) fn parse(bytes: &[u8], is_head: bool) -> Response {
    let end = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap_or_else(|| panic!("no response: {:?}", bytes.escape_ascii().to_string()));
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let rest = &bytes[end + 4..];
    let status = head[9..12].parse().unwrap();
    if status == 100 {
        return parse(rest, is_head);
    }
    let mut response = Response {
        status,
        head,
        body: Vec::new(),
        complete: true,
    };
    let length: Option<usize> = response
        .header("content-length")
        .first()
        .map(|length| length.parse().unwrap());
    if response.header("transfer-encoding") == ["chunked"] {
        (response.body, response.complete) = unchunk(rest);
    } else {
        response.body = rest.to_vec();
        response.complete = is_head || length.is_none_or(|length| length == rest.len());
    }
    response
}

fn unchunk(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&bytes[..end]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        bytes = &bytes[end + 2..];
        if size == 0 {
            return (body, bytes == b"\r\n");
        }
        let Some(chunk) = bytes.get(..size) else {
            body.extend(bytes);
            break;
        };
        body.extend(chunk);
        bytes = bytes.get(size + 2..).unwrap_or_default();
    }
    (body, false)
}
