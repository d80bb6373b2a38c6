//! `fcgipm load`: sends many requests to an application and reports those that were lost.

mod answer;
mod client;
mod crew;
mod exchange;
mod expected;
mod head;
mod loss;
mod plan;
mod report;
mod request;
mod run;
mod shared;
mod tally;
mod target;

use std::fs::File;
use std::io::{self, Read, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use crew::Outcome;
use expected::Expected;
use hyper::{Method, Uri};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use plan::{Limit, Plan};
use request::{Body, Question, Request};
use target::Target;

use crate::args::address::Address;
use crate::args::values;
use crate::cgi::variables::Mapping;
use crate::console;

/// The number of requests without --requests and --time.
const USUAL_REQUESTS: u64 = 1000;

/// The maximum size of the body, which is in memory once.
const MAX_BODY: u64 = 1 << 30;

/// Descriptors besides those of clients: the standard ones, epoll, signals and so on.
const OWN_DESCRIPTORS: u64 = 24;

/// Send many requests to a FastCGI application and count those that are lost
///
/// Each client sends a request, waits for the whole response, and sends the next. Reload, resize or
/// restart the application during a run to see whether clients are affected: check for lost=0, or
/// the exit status.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Options {
    /// The application: HOST:PORT, [IPV6]:PORT, :PORT (loopback), /PATH, unix:/PATH or @NAME
    /// (abstract)
    #[arg(value_name = "ADDRESS")]
    to: Address,

    /// Number of concurrent clients
    #[arg(short, long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    clients: u32,

    /// Number of threads [default: the number of processors]
    #[arg(long, value_name = "N")]
    threads: Option<NonZero<usize>>,

    /// Total number of requests of all clients [default: 1000]
    #[arg(short = 'n', long, value_name = "N", conflicts_with = "time", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,

    /// Start requests for this time, then wait for those in progress
    #[arg(short, long, value_name = "TIME", value_parser = values::seconds)]
    time: Option<Duration>,

    /// Use keep-alive connections (FCGI_KEEP_CONN)
    #[arg(short, long)]
    keep: bool,

    /// Path and query of every request
    #[arg(long, value_name = "/PATH?QUERY", default_value = "/", value_parser = values::path_and_query)]
    uri: Uri,

    /// The request method [default: GET, or POST with a body]
    #[arg(long, value_name = "METHOD")]
    method: Option<Method>,

    /// Send a body of SIZE bytes (suffix k or m: KiB, MiB)
    #[arg(long, value_name = "SIZE", value_parser = size)]
    body: Option<u64>,

    /// Send this file as the body
    #[arg(long, value_name = "FILE", conflicts_with = "body")]
    body_file: Option<PathBuf>,

    /// Number of parameters per request; typical ones of a web server are added to reach it [default: 28]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    params: Option<u16>,

    /// Send the parameters in two segments with a pause of MS milliseconds
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..=3_600_000))]
    split: Option<u32>,

    /// Count a response without this text in its header or body as lost
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    expect: Option<String>,

    /// Count a response with another status as lost
    #[arg(long, value_name = "CODE", default_value = "200", value_parser = clap::value_parser!(u16).range(100..=999))]
    status: u16,

    /// Count a request that is not complete after this time as lost
    #[arg(long, value_name = "TIME", default_value = "30", value_parser = limit)]
    timeout: Duration,

    /// Print the report as one JSON object; times are in seconds
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    mapping: Mapping,
}

const HELP: &str = "\
Examples:
  fcgipm load -c 8 -n 100000 /run/app.sock
  fcgipm load -c 8 -t 60 --split 3 :9005        (reload the application during the run)
  fcgipm load -c 32 -t 10 --keep --uri '/hello?a=b' --expect Hello localhost:9005

The first line of the report is for scripts:
  requests=100000 ok=100000 lost=0 time=3.21s rate=31152/s
Every request is counted once, as ok or lost. The rate counts ok requests only. The following lines
have the lost requests by kind; the latencies of ok requests, from the connect (or on a reused
connection from the first byte sent) to the end of the response; the longest period in which no
request succeeded, and when it began; the number of connections; and the first losses in detail.

Kinds of loss:
  refused          The connection failed; the system error is reported: ECONNREFUSED, ENOENT (no
                   socket file), EAGAIN (the listen queue of a unix socket is full), and so on. The
                   application never received the request, but for a visitor it is lost all the
                   same. EADDRNOTAVAIL and EMFILE are shortages of this machine. The client pauses
                   for 10 ms.
  before           The connection was closed or reset before any byte of the response.
  before (reused)  The same on a keep-alive connection that had carried a response. The client checks
                   right before it sends, as nginx does, that the connection was not closed. A web
                   server may retry a request that crosses the close; this client counts it.
  within           The connection was closed or reset in the middle of the response.
  after            The response was complete, but was followed by surplus bytes, or the connection
                   was reset instead of closed. The client does not wait for the application to
                   close, so it may miss such a reset.
  status           The status is not --status. A redirect without a status counts as 302.
  content          The --expect text is missing, Content-Length is not the length of the body, the
                   response header is missing or invalid, or the application ended the request with
                   a status other than 0 or refused it (OVERLOADED, UNKNOWN_ROLE, CANT_MPX_CONN).
  malformed        The bytes are not valid FastCGI.
  stuck            The response was not complete within --timeout.

