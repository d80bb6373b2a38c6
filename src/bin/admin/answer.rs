//! From a request to its response.

use std::net::IpAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    HeaderName, HeaderValue, REFERRER_POLICY, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};

use super::access::{HostCheck, Hosts, Token};
use super::exposition::Format;
use super::reading::{Reader, Wanted};
use super::{metrics, page};

const TEXT: &str = "text/plain; charset=utf-8";
/// For everything but the page.
const NO_CONTENT: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'";

/// What all requests share.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) reader: Reader,
    pub(super) hosts: Hosts,
    pub(super) token: Option<Token>,
}

type Answer = Response<Full<Bytes>>;

/// The answer to a request, of which only the header is read. `local`: the address that the client is
/// connected to.
pub(super) async fn answer<B>(site: &Site, request: &Request<B>, local: Option<IpAddr>) -> Answer {
    let (uri, headers) = (request.uri(), request.headers());
    match site.hosts.check(request.version(), uri, headers, local) {
        HostCheck::Fine => {}
        HostCheck::Invalid => {
            return text(StatusCode::BAD_REQUEST, "one Host header is required\n");
        }
        HostCheck::Foreign => {
            let reason = "the Host header names another host: see the option --host\n";
            return text(StatusCode::MISDIRECTED_REQUEST, reason);
        }
    }
    let Some(endpoint) = Endpoint::of(uri.path()) else {
        return text(StatusCode::NOT_FOUND, "not found\n");
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
        set(&mut refused, ALLOW, "GET, HEAD");
        return refused;
    }
    let is_allowed = site.token.as_ref().is_none_or(|token| token.is_in(headers));
    match endpoint {
        Endpoint::Health => text(StatusCode::OK, "alive\n"),
        Endpoint::Ready => ready(site, is_allowed).await,
        Endpoint::Page | Endpoint::Status | Endpoint::History | Endpoint::Metrics
            if !is_allowed =>
        {
            let mut refused = text(StatusCode::UNAUTHORIZED, "the token is required\n");
            set(&mut refused, WWW_AUTHENTICATE, "Basic realm=\"fcgipm\"");
            refused
        }
        Endpoint::Page => show_page(),
        Endpoint::Status => status(site).await,
        Endpoint::History => json(StatusCode::OK, format!("{}\n", site.reader.history())),
        Endpoint::Metrics => {
            let query = uri.query().unwrap_or_default();
            let accepted = headers.get_all(ACCEPT).iter();
            let format = Format::accepted(accepted.filter_map(|value| value.to_str().ok()));
            let wanted = Wanted {
                pss: has_parameter(query, "pss"),
                ..Wanted::default()
            };
            let body = match site.reader.read(wanted).await {
                Ok(reading) => metrics::of(&reading, format, has_parameter(query, "phpfpm")),
                Err(reason) => return text(StatusCode::SERVICE_UNAVAILABLE, &(reason + "\n")),
            };
            let mut answer = with_body(StatusCode::OK, format.content_type(), body);
            set(&mut answer, VARY, "Accept");
            answer
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Endpoint {
    Page,
    Status,
    History,
    Metrics,
    Health,
    Ready,
}

impl Endpoint {
    fn of(path: &str) -> Option<Self> {
        match path {
            "/" => Some(Self::Page),
            "/status.json" => Some(Self::Status),
            "/history.json" => Some(Self::History),
            "/metrics" => Some(Self::Metrics),
            "/healthz" => Some(Self::Health),
            "/readyz" => Some(Self::Ready),
            _ => None,
        }
    }
}

/// Whether a query has this parameter, with any value.
fn has_parameter(query: &str, name: &str) -> bool {
    query
        .split('&')
        .any(|pair| pair.split('=').next() == Some(name))
}

async fn ready(site: &Site, with_reason: bool) -> Answer {
    let (is_ready, reason) = match site.reader.read(Wanted::default()).await {
        Ok(reading) => reading.readiness(),
        Err(reason) => (false, format!("not ready: {reason}\n")),
    };
    let (status, short) = match is_ready {
        true => (StatusCode::OK, "ready\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
    };
    text(status, if with_reason { &reason } else { short })
}

async fn status(site: &Site) -> Answer {
    let wanted = Wanted {
        files: true,
        ..Wanted::default()
    };
    let read = site.reader.read(wanted).await;
    let (status, value) = match read.and_then(|reading| reading.json()) {
        Ok(value) => (StatusCode::OK, value),
        Err(reason) => (
            StatusCode::SERVICE_UNAVAILABLE,
            serde_json::json!({ "error": reason }),
        ),
    };
    json(status, format!("{value:#}\n"))
}

fn json(status: StatusCode, text: String) -> Answer {
    with_body(status, "application/json", text)
}

fn show_page() -> Answer {
    match page::with_nonce() {
        Ok((page, policy)) => {
            let mut answer = with_body(StatusCode::OK, "text/html; charset=utf-8", page);
            set(&mut answer, CONTENT_SECURITY_POLICY, &policy);
            answer
        }
        Err(error) => {
            let reason = format!("no random numbers: {error}\n");
            text(StatusCode::INTERNAL_SERVER_ERROR, &reason)
        }
    }
}

/// The answer when more requests are being answered than the limit.
pub(super) fn too_many() -> Answer {
    let mut refused = text(StatusCode::SERVICE_UNAVAILABLE, "too many requests\n");
    set(&mut refused, RETRY_AFTER, "1");
    refused
}

fn text(status: StatusCode, body: &str) -> Answer {
    with_body(status, TEXT, body.to_owned())
}

fn with_body(status: StatusCode, kind: &str, body: String) -> Answer {
    let length = HeaderValue::from(body.len());
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    // Also for HEAD.
    answer.headers_mut().insert(CONTENT_LENGTH, length);
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, NO_CONTENT),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        set(&mut answer, name, value);
    }
    answer
}

fn set(answer: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}
