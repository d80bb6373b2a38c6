//! A web server's connection to an application.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use super::records::{END, ID, Record, Request, Response, STDERR, STDOUT};

/// The maximum time to wait for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);

#[derive(Clone, Debug)]
pub(crate) enum Address {
    Unix(PathBuf),
    Tcp(SocketAddr),
}

#[derive(Debug)]
enum Socket {
    Unix(UnixStream),
    Tcp(TcpStream),
}

#[derive(Debug)]
pub(crate) struct Connection {
    socket: Socket,
    received: Vec<u8>,
}

impl Address {
    /// The address in the syntax of OpenSocket.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Unix(path) => path.to_str().unwrap().to_owned(),
            Self::Tcp(address) => address.to_string(),
        }
    }

    /// Whether a connection is refused, or not accepted in time.
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Unix(path) => UnixStream::connect(path).is_err(),
            Self::Tcp(address) => {
                TcpStream::connect_timeout(address, Duration::from_millis(100)).is_err()
            }
        }
    }

    /// Removes the folder of the socket, for a test that has created it.
    pub(crate) fn remove(&self) {
        if let Self::Unix(path) = self {
            if let Some(folder) = path.parent() {
                let _ = std::fs::remove_dir_all(folder);
            }
        }
    }

    pub(crate) fn connect(&self) -> Connection {
        self.try_connect()
            .unwrap_or_else(|error| panic!("connect to {self:?}: {error}"))
    }

    pub(crate) fn try_connect(&self) -> std::io::Result<Connection> {
        let socket = match self {
            Self::Unix(path) => {
                let socket = UnixStream::connect(path)?;
                socket.set_read_timeout(Some(LIMIT))?;
                socket.set_write_timeout(Some(LIMIT))?;
                Socket::Unix(socket)
            }
            Self::Tcp(address) => {
                let socket = TcpStream::connect(address)?;
                socket.set_read_timeout(Some(LIMIT))?;
                socket.set_write_timeout(Some(LIMIT))?;
                socket.set_nodelay(true)?;
                Socket::Tcp(socket)
            }
        };
        Ok(Connection {
            socket,
            received: Vec::new(),
        })
    }

    /// Sends a request on a new connection, which the program must close after the response.
    pub(crate) fn call(&self, request: &Request) -> Response {
        let mut connection = self.connect();
        connection.send(&request.bytes());
        let response = connection.response();
        connection.assert_closed();
        response
    }
}

