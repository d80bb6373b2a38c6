//! `fcgipm call`: makes one request and prints the response.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use fcgipm::wire::{EndRequest, Role};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Uri, Version};
use tokio::fs::File;

use crate::args::address::Address;
use crate::args::values;
use crate::cgi::reply::{Head, HeadReader};
use crate::cgi::variables::{Mapping, Subject};
use crate::console;
use crate::fastcgi::body::{RequestBody, Spool};
use crate::fastcgi::client;
use crate::fastcgi::client::{Connection, Event, Exchange};

/// The exit status. The numbers are those of curl where curl has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Fine = 0,
    ApplicationStatus = 1,
    Usage = 2,
    NotConnected = 7,
    HttpError = 22,
    OutputLost = 23,
    TimedOut = 28,
    BrokenResponse = 56,
}

/// Make one request to a FastCGI application and print the response body
///
/// The STDERR stream of the application is written to standard error. Local redirects are printed,
/// not followed.
#[derive(Args, Debug)]
#[command(after_help = "\
Exit status:
  0   HTTP status below 400, application status 0
  1   the application status is not 0
  2   usage error: an option, an address, or a file that cannot be read
  7   cannot connect
  22  HTTP status 400 or above
  23  cannot write the response to standard output
  28  --timeout expired
  56  the response is invalid or incomplete, or the application refused the request")]
pub(crate) struct Options {
    /// The application: HOST:PORT, [IPV6]:PORT, :PORT (loopback), /PATH, unix:/PATH or @NAME
    /// (abstract)
    #[arg(long, value_name = "ADDRESS")]
    to: Address,

    /// The request method [default: GET, or POST with --body]
    #[arg(long, value_name = "METHOD")]
    method: Option<Method>,

    /// Send this file as the request body; - is standard input
    #[arg(long, value_name = "FILE")]
    body: Option<String>,

    /// Add a request header field, which becomes CONTENT_TYPE or HTTP_* (repeatable)
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header_field)]
    headers: Vec<(HeaderName, HeaderValue)>,

    /// The FastCGI role of the request
    #[arg(long, value_name = "ROLE", default_value = "responder")]
    role: RoleName,

    /// Send this file as the data stream of --role filter
    #[arg(long, value_name = "FILE")]
    data: Option<String>,

    /// Maximum time for the whole call, such as 30 or 1m
    #[arg(long, value_name = "TIME", default_value = "60", value_parser = values::seconds)]
    timeout: Duration,

    /// Also print the response header, as the application sent it
    #[arg(long)]
    include: bool,

    #[command(flatten)]
    mapping: Mapping,

    /// The path and the query of the request
    #[arg(value_name = "/PATH?QUERY", value_parser = values::path_and_query)]
    path: Uri,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum RoleName {
    Responder,
    Authorizer,
    Filter,
}

impl RoleName {
    const fn role(self) -> Role {
        match self {
            Self::Responder => Role::Responder,
            Self::Authorizer => Role::Authorizer,
            Self::Filter => Role::Filter,
        }
    }
}

/// Why a call failed.
type Stopped = (Ending, String);

/// Makes the call; returns the exit status.
pub(crate) async fn run(options: Options) -> u8 {
    let limit = options.timeout;
    let ending = match tokio::time::timeout(limit, call(options)).await {
        Ok(Ok(ending)) => ending,
        Ok(Err((ending, reason))) => {
            console::error(&format!("fcgipm call: {reason}"));
            ending
        }
        Err(_) => {
            let seconds = limit.as_secs_f64();
            console::error(&format!(
                "fcgipm call: no complete response within {seconds} s (--timeout)"
            ));
            Ending::TimedOut
        }
    };
    ending as u8
}

async fn call(options: Options) -> Result<Ending, Stopped> {
    let role = options.role.role();
    if role == Role::Authorizer && options.body.is_some() {
        return Err(usage("--body: an authorizer receives no body"));
    }
    if role != Role::Filter && options.data.is_some() {
        return Err(usage("--data: only --role filter has a data stream"));
    }
    let mut extra = Vec::new();
    let (body, length) = match &options.body {
        Some(name) => {
            let (body, length, _) = input("--body", name).await?;
            (body, Some(length))
        }
        None => (RequestBody::empty(), None),
    };
    let mut data = RequestBody::empty();
    if let Some(name) = &options.data {
        let (stream, length, modified) = input("--data", name).await?;
        data = stream;
        extra.push((&b"FCGI_DATA_LENGTH"[..], length));
        extra.push((&b"FCGI_DATA_LAST_MOD"[..], modified));
    }

    let method = options.method.unwrap_or(if length.is_some() {
        Method::POST
    } else {
        Method::GET
    });
    let headers: HeaderMap =
        options
            .headers
            .into_iter()
            .fold(HeaderMap::new(), |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            });
    let nowhere = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let subject = Subject {
        role,
        method: &method,
        uri: &options.path,
        version: Version::HTTP_11,
        headers: &headers,
        content_length: length,
        remote: nowhere(0),
        local: nowhere(80),
    };
    let mut variables = options
        .mapping
        .variables(&subject)
        .map_err(|unmapped| usage(unmapped.reason))?;
    for (name, number) in extra {
        if !variables.iter().any(|(other, _)| other == name) {
            variables.push((name.to_vec(), number.to_string().into_bytes()));
        }
    }

    let connection = Connection::open(&options.to, options.timeout)
        .await
        .map_err(|error| {
            let ending = match error {
                client::ConnectError::Refused { .. } => Ending::NotConnected,
                client::ConnectError::TimedOut { .. } => Ending::TimedOut,
            };
            (ending, error.to_string())
        })?;
    let request = client::Request {
        role,
        keep_connection: false,
        variables: &variables,
        body,
        data,
    };
    print(client::start(connection, request), options.include).await
}

