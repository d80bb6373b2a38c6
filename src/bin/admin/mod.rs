//! `fcgipm admin`: metrics, health and a status page over HTTP, from what managers and workers write
//! into shared memory. No manager and no worker takes part, so it answers whatever state they are in.

mod access;
mod answer;
mod connection;
mod exposition;
mod listener;
mod metrics;
mod page;
mod phpfpm;
mod reading;
mod worker_metrics;

use std::sync::Arc;
use std::time::Duration;

use access::{Hosts, Token};
use answer::Site;
use clap::Args;
use connection::Connections;
use listener::{Listener, Place, SocketFile};
use reading::Reader;

use crate::console;
use crate::signals::Stop;

/// The maximum time for current requests to finish after a signal to stop.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// The pause after a failed accept. The usual cause is a lack of descriptors, which lasts a while.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serve metrics, health checks and a status page over HTTP
///
/// Reads shared memory, as `fcgipm status` does, so it answers even when the manager and all workers
/// are stopped. Requires permission to inspect the manager's process: run it as the manager's user or
/// as root. The manager need not exist yet, and is found again after a restart.
///
/// INT and TERM stop it.
#[derive(Args, Debug)]
#[command(after_help = "\
Endpoints, for GET and HEAD. None of them changes anything:
  /             status page, for a browser
  /status.json  the fields of `fcgipm status --json`
  /metrics      for Prometheus, in its text format or as OpenMetrics; /metrics?pss: with the
                proportional memory of workers; /metrics?phpfpm: also with names of php-fpm's metrics
  /healthz      200 while `fcgipm admin` runs
  /readyz       200 if every pool is ready, as `fcgipm check` defines it; 503 with the reason if not

Limits: 512 connections at a time (then the first silent one is closed),
64 of them with a request (more receive 503), 10 seconds for a request header of at most 16 KiB, 30
seconds for a request. A connection serves one request. What was read is used again for ten
times as long as reading it took, and for half a second at most.

Exit status:
  0  stopped by a signal
  1  cannot listen, or cannot read --token-file
  2  usage error")]
pub(crate) struct Options {
    /// The manager: its pid file, its pid, or its listen address: HOST:PORT, [IPV6]:PORT, :PORT,
    /// /PATH, unix:/PATH or @NAME (abstract)
    #[arg(value_name = "PIDFILE|PID|ADDRESS")]
    target: String,

    /// The address for HTTP: HOST:PORT, [IPV6]:PORT, :PORT (loopback), /PATH or unix:/PATH; port 0
    /// selects a free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9100")]
    listen: Place,

    #[command(flatten)]
    file: SocketFile,

    /// Another name that clients may use for this host
    ///
    /// A request is refused if its Host header has another name than localhost, the address that the
    /// client is connected to, that of --listen or one of these. This keeps web pages of other sites
    /// from reading the answers (DNS rebinding).
    #[arg(long, value_name = "NAME", value_parser = access::host_name)]
    host: Vec<String>,

    /// A file with a token that clients must send
    ///
    /// They send it as `Authorization: Bearer TOKEN`, or as the password of Basic authentication with
    /// any user name. It is required if other hosts can connect. /healthz needs none, and /readyz
    /// omits the reason without it.
    #[arg(long, value_name = "FILE")]
    token_file: Option<std::path::PathBuf>,
}

/// Serves until a signal; returns the exit status.
pub(crate) async fn run(options: Options) -> u8 {
    match serve(options).await {
        Ok(()) => 0,
        Err(reason) => {
            console::error(&format!("fcgipm admin: {reason}"));
            1
        }
    }
}

async fn serve(options: Options) -> Result<(), String> {
    let token = options.token_file.as_deref().map(Token::read).transpose()?;
    let mut stop = Stop::new().map_err(|error| format!("cannot wait for signals: {error}"))?;
    let listener = Listener::open(&options.listen, &options.file).await?;
    if token.is_none() && listener.is_reachable_from_other_hosts() {
        return Err(format!(
            "--listen {}: other hosts can connect, so --token-file is required",
            options.listen
        ));
    }
    let hosts = Hosts::new(options.listen.host(), options.host);
    let reader = Reader::new(options.target);
    reader.log_first().await;
    console::print(&format!("fcgipm admin: {}", listener.url()));
    let site = Arc::new(Site {
        reader,
        hosts,
        token,
    });
    let mut connections = Connections::new(site);
    loop {
        tokio::select! {
            () = stop.requested() => break,
            () = connections.reaped() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, local)) => connections.start(stream, local),
                Err(error) => {
                    console::error(&format!("fcgipm admin: accept: {error}"));
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    tokio::select! {
        () = connections.finished() => {}
        () = stop.requested() => {}
        () = tokio::time::sleep(STOP_LIMIT) => {}
    }
    Ok(())
}
