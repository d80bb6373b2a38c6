//! An HTTP client with one connection, which it keeps as long as the server does.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use crate::process::LIMIT;

/// More than any answer has.
const HEADERS_MAX: usize = 512;

/// A body of this size fits into the buffers of the socket, even if the server does not read it.
const SENT_FIRST: usize = 16 * 1024;

pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    kept: bool,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream: BufReader::with_capacity(64 * 1024, stream),
            kept: true,
        }
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.request("GET", path, &[])
    }

    pub(crate) fn head(&mut self, path: &str) -> Answer {
        self.request("HEAD", path, &[])
    }

    pub(crate) fn post(&mut self, path: &str, body: &[u8]) -> Answer {
        self.request("POST", path, body)
    }

    /// Sends a request, and reads the complete answer, whose status must be 200.
    pub(crate) fn request(&mut self, method: &str, path: &str, body: &[u8]) -> Answer {
        let answer = self
            .exchange(method, path, body)
            .unwrap_or_else(|error| panic!("{method} {path} with {} bytes: {error}", body.len()));
        assert_eq!(
            answer.status,
            200,
            "{method} {path} with {} bytes: {}",
            body.len(),
            String::from_utf8_lossy(&answer.body)
        );
        answer
    }

    /// Sends a request with a Content-Length, and only a part of its body.
    pub(crate) fn send_part(&mut self, path: &str, length: usize, part: &[u8]) {
        let stream = self.stream.get_mut();
        stream.write_all(&head("POST", path, length)).unwrap();
        stream.write_all(part).unwrap();
    }

    /// Requests a page, and reads only this many bytes of the answer.
    pub(crate) fn get_part(&mut self, path: &str, length: usize) {
        let stream = self.stream.get_mut();
        stream.write_all(&head("GET", path, 0)).unwrap();
        self.stream.read_exact(&mut vec![0; length]).unwrap();
    }

    fn exchange(&mut self, method: &str, path: &str, body: &[u8]) -> io::Result<Answer> {
        assert!(self.kept, "the server has closed this connection");
        let mut sending = self.stream.get_ref().try_clone()?;
        let mut message = head(method, path, body.len());
        if body.len() <= SENT_FIRST {
            message.extend_from_slice(body);
            sending.write_all(&message)?;
            return self.answer(method);
        }
        thread::scope(|scope| {
            // The answer may arrive, and the connection be closed, before the body is sent.
            scope.spawn(move || {
                sending
                    .write_all(&message)
                    .and_then(|()| sending.write_all(body))
            });
            self.answer(method)
        })
    }

    fn answer(&mut self, method: &str) -> io::Result<Answer> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if self.stream.read_until(b'\n', &mut head)? == 0 {
                return Err(invalid(format!(
                    "the connection was closed in the head of the answer, after {} bytes",
                    head.len()
                )));
            }
        }
        let mut fields = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut parsed = httparse::Response::new(&mut fields);
        parsed
            .parse(&head)
            .map_err(|error| invalid(error.to_string()))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut answer = Answer {
            status: parsed.code.unwrap_or_default(),
            headers: parsed
                .headers
                .iter()
                .map(|field| (field.name.to_ascii_lowercase(), text(field.value)))
                .collect(),
            body: Vec::new(),
        };
        self.kept = answer.header("connection") != Some("close");
        if method == "HEAD" {
            return Ok(answer);
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            self.read_chunks(&mut answer.body)?;
        } else if let Some(length) = answer.header("content-length") {
            let length = length.parse().map_err(|_| invalid("bad length".into()))?;
            self.read_bytes(length, &mut answer.body)?;
        } else {
            self.kept = false;
            self.stream.read_to_end(&mut answer.body)?;
        }
        Ok(answer)
    }

    fn read_chunks(&mut self, body: &mut Vec<u8>) -> io::Result<()> {
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim_end(), 16).map_err(|_| {
                invalid(format!(
                    "after {} bytes, bad chunk size '{line}'",
                    body.len()
                ))
            })?;
            self.read_bytes(size, body)?;
            self.stream.read_exact(&mut [0; 2])?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn read_bytes(&mut self, count: usize, body: &mut Vec<u8>) -> io::Result<()> {
        let before = body.len();
        body.resize(before + count, 0);
        let mut at = before;
        while at < body.len() {
            match self.stream.read(&mut body[at..]) {
                Ok(0) => {
                    return Err(invalid(format!(
                        "{at} bytes, then the connection was closed"
                    )));
                }
                Ok(read) => at += read,
                Err(error) => return Err(invalid(format!("{at} bytes, then {error}"))),
            }
        }
        Ok(())
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut all = self.headers.iter();
        all.find(|(its, _)| its == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

fn head(method: &str, path: &str, length: usize) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
    if length > 0 || method == "POST" {
        let _ = write!(
            head,
            "Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n"
        );
    }
    head.push_str("\r\n");
    head.into_bytes()
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
