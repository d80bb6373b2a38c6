//! `fcgipm load`: many requests to an application, and an account of those that were lost.

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

/// Requests when neither --requests nor --time is given.
const USUAL_REQUESTS: u64 = 1000;

/// The largest body; it is held in memory, once.
const MAX_BODY: u64 = 1 << 30;

/// Descriptors that are open whatever is asked: the standard ones, epoll, signals and the like.
const OWN_DESCRIPTORS: u64 = 24;

/// Send many requests to a FastCGI application and count those that are lost
///
/// Each client sends a request, waits for the whole response, and sends the next. A run in which
/// the application was reloaded, resized or restarted meanwhile shows whether anybody noticed:
/// look for lost=0, or at the exit status.
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct Options {
    /// The application: HOST:PORT, [IPV6]:PORT, :PORT (loopback), /PATH, unix:/PATH or @NAME (abstract)
    #[arg(value_name = "ADDRESS")]
    to: Address,

    /// Clients that send at the same time
    #[arg(short, long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    clients: u32,

    /// Threads that the clients are spread over [default: as many as there are processors]
    #[arg(long, value_name = "N")]
    threads: Option<NonZero<usize>>,

    /// Requests of all clients together [default: 1000]
    #[arg(short = 'n', long, value_name = "N", conflicts_with = "time", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,

    /// Begin requests for so many seconds; those under way then are still waited for
    #[arg(short, long, value_name = "TIME", value_parser = values::seconds)]
    time: Option<Duration>,

    /// Keep connections and use them again (FCGI_KEEP_CONN)
    #[arg(short, long)]
    keep: bool,

    /// Path and query of every request
    #[arg(long, value_name = "/PATH?QUERY", default_value = "/", value_parser = values::path_and_query)]
    uri: Uri,

    /// The request method [default: GET, or POST with a body]
    #[arg(long, value_name = "METHOD")]
    method: Option<Method>,

    /// Send a body of so many bytes (k, m for KiB, MiB)
    #[arg(long, value_name = "SIZE", value_parser = size)]
    body: Option<u64>,

    /// Send this file as the body
    #[arg(long, value_name = "FILE", conflicts_with = "body")]
    body_file: Option<PathBuf>,

    /// Parameters of a request; a web server's are made up until there are so many [default: 28]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    params: Option<u16>,

    /// Send the parameters in two segments, with a pause of so many milliseconds between
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..=3_600_000))]
    split: Option<u32>,

    /// A response without this text, in its header or body, is lost
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    expect: Option<String>,

    /// A response with another status is lost
    #[arg(long, value_name = "CODE", default_value = "200", value_parser = clap::value_parser!(u16).range(100..=999))]
    status: u16,

    /// A request without an end after so many seconds is lost
    #[arg(long, value_name = "TIME", default_value = "30", value_parser = limit)]
    timeout: Duration,

    /// Print one JSON object instead of text; times are in seconds
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    mapping: Mapping,
}

const HELP: &str = "\
Examples:
  fcgipm load -c 8 -n 100000 /run/app.sock
  fcgipm load -c 8 -t 60 --split 3 :9005        reload the application meanwhile
  fcgipm load -c 32 -t 10 --keep --uri '/hello?a=b' --expect Hello localhost:9005

The first line is for scripts:
  requests=100000 ok=100000 lost=0 time=3.21s rate=31152/s
Every request counts once, as ok or as lost; rate is of those that are ok. Then follow the lost by
kind, the latencies of the ok (from the connect, or on a kept connection from the first byte sent, to
the end of the response), the longest time in which no request became ok and when it began, the
connections that were opened, and the first losses one by one.

Kinds of loss:
  refused          Nobody took the connection, by the system's error: ECONNREFUSED, ENOENT (no socket
                   file), EAGAIN (a unix socket's listen queue is full), and so on. The application
                   never had this request; for a visitor it is lost all the same. EADDRNOTAVAIL and
                   EMFILE are shortages of this machine. The client rests for 10 ms.
  before           The connection ended or was reset before any byte of the response.
  before (reused)  The same on a kept connection that had carried a response. A web server may try
                   such a request again; this client does not, and counts it.
  within           The connection ended in the middle of the response.
  after            The response was complete, but bytes follow that belong to nothing, or the
                   connection was reset instead of closed. A reset is only counted when it shows by
                   itself: the client does not wait for the application to close.
  status           Another status than --status. A redirect without one is a 302.
  content          The --expect text is missing, Content-Length differs from what came, the response
                   has no good header, or the application ended the request with a status other than
                   0 or refused it (OVERLOADED, UNKNOWN_ROLE, CANT_MPX_CONN).
  malformed        The bytes are no FastCGI.
  stuck            No end of the response within --timeout.

SIGINT and SIGTERM end the run: no request begins any more, those under way get a second, and what
was counted is printed. A second signal does not wait.

Exit status:
  0  nothing was lost
  1  at least one request was lost
  2  bad usage, or the run could not start";

/// Runs the load; returns the exit status.
pub(crate) fn run(options: &Options) -> u8 {
    match load(options) {
        Ok(outcome) => {
            let report = if options.json {
                outcome.json().to_string()
            } else {
                outcome.text()
            };
            // Whoever closed standard output still has the exit status.
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
    if let Limit::Requests(requests) = limit
        && u64::from(clients) > requests
    {
        return Err(format!(
            "--clients {clients} with --requests {requests}: more clients than requests"
        ));
    }
    let split = options
        .split
        .map(|pause| Duration::from_millis(u64::from(pause)));
    if let Some(pause) = split.filter(|pause| *pause >= options.timeout) {
        return Err(format!(
            "--split {} is no shorter than --timeout {}: every request would be stuck",
            pause.as_millis(),
            options.timeout.as_secs_f64()
        ));
    }
    let target = Target::new(&options.to)?;
    // With TCP a client may hold the connection before, too.
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

/// Raises the limit of descriptors to what the clients need.
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

/// What a file holds.
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
        return Err("not a number of bytes, with k or m behind it".into());
    }
    let size = digits.parse::<u64>().ok();
    size.and_then(|size| size.checked_mul(factor))
        .filter(|size| *size <= MAX_BODY)
        .ok_or_else(|| "out of range 0..1024m".into())
}

/// A time after which a request is stuck.
fn limit(text: &str) -> Result<Duration, String> {
    let time = values::seconds(text)?;
    if time > Duration::from_secs(86_400) || time < Duration::from_millis(1) {
        return Err("out of range 0.001..86400".into());
    }
    Ok(time)
}
