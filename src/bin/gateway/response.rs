//! The body of an HTTP response, as the application sends it.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::shared::Gateway;
use crate::console::{self, ErrorLines};
use crate::fastcgi::client;
use crate::fastcgi::client::Event;

/// A response body.
pub(super) enum ResponseBody {
    /// A text of the gateway, or empty.
    Text(Bytes),
    /// The body that the application sends.
    Application(Box<Stream>),
}

impl ResponseBody {
    pub(super) const fn empty() -> Self {
        Self::Text(Bytes::new())
    }

    pub(super) fn text(text: String) -> Self {
        Self::Text(text.into())
    }

    /// `start`, then what arrives. `length` is the one that the header announced.
    pub(super) fn application(start: Bytes, length: Option<u64>, tail: Tail) -> Self {
        Self::Application(Box::new(Stream {
            start,
            length,
            seen: 0,
            tail: Some(tail),
            broken: false,
        }))
    }
}

/// The response is incomplete. hyper then closes the connection, so that the client notices.
#[derive(Debug)]
pub(super) struct BrokenOff;

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the response of the application is incomplete")
    }
}

impl std::error::Error for BrokenOff {}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.get_mut() {
            Self::Text(text) if text.is_empty() => Poll::Ready(None),
            Self::Text(text) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(text))))),
            Self::Application(stream) => stream.poll(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Application(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.len() as u64),
            Self::Application(stream) => stream
                .length
                .map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

/// The output of the application after the header.
pub(super) struct Stream {
    start: Bytes,
    length: Option<u64>,
    seen: u64,
    /// `Some` until the request has ended.
    tail: Option<Tail>,
    /// The response is incomplete, and hyper has not been notified yet.
    broken: bool,
}

impl Stream {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if !self.start.is_empty() {
            let start = std::mem::take(&mut self.start);
            return Poll::Ready(Some(Ok(self.data(start))));
        }
        let Some(tail) = &mut self.tail else {
            return Poll::Ready(self.broken.then_some(Err(BrokenOff)));
        };
        let end = loop {
            match ready!(tail.poll_output(context)) {
                Output::Bytes(bytes) => return Poll::Ready(Some(Ok(self.data(bytes)))),
                Output::Other => {}
                Output::End(end) => break end,
            }
        };
        let announced = self.length.unwrap_or(self.seen);
        let end = match end {
            Ok(()) if self.seen == announced => Ok(()),
            Ok(()) => Err("the application ended the request".to_owned()),
            Err(reason) => Err(reason),
        };
        let Err(reason) = end else {
            self.tail = None;
            return Poll::Ready(None);
        };
        let of = self
            .length
            .map_or_else(String::new, |length| format!(" of {length}"));
        tail.report(&format!(
            "{reason}, after {}{of} bytes of the response body",
            self.seen
        ));
        self.tail = None;
        self.broken = true;
        // On an error hyper discards its buffer. It writes the buffer when it has to wait, so it is
        // made to wait once: the client receives what has arrived.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn data(&mut self, bytes: Bytes) -> Frame<Bytes> {
        self.seen += bytes.len() as u64;
        Frame::data(bytes)
    }
}

impl Drop for Stream {
    /// hyper drops a body when its announced bytes are sent, which may be before the request ends.
    fn drop(&mut self) {
        if self.length.is_some_and(|length| self.seen >= length) {
            if let Some(tail) = self.tail.take() {
                tail.settle();
            }
        }
    }
}

/// The rest of a request whose response header has arrived.
pub(super) struct Tail {
    gateway: Arc<Gateway>,
    label: String,
    events: mpsc::Receiver<Event>,
    lines: ErrorLines,
}

/// A step of it.
enum Output {
    Bytes(Bytes),
    Other,
    End(Result<(), String>),
}

impl Tail {
    pub(super) const fn new(
        gateway: Arc<Gateway>,
        label: String,
        events: mpsc::Receiver<Event>,
        lines: ErrorLines,
    ) -> Self {
        Self {
            gateway,
            label,
            events,
            lines,
        }
    }

    /// Lets the application finish without the client: what it still writes is discarded, and its
    /// connection is reused. Aborting would break a program that writes unneeded output, such as
    /// the body of a response to HEAD.
    pub(super) fn settle(mut self) {
        tokio::spawn(async move {
            let limit = self.gateway.timeout;
            let end = async {
                loop {
                    let output = std::future::poll_fn(|context| self.poll_output(context)).await;
                    if let Output::End(end) = output {
                        return end;
                    }
                }
            };
            let end = tokio::time::timeout(limit, end).await;
            let reason = match end {
                Ok(Ok(())) => return,
                Ok(Err(reason)) => reason,
                Err(_) => "the application did not end the request in time".to_owned(),
            };
            self.report(&format!("{reason}, after the response was complete"));
        });
    }

    fn poll_output(&mut self, context: &mut Context<'_>) -> Poll<Output> {
        let output = match ready!(self.events.poll_recv(context)) {
            Some(Event::Stdout(bytes)) => Output::Bytes(bytes),
            Some(Event::Stderr(bytes)) => {
                self.lines.push(&bytes);
                Output::Other
            }
            Some(Event::Done(end, connection)) => {
                self.gateway.keep(connection);
                Output::End(client::refusal(end).map_or(Ok(()), Err))
            }
            Some(Event::Failed(failure)) => Output::End(Err(failure.cause.to_string())),
            None => Output::End(Err(
                "internal error: the task of the request ended".to_owned()
            )),
        };
        Poll::Ready(output)
    }

    fn report(&self, what: &str) {
        console::error(&format!("fcgipm gateway: {}: {what}", self.label));
    }
}
