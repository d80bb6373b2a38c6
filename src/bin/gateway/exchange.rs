//! One HTTP request: sends its variables and body to the application, and receives the response
//! header.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fcgipm::wire::{ProtocolStatus, Role};
use hyper::body::{Body, Incoming};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode, Uri, Version};
use tokio::time::{Instant, interval_at, sleep_until};

use super::response::{ResponseBody, Tail};
use super::shared::Gateway;
use crate::cgi::reply::{Head, HeadReader};
use crate::cgi::variables::{Subject, Variables};
use crate::console::{self, ErrorLines};
use crate::fastcgi::body::{RequestBody, Spool, SpoolError};
use crate::fastcgi::client;
use crate::fastcgi::client::{Connection, Event, Exchange, Failure};

/// After this time without a response, idle connections are closed, as they may occupy the workers.
const PATIENCE: Duration = Duration::from_millis(250);

/// The maximum number of local redirects in a row.
const MAX_REDIRECTS: usize = 10;

/// An error response of the gateway itself.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    reason: String,
}

impl Refusal {
    fn new(status: StatusCode, reason: impl fmt::Display) -> Self {
        Self {
            status,
            reason: reason.to_string(),
        }
    }

    fn bad_gateway(reason: impl fmt::Display) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, reason)
    }
}

/// Responds to a request; errors become responses too.
pub(super) async fn answer(
    gateway: Arc<Gateway>,
    request: Request<Incoming>,
    remote: SocketAddr,
    local: SocketAddr,
) -> Response<ResponseBody> {
    let (parts, body) = request.into_parts();
    let label = format!("{} {}", parts.method, parts.uri);
    let asked = Asked {
        gateway,
        label,
        remote,
        local,
    };
    match asked.response(parts, body).await {
        Ok(response) => response,
        Err(refusal) => {
            let Refusal { status, reason } = refusal;
            console::error(&format!(
                "fcgipm gateway: {}: {}: {reason}",
                asked.label,
                status.as_u16()
            ));
            let mut response = Response::new(ResponseBody::text(format!("{reason}\n")));
            *response.status_mut() = status;
            response.headers_mut().insert(
                hyper::header::CONTENT_TYPE,
                hyper::header::HeaderValue::from_static("text/plain; charset=utf-8"),
            );
            response
        }
    }
}

/// A request, with its label for messages.
struct Asked {
    gateway: Arc<Gateway>,
    label: String,
    remote: SocketAddr,
    local: SocketAddr,
}

/// A response whose header has arrived.
struct Answer {
    head: Head,
    /// The bytes after the header so far.
    start: Bytes,
    tail: Tail,
}

impl Asked {
    async fn response(
        &self,
        mut parts: Parts,
        body: Incoming,
    ) -> Result<Response<ResponseBody>, Refusal> {
        // Fails before the body is read.
        self.variables(&parts, None)?;
        let (mut body, mut length) = self.body(&parts, body).await?;
        for _ in 0..=MAX_REDIRECTS {
            let variables = self.variables(&parts, length)?;
            let answer = self.ask(&parts.method, &variables, body).await?;
            let Some(target) = answer.head.local_redirect() else {
                return Ok(response(&parts, answer));
            };
            // RFC 3875, section 6.2.2: as if the client had asked for that path.
            parts.uri = target.parse::<Uri>().map_err(|error| {
                Refusal::bad_gateway(format!("local redirect to '{target}': {error}"))
            })?;
            if parts.method != Method::HEAD {
                parts.method = Method::GET;
            }
            parts.headers.remove(hyper::header::CONTENT_TYPE);
            answer.tail.settle();
            body = RequestBody::empty();
            length = None;
        }
        Err(Refusal::bad_gateway(format!(
            "more than {MAX_REDIRECTS} local redirects, the last one to '{}'",
            parts.uri
        )))
    }

