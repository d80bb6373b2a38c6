//! A FastCGI client: one request on one connection, body and response at the same time.
//!
//! [`start`] gives a request to a task of its own and returns what comes back as [`Event`]s. The
//! last event is `Done` or `Failed`. Dropping the receiver aborts the request. Nothing is read from
//! the application while nobody takes the events, and nothing is taken from the body while the
//! application does not: no direction grows memory.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use fcgipm::wire::{EndRequest, HEADER_LEN, Header, ProtocolStatus, RecordType, Role};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::args::address::Address;
use crate::fastcgi::body::RequestBody;
use crate::fastcgi::records;
use crate::fastcgi::records::{Decoder, MAX_BODY_RECORD, REQUEST_ID, Said, Violation};
use crate::fastcgi::stream::Stream;

/// How much is read from the application at once.
const READ_SIZE: usize = 64 * 1024;

/// Events under way between the task and who takes them.
const EVENTS: usize = 2;

/// A connection to an application, on which requests run one after another.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    decoder: Decoder,
    reused: bool,
}

impl Connection {
    /// Connects, within a time limit.
    pub(crate) async fn open(address: &Address, limit: Duration) -> Result<Self, ConnectError> {
        match tokio::time::timeout(limit, Stream::connect(address)).await {
            Ok(Ok(stream)) => Ok(Self {
                stream,
                decoder: Decoder::new(),
                reused: false,
            }),
            Ok(Err(cause)) => Err(ConnectError::Refused {
                address: address.clone(),
                cause,
            }),
            Err(_) => Err(ConnectError::TimedOut {
                address: address.clone(),
                limit,
            }),
        }
    }

    /// Whether a request has run on it before.
    pub(crate) const fn is_reused(&self) -> bool {
        self.reused
    }

    /// Whether the idle application has left it open and silent, as far as is known by now.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let buffer = self.decoder.buffer();
        buffer.reserve(1);
        matches!(self.stream.try_read(buffer), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum ConnectError {
    Refused { address: Address, cause: io::Error },
    TimedOut { address: Address, limit: Duration },
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { address, cause } => write!(f, "cannot connect to {address}: {cause}"),
            Self::TimedOut { address, limit } => write!(
                f,
                "cannot connect to {address}: no answer within {} s",
                limit.as_secs_f64()
            ),
        }
    }
}

/// What an application is asked.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) role: Role,
    pub(crate) keep_connection: bool,
    pub(crate) variables: &'a [(Vec<u8>, Vec<u8>)],
    pub(crate) body: RequestBody,
    /// The second stream of a filter.
    pub(crate) data: RequestBody,
}

/// What comes back.
#[derive(Debug)]
pub(crate) enum Event {
    Stdout(Bytes),
    Stderr(Bytes),
    /// The application ended the request. The connection is there if it can carry another.
    Done(EndRequest, Option<Box<Connection>>),
    Failed(Box<Failure>),
}

/// A request that did not come to its end.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) cause: Cause,
    /// Whether any byte of an answer had arrived.
    pub(crate) answered: bool,
    /// The body, for another attempt.
    pub(crate) body: RequestBody,
}

/// Why a request did not come to its end.
#[derive(Debug)]
pub(crate) enum Cause {
    /// The application closed the connection before END_REQUEST.
    Closed,
    /// The connection broke.
    Broken(io::Error),
    /// The application broke the protocol.
    Protocol(Violation),
    /// The body could not be read to its end.
    Body(String),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the application closed the connection"),
            Self::Broken(error) => write!(f, "the connection to the application broke: {error}"),
            Self::Protocol(violation) => {
                write!(f, "the application broke the protocol: it sent {violation}")
            }
            Self::Body(reason) => write!(f, "the request's body broke off: {reason}"),
        }
    }
}

