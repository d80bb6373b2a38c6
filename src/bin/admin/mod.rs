//! `fcgipm admin`: metrics, health and a status page over HTTP, from what managers and workers write
//! into shared memory. No manager and no worker takes part, so it answers whatever state they are in.

mod access;
mod answer;
mod connection;
mod exposition;
mod fpm_status;
mod history;
mod listener;
mod metrics;
mod page;
mod phpfpm;
mod reading;
mod status_socket;
mod worker_metrics;

use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use access::{Hosts, Token};
use answer::Site;
use clap::Args;
use connection::Connections;
use listener::{Listener, Place, SocketFile, Stream};
use reading::Reader;
use status_socket::StatusSocket;

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
  /history.json the last 15 minutes, and the last 20 reloads of each pool
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

    /// Listen only for the workers of the manager that has started this (its option status_path)
    #[arg(long, hide = true, conflicts_with = "listen")]
    no_listen: bool,

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
    let mut workers = StatusSocket::from_environment()?;
    let listener = match options.no_listen {
        true => None,
        false => Some(Listener::open(&options.listen, &options.file).await?),
    };
    if listener
        .as_ref()
        .is_some_and(Listener::is_reachable_from_other_hosts)
        && token.is_none()
    {
        return Err(format!(
            "--listen {}: other hosts can connect, so --token-file is required",
            options.listen
        ));
    }
    let hosts = Hosts::new(options.listen.host(), options.host);
    let reader = Reader::new(options.target);
    reader.log_first().await;
    if let Some(listener) = &listener {
        console::print(&format!("fcgipm admin: {}", listener.url()));
    }
    let site = Arc::new(Site {
        reader,
        hosts,
        token,
    });
    let mut connections = Connections::new(Arc::clone(&site));
    let mut history = pin!(site.reader.keep_history());
    loop {
        tokio::select! {
            () = stop.requested() => break,
            () = connections.reaped() => {}
            () = &mut history => {}
            accepted = next(listener.as_ref()) => match accepted {
                Ok((stream, local)) => connections.start(stream, local),
                Err(error) => pause(&error).await,
            },
            served = serve_worker(workers.as_mut(), &site) => if let Err(error) = served {
                pause(&error).await;
            },
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

/// The next connection; never, if there is no listener.
async fn next(listener: Option<&Listener>) -> io::Result<(Box<dyn Stream>, Option<IpAddr>)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

async fn serve_worker(workers: Option<&mut StatusSocket>, site: &Arc<Site>) -> io::Result<()> {
    match workers {
        Some(workers) => workers.serve_next(site).await,
        None => std::future::pending().await,
    }
}

async fn pause(error: &io::Error) {
    console::error(&format!("fcgipm admin: accept: {error}"));
    tokio::time::sleep(ACCEPT_PAUSE).await;
}