    fn variables(&self, parts: &Parts, length: Option<u64>) -> Result<Variables, Refusal> {
        if parts.method == Method::CONNECT {
            return Err(Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "CONNECT: the gateway is not a proxy",
            ));
        }
        let subject = Subject {
            role: Role::Responder,
            method: &parts.method,
            uri: &parts.uri,
            version: parts.version,
            headers: &parts.headers,
            content_length: length,
            remote: self.remote,
            local: self.local,
        };
        self.gateway
            .mapping
            .variables(&subject)
            .map_err(|unmapped| {
                let status =
                    StatusCode::from_u16(unmapped.status).unwrap_or(StatusCode::BAD_REQUEST);
                Refusal::new(status, unmapped.reason)
            })
    }

    /// The body and its length; no length if there is no body.
    async fn body(
        &self,
        parts: &Parts,
        body: Incoming,
    ) -> Result<(RequestBody, Option<u64>), Refusal> {
        match body.size_hint().exact() {
            Some(0) => {
                let announced = parts.headers.contains_key(hyper::header::CONTENT_LENGTH);
                Ok((RequestBody::empty(), announced.then_some(0)))
            }
            Some(length) => Ok((RequestBody::incoming(body), Some(length))),
            None => {
                let spooled = Spool::client(body, self.gateway.timeout).await;
                let (body, length) = spooled.map_err(|error| match error {
                    SpoolError::Source(_) => Refusal::new(StatusCode::BAD_REQUEST, error),
                    SpoolError::Silence => self.slow_client(),
                    SpoolError::TooLarge => Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, error),
                    SpoolError::File(_) => Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error),
                })?;
                Ok((body, Some(length)))
            }
        }
    }

    fn slow_client(&self) -> Refusal {
        Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            format!(
                "the client sent nothing of the request body for {} s",
                self.gateway.timeout.as_secs_f64()
            ),
        )
    }

    /// Sends the request to the application; a second time if a reused connection turns out to be
    /// closed.
    async fn ask(
        &self,
        method: &Method,
        variables: &Variables,
        mut body: RequestBody,
    ) -> Result<Answer, Refusal> {
        let mut connection = self.gateway.idle.as_ref().and_then(|pool| pool.take());
        loop {
            let open = match connection.take() {
                Some(kept) => kept,
                None => match self.connect().await {
                    Ok(fresh) => fresh,
                    Err(refusal) => {
                        tokio::spawn(body.linger());
                        return Err(refusal);
                    }
                },
            };
            let reused = open.is_reused();
            let request = client::Request {
                role: Role::Responder,
                keep_connection: self.gateway.idle.is_some(),
                variables,
                body,
                data: RequestBody::empty(),
            };
            let mut failure = match self.head(client::start(open, request)).await? {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let is_stale = reused && !failure.answered && method.is_idempotent();
            if !(is_stale && failure.body.rewind().await) {
                let Failure { cause, body, .. } = *failure;
                tokio::spawn(body.linger());
                return Err(match cause {
                    client::Cause::Body(_) => Refusal::new(StatusCode::BAD_REQUEST, cause),
                    client::Cause::Closed
                    | client::Cause::Broken(_)
                    | client::Cause::Protocol(_) => Refusal::bad_gateway(format!(
                        "{cause}, before the end of the response header"
                    )),
                });
            }
            body = failure.body;
        }
    }

    async fn connect(&self) -> Result<Connection, Refusal> {
        let Gateway { to, timeout, .. } = &*self.gateway;
        Connection::open(to, *timeout).await.map_err(|error| {
            let status = match error {
                client::ConnectError::Refused { .. } => StatusCode::BAD_GATEWAY,
                client::ConnectError::TimedOut { .. } => StatusCode::GATEWAY_TIMEOUT,
            };
            Refusal::new(status, error)
        })
    }

    /// Waits for the response header. After the inner error, a second attempt is possible.
    async fn head(&self, exchange: Exchange) -> Result<Result<Answer, Box<Failure>>, Refusal> {
        let Exchange {
            mut events,
            progress,
        } = exchange;
        let mut lines = ErrorLines::new(self.label.clone());
        let mut reader = HeadReader::default();
        let mut impatience = interval_at(Instant::now() + PATIENCE, PATIENCE);
        loop {
            let deadline = progress.last() + self.gateway.timeout;
            let event = tokio::select! {
                event = events.recv() => event,
                // An application that serves one connection at a time cannot accept this one while
                // its workers wait on idle connections.
                _ = impatience.tick(), if self.gateway.idle.is_some() => {
                    if let Some(pool) = &self.gateway.idle {
                        pool.clear();
                    }
                    continue;
                }
                () = sleep_until(deadline) => {
                    if progress.last() + self.gateway.timeout > Instant::now() {
                        continue;
                    }
                    return Err(if progress.awaits_client() {
                        self.slow_client()
                    } else {
                        Refusal::new(
                            StatusCode::GATEWAY_TIMEOUT,
                            format!(
                                "the application sent no response header within {} s",
                                self.gateway.timeout.as_secs_f64()
                            ),
                        )
                    });
                }
            };
            match event {
                Some(Event::Stdout(bytes)) => {
                    if let Some((head, start)) =
                        reader.push(&bytes).map_err(Refusal::bad_gateway)?
                    {
                        let tail =
                            Tail::new(Arc::clone(&self.gateway), self.label.clone(), events, lines);
                        return Ok(Ok(Answer { head, start, tail }));
                    }
                }
                Some(Event::Stderr(bytes)) => lines.push(&bytes),
                Some(Event::Done(end, connection)) => {
                    self.gateway.keep(connection);
                    return Err(no_header(end, reader.is_empty()));
                }
                Some(Event::Failed(failure)) => return Ok(Err(failure)),
                None => {
                    return Err(Refusal::bad_gateway(
                        "internal error: the task of the request ended",
                    ));
                }
            }
        }
    }
}

