//! Connections of clients, which may send nothing, read nothing, and be many.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::answer::{Site, answer};
use super::listener::Stream;

/// The maximum number of connections that are served at a time.
const SERVED_MAX: usize = 64;
/// The maximum number that are being refused at a time. Those beyond it are closed without a response.
const REFUSED_MAX: usize = 256;

/// The maximum time for a client to send a request header.
const HEADER_LIMIT: Duration = Duration::from_secs(10);
/// The maximum time for a request.
const LIMIT: Duration = Duration::from_secs(30);
/// The maximum time for a client to close a connection after its response.
const LINGER_LIMIT: Duration = Duration::from_secs(1);

/// The buffer of hyper; a request header has to fit.
const BUFFER: usize = 16 * 1024;
/// The maximum number of header fields in a request.
const FIELDS_MAX: usize = 64;

const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 21\r\n\
    Retry-After: 1\r\n\
    Connection: close\r\n\r\n\
    too many connections\n";

/// All current connections.
pub(super) struct Connections {
    site: Arc<Site>,
    tasks: JoinSet<()>,
    served: Arc<Semaphore>,
    refused: Arc<Semaphore>,
}

impl Connections {
    pub(super) fn new(site: Arc<Site>) -> Self {
        Self {
            site,
            tasks: JoinSet::new(),
            served: Arc::new(Semaphore::new(SERVED_MAX)),
            refused: Arc::new(Semaphore::new(REFUSED_MAX)),
        }
    }

    /// Serves a new connection, or refuses it.
    pub(super) fn start(&mut self, stream: Box<dyn Stream>, local: Option<IpAddr>) {
        if let Ok(permit) = Arc::clone(&self.served).try_acquire_owned() {
            let site = Arc::clone(&self.site);
            self.tasks.spawn(async move {
                // An error is a timeout: the connection is closed as it is.
                let _ = timeout(LIMIT, serve(site, stream, local)).await;
                drop(permit);
            });
        } else if let Ok(permit) = Arc::clone(&self.refused).try_acquire_owned() {
            self.tasks.spawn(async move {
                let _ = timeout(LINGER_LIMIT, refuse(stream)).await;
                drop(permit);
            });
        }
    }

    /// Waits until one of them has ended.
    pub(super) async fn reaped(&mut self) {
        if self.tasks.join_next().await.is_none() {
            std::future::pending().await
        }
    }

    /// Waits until all have ended.
    pub(super) async fn finished(&mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Serves one request. Connections are not kept, so that idle clients do not take the place of others.
async fn serve(site: Arc<Site>, stream: Box<dyn Stream>, local: Option<IpAddr>) {
    let service = service_fn(move |request| {
        let site = Arc::clone(&site);
        Box::pin(async move { Ok::<_, Infallible>(answer(&site, &request, local).await) })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_LIMIT)
        .keep_alive(false)
        .half_close(true)
        .max_headers(FIELDS_MAX)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    // The client is the cause of any error, and hyper has answered it where that is possible.
    let _ = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let stream = connection.into_parts().io.into_inner();
    let _ = timeout(LINGER_LIMIT, linger(stream)).await;
}

async fn refuse(mut stream: Box<dyn Stream>) {
    if stream.write_all(REFUSAL).await.is_ok() {
        linger(stream).await;
    }
}

/// Closes a connection when the client has closed it: closing one with unread data resets it, and the
/// client may lose the response.
async fn linger(mut stream: Box<dyn Stream>) {
    if stream.shutdown().await.is_ok() {
        let mut rest = [0; 4_096];
        while matches!(stream.read(&mut rest).await, Ok(1..)) {}
    }
}