/// Prints the response.
async fn print(exchange: Exchange, include: bool) -> Result<Ending, Stopped> {
    let Exchange { mut events, .. } = exchange;
    let mut reader = HeadReader::default();
    let mut head: Option<Head> = None;
    let mut seen = 0u64;
    loop {
        match events.recv().await {
            Some(Event::Stdout(bytes)) if head.is_some() => {
                seen += bytes.len() as u64;
                out(&bytes)?;
            }
            Some(Event::Stdout(bytes)) => {
                let parsed = reader.push(&bytes);
                if let Some((found, start)) = parsed.map_err(|error| broken(error.to_string()))? {
                    if include {
                        out(&found.raw)?;
                    }
                    seen += start.len() as u64;
                    out(&start)?;
                    head = Some(found);
                }
            }
            Some(Event::Stderr(bytes)) => console::write(&bytes),
            Some(Event::Done(end, _)) => return ending(end, head, seen),
            Some(Event::Failed(failure)) => {
                let place = head.map_or_else(
                    || ", before the end of the response header".to_owned(),
                    |_| format!(", after {seen} bytes of the response body"),
                );
                return Err(broken(format!("{}{place}", failure.cause)));
            }
            None => return Err(broken("the request's task ended".into())),
        }
    }
}

/// The result of a request that the application has ended.
fn ending(end: EndRequest, head: Option<Head>, seen: u64) -> Result<Ending, Stopped> {
    if let Some(refused) = client::refusal(end) {
        return Err(broken(refused));
    }
    let Some(head) = head else {
        let status = end.app_status;
        return Err(broken(format!(
            "the application ended the request without a response header (application status {status})"
        )));
    };
    if head.status.as_u16() >= 400 {
        let reason = format!("the application answered with HTTP status {}", head.status);
        return Err((Ending::HttpError, reason));
    }
    if end.app_status != 0 {
        let reason = format!(
            "the application ended the request with application status {}",
            end.app_status
        );
        return Err((Ending::ApplicationStatus, reason));
    }
    // The response to HEAD announces the length of a body that is not sent.
    let announced = head.content_length;
    if let Some(length) = announced.filter(|&length| seen != 0 && seen != length) {
        return Err(broken(format!(
            "the application announced Content-Length {length} and sent {seen} bytes"
        )));
    }
    Ok(Ending::Fine)
}

/// The content of a file, its length, and its modification time (in seconds since the epoch).
async fn input(option: &str, name: &str) -> Result<(RequestBody, u64, u64), Stopped> {
    let fail = |error: &dyn std::fmt::Display| usage(format!("{option} '{name}': {error}"));
    if name == "-" {
        let (body, length) = Spool::reader(tokio::io::stdin())
            .await
            .map_err(|error| fail(&error))?;
        return Ok((body, length, 0));
    }
    let file = File::open(name).await.map_err(|error| fail(&error))?;
    let metadata = file.metadata().await.map_err(|error| fail(&error))?;
    if metadata.is_dir() {
        return Err(fail(&"is a directory"));
    }
    let modified = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .map_or(0, |time| time.as_secs());
    if metadata.is_file() {
        return Ok((
            RequestBody::file(file, metadata.len()),
            metadata.len(),
            modified,
        ));
    }
    let (body, length) = Spool::reader(file).await.map_err(|error| fail(&error))?;
    Ok((body, length, modified))
}

fn out(bytes: &[u8]) -> Result<(), Stopped> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|error| (Ending::OutputLost, format!("standard output: {error}")))
}

fn usage(reason: impl Into<String>) -> Stopped {
    (Ending::Usage, reason.into())
}

const fn broken(reason: String) -> Stopped {
    (Ending::BrokenResponse, reason)
}

fn header_field(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text
        .split_once(':')
        .ok_or("not of the form 'NAME: VALUE'")?;
    let name = name
        .trim()
        .parse()
        .map_err(|_| format!("'{name}' is not a valid header name"))?;
    let value = value
        .trim()
        .parse()
        .map_err(|_| format!("'{value}' is not a valid header value"))?;
    Ok((name, value))
}
