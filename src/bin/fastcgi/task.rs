//! The task that makes one request.

use std::io::IoSlice;
use std::pin::pin;
use std::sync::Arc;

use fcgipm::wire::{EndRequest, Header, RecordType, Role};
use tokio::sync::mpsc;

use crate::fastcgi::body::RequestBody;
use crate::fastcgi::connection::Connection;
use crate::fastcgi::event::{Cause, Event, Failure};
use crate::fastcgi::progress::Progress;
use crate::fastcgi::records::{Decoder, REQUEST_ID, Said};
use crate::fastcgi::stream::Stream;
use crate::fastcgi::upload::Upload;

/// The size of a read from the application.
const READ_SIZE: usize = 64 * 1024;

/// A request that is being made.
pub(super) struct Task {
    pub(super) connection: Connection,
    pub(super) role: Role,
    pub(super) keep_connection: bool,
    pub(super) body: RequestBody,
    pub(super) data: RequestBody,
    pub(super) progress: Arc<Progress>,
}

/// How a task ended.
enum Outcome {
    Done(EndRequest),
    Failed(Cause),
    /// The receiver of the events was dropped.
    Abandoned,
}

impl Task {
    pub(super) async fn run(mut self, head: Vec<u8>, events: mpsc::Sender<Event>) {
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
                            // An application may respond and close without reading its input, so
                            // what it has sent decides.
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
        // A failed send means that the receiver was dropped, which is allowed.
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

/// Sends ABORT_REQUEST if no record is half sent. The caller then closes the connection.
fn abort(stream: &Stream, progress: &Progress) {
    if progress.is_at_boundary() {
        let header = Header::new(RecordType::AbortRequest, REQUEST_ID, 0).encode();
        let _ = stream.try_write(&[IoSlice::new(&header)]);
    }
}

/// Reads until END_REQUEST, and sends an event for each piece of a stream.
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
