//! `fcgipm gateway`: an HTTP/1.1 server in front of one FastCGI application, for development.

mod exchange;
mod idle;
mod response;
mod shared;

use std::convert::Infallible;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use shared::Gateway;
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::args::address::{Address, HttpAddress};
use crate::args::values;
use crate::cgi::variables::Mapping;
use crate::console;

/// How long requests under way may take after a signal to stop.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// How long a client may take over a request's header.
const HEADER_LIMIT: Duration = Duration::from_secs(30);

/// How many header fields a request may have.
const MAX_REQUEST_FIELDS: usize = 256;

/// What hyper may buffer per connection; a request's header has to fit.
const CONNECTION_BUFFER: usize = 128 * 1024;

/// A pause after a failed accept: it is mostly the lack of descriptors, which takes time to mend.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serve HTTP/1.1 and pass every request to a FastCGI application
///
/// For development: there is no TLS, no access control and no cache, and one application.
/// Requests and responses are streamed; a request body without Content-Length is spooled first,
/// because CGI has its length in front. The application's STDERR appears on standard error, line by
/// line, after the method and URI of its request.
///
/// When the application fails, the client gets 502 (it cannot be reached, broke off or sent what
/// is no CGI response), 503 (it is overloaded) or 504 (--timeout), with the reason as text. When it
/// breaks off in the middle of a response body, so does the gateway. A local redirect (Location
/// with a path and no Status) is followed inside, as RFC 3875 section 6.2.2 has it.
///
/// SIGINT and SIGTERM end it: requests under way get 10 seconds to finish.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// The address to serve HTTP on: HOST:PORT, [IPV6]:PORT or :PORT (loopback); port 0 picks one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    http: HttpAddress,

    /// The application: HOST:PORT, [IPV6]:PORT, :PORT (loopback), /PATH, unix:/PATH or @NAME (abstract)
    #[arg(long, value_name = "ADDRESS")]
    to: Address,

    /// Keep connections to the application and use them again
    ///
    /// A GET or other idempotent request that fails on a kept connection, before any answer and
    /// with its body unread, is tried once more on a fresh one.
    #[arg(long)]
    keep_conn: bool,

    /// Seconds until the response header
    ///
    /// They count from the last byte of the request that the application took.
    #[arg(long, value_name = "TIME", default_value = "60", value_parser = values::seconds)]
    timeout: Duration,

    #[command(flatten)]
    mapping: Mapping,
}

/// Runs the gateway until a signal ends it; returns the exit status.
pub(crate) async fn run(options: Options) -> u8 {
    match serve(options).await {
        Ok(()) => 0,
        Err(reason) => {
            console::error(&format!("fcgipm gateway: {reason}"));
            1
        }
    }
}

async fn serve(options: Options) -> Result<(), String> {
    let mut stop = Stop::new().map_err(|error| format!("cannot wait for signals: {error}"))?;
    let listener = listen(&options.http)
        .await
        .map_err(|error| format!("cannot listen on --http {}: {error}", options.http))?;
    let local = listener
        .local_addr()
        .map_err(|error| format!("--http {}: {error}", options.http))?;
    announce(local, &options.to);

    let gateway = Arc::new(Gateway {
        to: options.to,
        timeout: options.timeout,
        mapping: options.mapping,
        idle: options.keep_conn.then(idle::Pool::start),
    });
    let (stopping, stopped) = watch::channel(false);
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.requested() => break,
            Some(_) = clients.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    clients.spawn(client(Arc::clone(&gateway), stream, peer, stopped.clone()));
                }
                Err(error) => {
                    console::error(&format!("fcgipm gateway: accept on {local}: {error}"));
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    // Nobody listens when there is no client, which is fine.
    let _ = stopping.send(true);
    let finished = async { while clients.join_next().await.is_some() {} };
    tokio::select! {
        () = finished => {}
        () = stop.requested() => console::error("fcgipm gateway: stopped at once by a second signal"),
        () = tokio::time::sleep(STOP_LIMIT) => {
            console::error(&format!(
                "fcgipm gateway: requests under way were cut off after {} s",
                STOP_LIMIT.as_secs()
            ));
        }
    }
    Ok(())
}

async fn listen(address: &HttpAddress) -> io::Result<TcpListener> {
    let places: Vec<SocketAddr> = lookup_host(address.host_and_port()).await?.collect();
    TcpListener::bind(&places[..]).await
}

/// Tells whoever started the gateway that it serves, and where.
fn announce(local: SocketAddr, to: &Address) {
    let mut out = io::stdout().lock();
    // A closed standard output is no reason not to serve.
    let _ = writeln!(out, "fcgipm gateway: http://{local}/ -> {to}");
    let _ = out.flush();
}

/// Serves one HTTP connection.
async fn client(
    gateway: Arc<Gateway>,
    stream: TcpStream,
    peer: SocketAddr,
    mut stopped: watch::Receiver<bool>,
) {
    let Ok(local) = stream.local_addr() else {
        return; // The client has gone already.
    };
    // Without it the last segment of a response waits for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let gateway = Arc::clone(&gateway);
        async move { Ok::<_, Infallible>(exchange::answer(gateway, request, peer, local).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_LIMIT)
        .max_headers(MAX_REQUEST_FIELDS)
        .max_buf_size(CONNECTION_BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let mut stopping = *stopped.borrow();
    if stopping {
        connection.as_mut().graceful_shutdown();
    }
    loop {
        tokio::select! {
            // What ends a connection early is the client, or was logged where it happened.
            _ = connection.as_mut() => return,
            _ = stopped.changed(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// The signals that end the gateway.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn requested(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