impl Connection {
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes)
            .unwrap_or_else(|error| panic!("send: {error}"));
    }

    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.socket {
            Socket::Unix(socket) => socket.write_all(bytes),
            Socket::Tcp(socket) => socket.write_all(bytes),
        }
    }

    /// Sends in pieces until the program closes the connection.
    pub(crate) fn try_send_in(&mut self, bytes: &[u8], piece: usize) {
        let _ = bytes
            .chunks(piece)
            .try_for_each(|piece| self.try_send(piece));
    }

    pub(crate) fn send_in(&mut self, bytes: &[u8], piece: usize) {
        bytes.chunks(piece).for_each(|piece| self.send(piece));
    }

    /// Shuts down the sending side.
    pub(crate) fn end(&self) {
        let _ = match &self.socket {
            Socket::Unix(socket) => socket.shutdown(Shutdown::Write),
            Socket::Tcp(socket) => socket.shutdown(Shutdown::Write),
        };
    }

    /// Closes a TCP connection so that its peer gets a reset.
    pub(crate) fn reset(self) {
        use nix::sys::socket::{setsockopt, sockopt};
        let immediately = nix::libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        setsockopt(&self, sockopt::Linger, &immediately).unwrap();
    }

    fn receive(&mut self) -> std::io::Result<usize> {
        let mut buffer = [0; 65_536];
        let count = loop {
            let count = match &mut self.socket {
                Socket::Unix(socket) => socket.read(&mut buffer),
                Socket::Tcp(socket) => socket.read(&mut buffer),
            };
            match count {
                // A read with a timeout is interrupted when this process is stopped and continued
                // (signal(7)).
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                count => break count?,
            }
        };
        self.received.extend_from_slice(&buffer[..count]);
        Ok(count)
    }

    /// The next record; `None` at the end of the connection.
    pub(crate) fn try_record(&mut self) -> std::io::Result<Option<Record>> {
        loop {
            if let Some(header) = self.received.first_chunk::<8>() {
                let [version, kind, id1, id0, len1, len0, padding, reserved] = *header;
                assert_eq!(
                    (version, reserved),
                    (1, 0),
                    "a header of version 1 with reserved bytes of zero"
                );
                let content = usize::from(u16::from_be_bytes([len1, len0]));
                let whole = 8 + content + usize::from(padding);
                if self.received.len() >= whole {
                    let bytes: Vec<u8> = self.received.drain(..whole).collect();
                    return Ok(Some(Record {
                        kind,
                        id: u16::from_be_bytes([id1, id0]),
                        content: bytes[8..8 + content].to_vec(),
                        padding: usize::from(padding),
                    }));
                }
            }
            if self.receive()? == 0 {
                assert!(
                    self.received.is_empty(),
                    "half a record: {:?}",
                    self.received
                );
                return Ok(None);
            }
        }
    }

    pub(crate) fn record(&mut self) -> Record {
        match self.try_record() {
            Ok(Some(record)) => record,
            other => panic!("a record was expected: {other:?}"),
        }
    }

    /// The records of the request with the usual id, up to END_REQUEST.
    pub(crate) fn response(&mut self) -> Response {
        self.response_to(ID)
    }

    pub(crate) fn response_to(&mut self, id: u16) -> Response {
        self.try_response_to(id)
            .unwrap_or_else(|error| panic!("a response was expected: {error}"))
    }

    pub(crate) fn try_response_to(&mut self, id: u16) -> std::io::Result<Response> {
        let mut response = Response {
            stdout: Vec::new(),
            stderr: Vec::new(),
            app_status: 0,
            protocol_status: 0,
            records: Vec::new(),
        };
        loop {
            let record = self.try_record()?.ok_or(ErrorKind::UnexpectedEof)?;
            assert_eq!(record.id, id, "a record of the request: {record:?}");
            match record.kind {
                STDOUT => response.stdout.extend_from_slice(&record.content),
                STDERR => response.stderr.extend_from_slice(&record.content),
                END => {
                    let [s3, s2, s1, s0, protocol, ref reserved @ ..] = record.content[..] else {
                        panic!("END_REQUEST of {} bytes", record.content.len());
                    };
                    assert_eq!(*reserved, [0; 3], "reserved bytes are zero");
                    response.app_status = u32::from_be_bytes([s3, s2, s1, s0]);
                    response.protocol_status = protocol;
                    response.records.push(record);
                    return Ok(response);
                }
                other => panic!("a record of type {other} in a response"),
            }
            response.records.push(record);
        }
    }

    /// Sends a request, and reads its response.
    pub(crate) fn call(&mut self, request: &Request) -> Response {
        self.send(&request.bytes());
        self.response_to(request.id)
    }

    /// Waits until the connection is closed, with no data before that.
    pub(crate) fn assert_closed(&mut self) {
        match self.try_record() {
            Ok(None) => {}
            // The kernel resets a connection that is closed with unread data.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("the end of the connection was expected: {other:?}"),
        }
    }

    /// Returns all data until the connection is closed.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        self.drain();
        std::mem::take(&mut self.received)
    }

    /// Discards all data until the connection is closed.
    pub(crate) fn drain(&mut self) {
        while matches!(self.receive(), Ok(count) if count > 0) {}
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Unix(socket) => socket.as_fd(),
            Socket::Tcp(socket) => socket.as_fd(),
        }
    }
}