/// A refusal by END_REQUEST, if it is one.
pub(crate) fn refusal(end: EndRequest) -> Option<String> {
    let why = match ProtocolStatus::from_number(end.protocol_status) {
        Some(ProtocolStatus::RequestComplete) => return None,
        Some(ProtocolStatus::CantMultiplex) => "CANT_MPX_CONN".to_owned(),
        Some(ProtocolStatus::Overloaded) => "OVERLOADED".to_owned(),
        Some(ProtocolStatus::UnknownRole) => "UNKNOWN_ROLE".to_owned(),
        None => format!("protocol status {}", end.protocol_status),
    };
    Some(format!("the application refused the request: {why}"))
}

/// A request under way.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) events: mpsc::Receiver<Event>,
    pub(crate) progress: Arc<Progress>,
}

/// How the sending of a request gets on.
#[derive(Debug)]
pub(crate) struct Progress {
    last: Mutex<Instant>,
    awaits_client: AtomicBool,
    /// Whether the last record went out whole, so that another one may follow.
    at_boundary: AtomicBool,
}

impl Progress {
    fn new() -> Self {
        Self {
            last: Mutex::new(Instant::now()),
            awaits_client: AtomicBool::new(false),
            at_boundary: AtomicBool::new(true),
        }
    }

    /// When bytes last moved towards the application.
    pub(crate) fn last(&self) -> Instant {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the next bytes have to come from the HTTP client.
    pub(crate) fn awaits_client(&self) -> bool {
        self.awaits_client.load(Ordering::Relaxed)
    }

    fn moved(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// Starts a request on a connection.
pub(crate) fn start(connection: Connection, request: Request<'_>) -> Exchange {
    let (sender, events) = mpsc::channel(EVENTS);
    let progress = Arc::new(Progress::new());
    let head = records::request_head(request.role, request.keep_connection, request.variables);
    let task = Task {
        connection,
        role: request.role,
        keep_connection: request.keep_connection,
        body: request.body,
        data: request.data,
        progress: Arc::clone(&progress),
    };
    tokio::spawn(task.run(head, sender));
    Exchange { events, progress }
}

struct Task {
    connection: Connection,
    role: Role,
    keep_connection: bool,
    body: RequestBody,
    data: RequestBody,
    progress: Arc<Progress>,
}

/// How a task ended.
enum Outcome {
    Done(EndRequest),
    Failed(Cause),
    /// Nobody takes the events any more.
    Abandoned,
}

impl Task {
    async fn run(mut self, head: Vec<u8>, events: mpsc::Sender<Event>) {
        let mut answered = false;
        let mut sent = false;
        let outcome = {
            let Connection {
                stream, decoder, ..
            } = &mut self.connection;
            let upload = Upload {
                stream,
                progress: &self.progress,
            };
            let mut upload = pin!(upload.request(head, self.role, &mut self.body, &mut self.data));
            let mut download = pin!(receive(stream, decoder, &events, &mut answered));
            let mut ended = false;
            loop {
                tokio::select! {
                    biased;
                    () = events.closed() => break Outcome::Abandoned,
                    outcome = &mut download => break outcome,
                    result = &mut upload, if !ended => {
                        ended = true;
                        match result {
                            Ok(()) => sent = true,
                            // An application may answer without reading its input, and close:
                            // whether there is an answer shows in what it sent.
                            Err(Cause::Broken(_)) => {}
                            Err(cause) => break Outcome::Failed(cause),
                        }
                    }
                }
            }
        };
        let Self {
            mut connection,
            keep_connection,
            mut body,
            progress,
            ..
        } = self;
        // A failed send means that nobody waits for the result, which is fine.
        match outcome {
            Outcome::Done(end) => {
                let usable = keep_connection && sent && connection.decoder.is_at_rest();
                connection.reused = true;
                let connection = usable.then(|| Box::new(connection));
                let _ = events.send(Event::Done(end, connection)).await;
            }
            Outcome::Failed(cause) => {
                abort(&connection.stream, &progress);
                drop(connection);
                let failure = Failure {
                    cause,
                    answered,
                    body: std::mem::replace(&mut body, RequestBody::empty()),
                };
                if let Err(mpsc::error::SendError(Event::Failed(failure))) =
                    events.send(Event::Failed(Box::new(failure))).await
                {
                    body = failure.body;
                }
            }
            Outcome::Abandoned => {
                abort(&connection.stream, &progress);
                drop(connection);
            }
        }
        body.linger().await;
    }
}

/// Tells the application that its answer is not wanted; closing the connection says it again.
fn abort(stream: &Stream, progress: &Progress) {
    if progress.at_boundary.load(Ordering::Relaxed) {
        let header = Header::new(RecordType::AbortRequest, REQUEST_ID, 0).encode();
        let _ = stream.try_write(&[IoSlice::new(&header)]);
    }
}

struct Upload<'a> {
    stream: &'a Stream,
    progress: &'a Progress,
}

impl Upload<'_> {
    /// Sends all of a request.
    async fn request(
        &self,
        mut head: Vec<u8>,
        role: Role,
        body: &mut RequestBody,
        data: &mut RequestBody,
    ) -> Result<(), Cause> {
        // An authorizer has no input; an input known to be empty leaves with the head.
        let has_body = role != Role::Authorizer;
        let body_follows = has_body && !body.is_finished();
        if has_body && !body_follows {
            records::append(RecordType::Stdin, &[], &mut head);
        }
        self.write(&mut [IoSlice::new(&head)]).await?;
        drop(head);
        if body_follows {
            self.stream_of(RecordType::Stdin, body).await?;
        }
        if role == Role::Filter {
            self.stream_of(RecordType::Data, data).await?;
        }
        Ok(())
    }

    async fn stream_of(&self, kind: RecordType, body: &mut RequestBody) -> Result<(), Cause> {
        loop {
            self.progress
                .awaits_client
                .store(body.is_from_client(), Ordering::Relaxed);
            let next = body.next().await;
            self.progress.awaits_client.store(false, Ordering::Relaxed);
            self.progress.moved();
            match next.map_err(Cause::Body)? {
                Some(bytes) => {
                    for piece in bytes.chunks(MAX_BODY_RECORD) {
                        self.record(kind, piece).await?;
                    }
                }
                None => return self.record(kind, &[]).await,
            }
        }
    }

    async fn record(&self, kind: RecordType, content: &[u8]) -> Result<(), Cause> {
        const PADDING: [u8; 7] = [0; 7];
        let header = Header::new(kind, REQUEST_ID, content.len() as u16);
        let bytes: [u8; HEADER_LEN] = header.encode();
        let padding = &PADDING[..usize::from(header.padding_length)];
        self.write(&mut [
            IoSlice::new(&bytes),
            IoSlice::new(content),
            IoSlice::new(padding),
        ])
        .await
    }

    /// Writes whole records.
    async fn write(&self, mut slices: &mut [IoSlice<'_>]) -> Result<(), Cause> {
        let mut left: usize = slices.iter().map(|slice| slice.len()).sum();
        while left > 0 {
            let written = self.stream.write(slices).await.map_err(Cause::Broken)?;
            left -= written;
            self.progress
                .at_boundary
                .store(left == 0, Ordering::Relaxed);
            self.progress.moved();
            IoSlice::advance_slices(&mut slices, written);
        }
        Ok(())
    }
}

/// Reads until END_REQUEST, and hands on what is for others.
async fn receive(
    stream: &Stream,
    decoder: &mut Decoder,
    events: &mpsc::Sender<Event>,
    answered: &mut bool,
) -> Outcome {
    loop {
        loop {
            let event = match decoder.next() {
                Ok(Some(Said::Stdout(bytes))) => Event::Stdout(bytes),
                Ok(Some(Said::Stderr(bytes))) => Event::Stderr(bytes),
                Ok(Some(Said::End(end))) => return Outcome::Done(end),
                Ok(None) => break,
                Err(violation) => return Outcome::Failed(Cause::Protocol(violation)),
            };
            if events.send(event).await.is_err() {
                return Outcome::Abandoned;
            }
        }
        let buffer = decoder.buffer();
        buffer.reserve(READ_SIZE);
        match stream.read(buffer).await {
            Ok(0) => return Outcome::Failed(Cause::Closed),
            Ok(_) => *answered = true,
            Err(error) => return Outcome::Failed(Cause::Broken(error)),
        }
    }
}
