//! Connections of clients, which may send nothing, read nothing, and be many.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

use super::answer::{Site, answer, too_many};
use super::listener::Stream;

/// The maximum number of connections at a time.
const CONNECTIONS_MAX: usize = 512;
/// The maximum number of requests that are being answered at a time. A client that does not read its
/// response takes one of these places until [`LIMIT`].
const ANSWERS_MAX: usize = 64;

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

/// All current connections.
pub(super) struct Connections {
    site: Arc<Site>,
    tasks: JoinSet<()>,
    /// The oldest first.
    open: VecDeque<Open>,
    answers: Arc<Semaphore>,
}

struct Open {
    task: AbortHandle,
    place: Place,
}

/// The place of a connection among those that are being answered. Empty until the request header has
/// arrived; `None` if all places were taken.
type Place = Arc<OnceLock<Option<OwnedSemaphorePermit>>>;

impl Connections {
    pub(super) fn new(site: Arc<Site>) -> Self {
        Self {
            site,
            tasks: JoinSet::new(),
            open: VecDeque::new(),
            answers: Arc::new(Semaphore::new(ANSWERS_MAX)),
        }
    }

    /// Serves a new connection. If there are too many, the first silent one is closed; if none is silent,
    /// the new one is.
    pub(super) fn start(&mut self, stream: Box<dyn Stream>, local: Option<IpAddr>) {
        self.open.retain(|open| !open.task.is_finished());
        if self.open.len() >= CONNECTIONS_MAX {
            let is_silent = |open: &Open| open.place.get().is_none();
            let Some(silent) = self.open.iter().position(is_silent) else {
                return;
            };
            if let Some(open) = self.open.remove(silent) {
                open.task.abort();
            }
        }
        let place = Place::default();
        let serving = serve(
            Arc::clone(&self.site),
            stream,
            local,
            Arc::clone(&self.answers),
            Arc::clone(&place),
        );
        let task = self.tasks.spawn(async {
            // An error is a timeout: the connection is closed as it is.
            let _ = timeout(LIMIT, serving).await;
        });
        self.open.push_back(Open { task, place });
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
async fn serve(
    site: Arc<Site>,
    stream: Box<dyn Stream>,
    local: Option<IpAddr>,
    answers: Arc<Semaphore>,
    place: Place,
) {
    let service = service_fn(move |request| {
        let site = Arc::clone(&site);
        let permit = place.get_or_init(|| Arc::clone(&answers).try_acquire_owned().ok());
        let has_place = permit.is_some();
        Box::pin(async move {
            Ok::<_, Infallible>(match has_place {
                true => answer(&site, &request, local).await,
                false => too_many(),
            })
        })
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

/// Closes a connection when the client has closed it: closing one with unread data resets it, and the
/// client may lose the response.
async fn linger(mut stream: Box<dyn Stream>) {
    if stream.shutdown().await.is_ok() {
        let mut rest = [0; 4_096];
        while matches!(stream.read(&mut rest).await, Ok(1..)) {}
    }
}