fn no_header(end: fcgipm::wire::EndRequest, nothing_came: bool) -> Refusal {
    if let Some(refused) = client::refusal(end) {
        let overloaded = ProtocolStatus::Overloaded.number() == end.protocol_status;
        let status = if overloaded {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::BAD_GATEWAY
        };
        return Refusal::new(status, refused);
    }
    let what = if nothing_came {
        "without a response header"
    } else {
        "in the middle of the response header"
    };
    Refusal::bad_gateway(format!(
        "the application ended the request {what} (application status {})",
        end.app_status
    ))
}

/// Converts a response of the application to HTTP.
fn response(parts: &Parts, answer: Answer) -> Response<ResponseBody> {
    let Answer { head, start, tail } = answer;
    let has_no_body = parts.method == Method::HEAD
        || head.status == StatusCode::NO_CONTENT
        || head.status == StatusCode::NOT_MODIFIED;
    // HTTP/1.0 has no chunked encoding: a body without a length ends with the connection.
    let closes = !has_no_body && head.content_length.is_none() && parts.version < Version::HTTP_11;
    let body = if has_no_body {
        tail.settle();
        ResponseBody::empty()
    } else {
        ResponseBody::application(start, head.content_length, tail)
    };
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.fields;
    if head.status == StatusCode::NO_CONTENT {
        response.headers_mut().remove(hyper::header::CONTENT_LENGTH);
    }
    if closes {
        // This makes hyper announce the close; otherwise it would announce keep-alive.
        *response.version_mut() = Version::HTTP_10;
    }
    let usual = head.status.canonical_reason().map(str::as_bytes);
    let reason = head.reason.filter(|reason| Some(&reason[..]) != usual);
    if let Some(Ok(reason)) = reason.map(hyper::ext::ReasonPhrase::try_from) {
        response.extensions_mut().insert(reason);
    }
    response
}
