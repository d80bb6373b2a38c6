//! `fcgipm gateway`: an HTTP/1.1 server for one FastCGI application, for development.

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
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::args::address::{Address, HttpAddress};
use crate::args::values;
use crate::cgi::variables::Mapping;
use crate::console;
use crate::signals::Stop;

/// The maximum time for current requests to finish after a signal to stop.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// The maximum time for a client to send a request header.
const HEADER_LIMIT: Duration = Duration::from_secs(30);

/// The maximum number of header fields in a request.
const MAX_REQUEST_FIELDS: usize = 256;

/// The buffer of hyper per connection; a request header has to fit.
const CONNECTION_BUFFER: usize = 128 * 1024;

/// The pause after a failed accept. The usual cause is a lack of descriptors, which lasts a while.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serve HTTP/1.1 and forward every request to a FastCGI application
///
/// For development: it has no TLS, no access control and no cache, and serves one application.
/// Requests and responses are streamed. A request body without Content-Length is spooled first,
/// because CGI requires its length in advance. The STDERR stream of the application is written to
/// standard error line by line, prefixed with the method and URI of the request.
///
/// If the application fails, the client receives the reason as text, with status 502 (cannot
/// connect, connection closed, invalid CGI response), 503 (overloaded) or 504 (--timeout). If it
/// fails in the middle of a response body, the gateway closes the connection to the client. Local
/// redirects (a Location with a path, and no Status) are followed internally (RFC 3875, section
/// 6.2.2).
///
/// SIGINT and SIGTERM stop the gateway. Current requests have 10 seconds to finish.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// The address for HTTP: HOST:PORT, [IPV6]:PORT or :PORT (loopback); port 0 selects a free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    http: HttpAddress,

    /// The application: HOST:PORT, [IPV6]:PORT, :PORT (loopback), /PATH, unix:/PATH or @NAME
    /// (abstract)
    #[arg(long, value_name = "ADDRESS")]
    to: Address,

    /// Reuse connections to the application (FCGI_KEEP_CONN)
    ///
    /// An idempotent request, such as a GET, that fails on a reused connection before any byte of a
    /// response is retried once on a new connection.
    #[arg(long)]
    keep_conn: bool,

    /// Maximum time until the response header
    ///
    /// It is counted from the last byte of the request that the application accepted.
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
    // Without clients there is no receiver.
    let _ = stopping.send(true);
    let finished = async { while clients.join_next().await.is_some() {} };
    tokio::select! {
        () = finished => {}
        () = stop.requested() => console::error("fcgipm gateway: stopped immediately by a second signal"),
        () = tokio::time::sleep(STOP_LIMIT) => {
            console::error(&format!(
                "fcgipm gateway: unfinished requests aborted after {} s",
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

/// Prints the address of the gateway, once it is ready.
fn announce(local: SocketAddr, to: &Address) {
    let mut out = io::stdout().lock();
    // The gateway also serves with standard output closed.
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
        return; // The client has disconnected already.
    };
    // Otherwise the last segment of a response waits for the delayed acknowledgement of the client.
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
            // An error is caused by the client, or was logged where it occurred.
            _ = connection.as_mut() => return,
            _ = stopped.changed(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}