SIGINT and SIGTERM stop the run: no more requests start, those in progress have one second to
finish, and the report is printed. A second signal ends the run immediately.

Exit status:
  0  no request was lost
  1  at least one request was lost
  2  usage error, or the run could not start";

/// Runs the load; returns the exit status.
pub(crate) fn run(options: &Options) -> u8 {
    match load(options) {
        Ok(outcome) => {
            let report = if options.json {
                outcome.json().to_string()
            } else {
                outcome.text()
            };
            // If standard output is closed, the exit status still has the result.
            let _ = writeln!(io::stdout().lock(), "{report}");
            u8::from(outcome.tally.all_lost() > 0)
        }
        Err(reason) => {
            console::error(&format!("fcgipm load: {reason}"));
            2
        }
    }
}

fn load(options: &Options) -> Result<Outcome, String> {
    let limit = match options.time {
        Some(time) => Limit::Time(time),
        None => Limit::Requests(options.requests.unwrap_or(USUAL_REQUESTS)),
    };
    let clients = options.clients;
    if let Limit::Requests(requests) = limit {
        if u64::from(clients) > requests {
            return Err(format!(
                "--clients {clients} with --requests {requests}: more clients than requests"
            ));
        }
    }
    let split = options
        .split
        .map(|pause| Duration::from_millis(u64::from(pause)));
    if let Some(pause) = split.filter(|pause| *pause >= options.timeout) {
        return Err(format!(
            "--split {} is not shorter than --timeout {}: every request would be stuck",
            pause.as_millis(),
            options.timeout.as_secs_f64()
        ));
    }
    let target = Target::new(&options.to)?;
    // With TCP, a client may also hold the previous connection.
    descriptors(clients, if target.is_tcp() { 2 } else { 1 })?;

    let body = match &options.body_file {
        Some(file) => Some(Body::Content(content(file)?)),
        None => options.body.map(Body::Counting),
    };
    let method = options.method.clone().unwrap_or(match body {
        Some(_) => Method::POST,
        None => Method::GET,
    });
    let question = Question {
        method: &method,
        uri: &options.uri,
        mapping: &options.mapping,
        parameters: options.params.map(usize::from),
        body: body.as_ref(),
        keep: options.keep,
    };
    let plan = Plan {
        request: Request::new(&question)?,
        expected: Expected::new(
            options.status,
            method == Method::HEAD,
            options.expect.as_deref(),
        ),
        clients: usize::try_from(clients).map_err(|error| error.to_string())?,
        limit,
        keep: options.keep,
        split,
        timeout: options.timeout,
    };
    let threads = match options.threads {
        Some(threads) => threads,
        None => std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN),
    };
    crew::run(&plan, &target, threads)
}

/// Raises the limit of open files to what the clients need.
fn descriptors(clients: u32, each: u64) -> Result<(), String> {
    let needed = u64::from(clients) * each + OWN_DESCRIPTORS;
    let fail = |error: &dyn std::fmt::Display| {
        format!("--clients {clients} needs {needed} descriptors: {error}")
    };
    let resource = Resource::RLIMIT_NOFILE;
    let (soft, hard) = getrlimit(resource).map_err(|error| fail(&error))?;
    if needed <= soft {
        return Ok(());
    }
    if needed > hard {
        return Err(fail(&format_args!("the hard limit is {hard} (ulimit -Hn)")));
    }
    setrlimit(resource, needed, hard).map_err(|error| fail(&error))
}

/// Reads a file.
fn content(file: &Path) -> Result<Vec<u8>, String> {
    let fail = |reason: &dyn std::fmt::Display| format!("--body-file {}: {reason}", file.display());
    let mut content = Vec::new();
    let opened = File::open(file).map_err(|error| fail(&error))?;
    let mut some = opened.take(MAX_BODY + 1);
    some.read_to_end(&mut content)
        .map_err(|error| fail(&error))?;
    if content.len() as u64 > MAX_BODY {
        return Err(fail(&"more than 1024m"));
    }
    Ok(content)
}

/// A number of bytes, in KiB or MiB with a suffix.
fn size(text: &str) -> Result<u64, String> {
    let (digits, factor) = match text.as_bytes() {
        [.., b'k' | b'K'] => (text.get(..text.len() - 1).unwrap_or_default(), 1 << 10),
        [.., b'm' | b'M'] => (text.get(..text.len() - 1).unwrap_or_default(), 1 << 20),
        _ => (text, 1),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("not a number of bytes (suffix k or m allowed)".into());
    }
    let size = digits.parse::<u64>().ok();
    size.and_then(|size| size.checked_mul(factor))
        .filter(|size| *size <= MAX_BODY)
        .ok_or_else(|| "out of range 0..1024m".into())
}

/// The time after which a request is stuck.
fn limit(text: &str) -> Result<Duration, String> {
    let time = values::seconds(text)?;
    if time > Duration::from_secs(86_400) || time < Duration::from_millis(1) {
        return Err("out of range 0.001..86400".into());
    }
    Ok(time)
}
