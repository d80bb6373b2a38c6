//! A FastCGI application whose behaviour each test defines, down to single bytes.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::thread;

use fcgipm::wire::{BeginRequest, EndRequest, HEADER_LEN, Header, Pairs, RecordType};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, socket};

/// A connected socket of either family.
trait Socket: Read + Write + Send {
    fn disconnect(&self);
}

impl Socket for TcpStream {
    fn disconnect(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

impl Socket for UnixStream {
    fn disconnect(&self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

/// The listening application. It ends with the process of the test.
pub(crate) struct Application {
    pub(crate) address: String,
}

impl Application {
    /// Runs `serve` for every connection on a new thread.
    pub(crate) fn start(serve: impl Fn(Conversation) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        Self::tcp(listener, serve);
        Self { address }
    }

    /// The same, on an existing listening socket.
    pub(crate) fn tcp(listener: TcpListener, serve: impl Fn(Conversation) + Send + Sync + 'static) {
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                stream.set_nodelay(true).unwrap();
                let serve = Arc::clone(&serve);
                let stream = Box::new(stream);
                thread::spawn(move || serve(Conversation { stream, id: 1 }));
            }
        });
    }

    /// Runs `serve` for every connection of a unix socket, one after another.
    pub(crate) fn unix(
        listener: UnixListener,
        serve: impl Fn(Conversation) + Send + Sync + 'static,
    ) {
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = Box::new(stream.unwrap());
                serve(Conversation { stream, id: 1 });
            }
        });
    }

    /// Answers every request on every connection with what `answer` returns.
    pub(crate) fn answering(
        answer: impl Fn(&Request, &mut Conversation) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        Self::start(move |mut conversation| {
            while let Some(request) = conversation.request() {
                let output = answer(&request, &mut conversation);
                conversation.stdout(&output);
                conversation.end(0);
                if !request.keep {
                    break;
                }
            }
        })
    }

    /// An address on which no process listens.
    pub(crate) fn closed_address() -> String {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, Self::taken_port()).to_string()
    }

    /// A port of 127.0.0.1 that is bound, so that no process can listen on it.
    pub(crate) fn taken_port() -> u16 {
        let (family, flags) = (AddressFamily::Inet, SockFlag::SOCK_CLOEXEC);
        let fd = socket(family, SockType::Stream, flags, None).unwrap();
        bind(fd.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
        let name: SockaddrIn = getsockname(fd.as_raw_fd()).unwrap();
        // Kept to the end of the process.
        std::mem::forget(fd);
        name.port()
    }
}

/// A request up to the end of its parameters.
pub(crate) struct Request {
    pub(crate) role: u16,
    pub(crate) keep: bool,
    pub(crate) params: BTreeMap<String, String>,
}

impl Request {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(String::as_str)
    }
}

/// One connection.
pub(crate) struct Conversation {
    stream: Box<dyn Socket>,
    id: u16,
}

impl Conversation {
    /// The next record, or `None` at the end of the connection.
    pub(crate) fn record(&mut self) -> Option<(RecordType, Vec<u8>)> {
        let mut bytes = [0; HEADER_LEN];
        self.stream.read_exact(&mut bytes).ok()?;
        let header = Header::decode(bytes);
        assert_eq!(header.version, 1);
        let mut content = vec![0; usize::from(header.content_length)];
        self.stream.read_exact(&mut content).ok()?;
        let mut padding = vec![0; usize::from(header.padding_length)];
        self.stream.read_exact(&mut padding).ok()?;
        self.id = header.request_id;
        Some((header.kind, content))
    }

    /// The next request, up to the end of its parameters.
    pub(crate) fn request(&mut self) -> Option<Request> {
        let (kind, content) = self.record()?;
        assert_eq!(kind, RecordType::BeginRequest);
        let begin = BeginRequest::decode(content.try_into().unwrap());
        let mut bytes = Vec::new();
        loop {
            let (kind, content) = self.record()?;
            assert_eq!(kind, RecordType::Params);
            if content.is_empty() {
                break;
            }
            bytes.extend(content);
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut params = BTreeMap::new();
        for pair in Pairs::new(&bytes) {
            let (name, value) = pair.unwrap();
            let before = params.insert(text(name), text(value));
            assert_eq!(before, None, "{} came twice", text(name));
        }
        Some(Request {
            role: begin.role,
            keep: begin.keep_connection,
            params,
        })
    }

    /// A complete input stream. Its records must not be too large for any application.
    pub(crate) fn input(&mut self, kind: RecordType) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            let (found, content) = self.record().expect("no end of the stream");
            assert_eq!(found, kind);
            assert!(content.len() <= 64 * 1024);
            if content.is_empty() {
                return bytes;
            }
            bytes.extend(content);
        }
    }

    pub(crate) fn stdin(&mut self) -> Vec<u8> {
        self.input(RecordType::Stdin)
    }

    /// Sends output in records of the maximum size.
    pub(crate) fn stdout(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(65_528) {
            self.write(RecordType::Stdout, piece);
        }
    }

    /// Sends one record.
    pub(crate) fn write(&mut self, kind: RecordType, content: &[u8]) {
        let header = Header::new(kind, self.id, content.len() as u16);
        let mut bytes = header.encode().to_vec();
        bytes.extend(content);
        bytes.resize(bytes.len() + usize::from(header.padding_length), 0);
        self.raw(&bytes);
    }

    pub(crate) fn end(&mut self, app_status: u32) {
        self.refuse(app_status, 0);
    }

    pub(crate) fn refuse(&mut self, app_status: u32, protocol_status: u8) {
        let end = EndRequest {
            app_status,
            protocol_status,
        };
        self.write(RecordType::EndRequest, &end.encode());
    }

    /// Sends any bytes, and ignores errors.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Shuts down the sending side, so that the peer sees an end instead of a reset.
    pub(crate) fn disconnect(&self) {
        self.stream.disconnect();
    }

    /// Reads until the peer closes or resets the connection. Returns whether it sent ABORT_REQUEST.
    pub(crate) fn wait_for_end(&mut self) -> bool {
        let mut aborted = false;
        while let Some((kind, _)) = self.record() {
            aborted |= kind == RecordType::AbortRequest;
        }
        aborted
    }
}
