//! The variables of a request (RFC 3875, section 4.1), as web servers set them.

use std::net::SocketAddr;

use clap::Args;
use fcgipm::wire::Role;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderMap, TRANSFER_ENCODING};
use hyper::{Method, Uri, Version};

/// Names and values in the order in which they are sent.
pub(crate) type Variables = Vec<(Vec<u8>, Vec<u8>)>;

/// How the path of a request maps to the application.
#[derive(Args, Clone, Debug)]
pub(crate) struct Mapping {
    /// The part of the path that is SCRIPT_NAME; the rest is PATH_INFO
    #[arg(long, value_name = "/PATH", default_value = "", value_parser = script_name)]
    script_name: String,

    /// Set DOCUMENT_ROOT, and derive SCRIPT_FILENAME and PATH_TRANSLATED from it
    ///
    /// SCRIPT_FILENAME is DIR followed by --script-name, or without --script-name by the whole
    /// path.
    #[arg(long, value_name = "DIR")]
    document_root: Option<String>,

    /// Add a variable, or replace one of the request (repeatable)
    #[arg(short = 'p', long = "param", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, String)>,

    /// Omit a variable of the request (repeatable)
    #[arg(long, value_name = "NAME")]
    without: Vec<String>,
}

/// The properties of a request that become variables.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) role: Role,
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) version: Version,
    pub(crate) headers: &'a HeaderMap,
    /// The length of the body, if there is one.
    pub(crate) content_length: Option<u64>,
    pub(crate) remote: SocketAddr,
    pub(crate) local: SocketAddr,
}

/// Why a request cannot be mapped: the HTTP status and a reason.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unmapped {
    pub(crate) status: u16,
    pub(crate) reason: String,
}

impl Mapping {
    /// The variables of a request.
    ///
    /// # Errors
    /// A path that does not belong to the application or cannot be a CGI path.
    pub(crate) fn variables(&self, subject: &Subject<'_>) -> Result<Variables, Unmapped> {
        let mut list = List(Vec::with_capacity(40));
        self.set_path(&mut list, subject)?;
        set_request(&mut list, subject);
        set_headers(&mut list, subject.headers);
        for (name, value) in &self.parameters {
            list.0.retain(|(other, _)| other != name.as_bytes());
            list.set(name, value);
        }
        let is_wanted = |name: &[u8]| self.without.iter().all(|other| other.as_bytes() != name);
        list.0.retain(|(name, _)| is_wanted(name));
        Ok(list.0)
    }

    fn set_path(&self, list: &mut List, subject: &Subject<'_>) -> Result<(), Unmapped> {
        let unmapped = |status, reason: String| Unmapped { status, reason };
        let raw = subject.uri.path();
        let path = if raw == "*" {
            Vec::new()
        } else {
            decoded(raw)?
        };
        if self.document_root.is_some()
            && path.split(|&byte| byte == b'/').any(|part| part == b"..")
        {
            return Err(unmapped(
                400,
                format!("path '{raw}' leads out of the document root"),
            ));
        }
        let info = path
            .strip_prefix(self.script_name.as_bytes())
            .filter(|rest| rest.is_empty() || rest.starts_with(b"/"))
            .ok_or_else(|| {
                let name = &self.script_name;
                unmapped(
                    404,
                    format!("path '{raw}' is not below --script-name {name}"),
                )
            })?;
        // An authorizer decides about a request, but is not its target (FastCGI 1.0, section 6.3).
        let is_target = subject.role != Role::Authorizer;
        if is_target {
            list.set("SCRIPT_NAME", &self.script_name);
            list.set("PATH_INFO", info);
        }
        if let Some(root) = &self.document_root {
            let root = root.strip_suffix('/').unwrap_or(root);
            let script = if self.script_name.is_empty() {
                &path
            } else {
                self.script_name.as_bytes()
            };
            list.set("DOCUMENT_ROOT", root);
            list.set("SCRIPT_FILENAME", [root.as_bytes(), script].concat());
            if is_target && !info.is_empty() {
                list.set("PATH_TRANSLATED", [root.as_bytes(), info].concat());
            }
        }
        Ok(())
    }
}

struct List(Variables);

impl List {
    fn set(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.0
            .push((name.as_ref().to_vec(), value.as_ref().to_vec()));
    }
}

fn set_request(list: &mut List, subject: &Subject<'_>) {
    list.set("GATEWAY_INTERFACE", "CGI/1.1");
    list.set(
        "SERVER_SOFTWARE",
        concat!("fcgipm/", env!("CARGO_PKG_VERSION")),
    );
    list.set("SERVER_PROTOCOL", format!("{:?}", subject.version));
    list.set("REQUEST_METHOD", subject.method.as_str());
    list.set("REQUEST_SCHEME", "http");
    let uri = subject.uri.path_and_query();
    list.set("REQUEST_URI", uri.map_or("/", |uri| uri.as_str()));
    list.set("QUERY_STRING", subject.uri.query().unwrap_or_default());
    list.set(
        "REMOTE_ADDR",
        subject.remote.ip().to_canonical().to_string(),
    );
    list.set("REMOTE_PORT", subject.remote.port().to_string());
    list.set("SERVER_ADDR", subject.local.ip().to_canonical().to_string());
    list.set("SERVER_PORT", subject.local.port().to_string());
    list.set("SERVER_NAME", server_name(subject));
    // Without it, php-cgi refuses to run: it expects that a web server started it.
    list.set("REDIRECT_STATUS", "200");
    if subject.role != Role::Authorizer {
        if let Some(length) = subject.content_length {
            list.set("CONTENT_LENGTH", length.to_string());
        }
    }
    if let Some(kind) = subject.headers.get(CONTENT_TYPE) {
        list.set("CONTENT_TYPE", kind);
    }
}

/// The host that the client named, or the address that it connected to.
fn server_name(subject: &Subject<'_>) -> String {
    let field = subject
        .headers
        .get(HOST)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<hyper::http::uri::Authority>().ok());
    subject
        .uri
        .host()
        .or_else(|| field.as_ref().map(|authority| authority.host()))
        .filter(|host| !host.is_empty())
        .map_or_else(|| host_of(subject.local), str::to_owned)
}

fn host_of(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    }
}

fn set_headers(list: &mut List, headers: &HeaderMap) {
    for name in headers.keys() {
        // The first two have variables of their own. A transfer coding has been removed already.
        if [CONTENT_TYPE, CONTENT_LENGTH, TRANSFER_ENCODING].contains(name) {
            continue;
        }
        let Some(variable) = variable_name(name.as_str()) else {
            continue;
        };
        let separator: &[u8] = if name == COOKIE { b"; " } else { b", " };
        let values: Vec<&[u8]> = headers
            .get_all(name)
            .iter()
            .map(|value| value.as_bytes())
            .collect();
        list.set(variable, values.join(separator));
    }
}

/// `HTTP_` and the name of a header. `None` for a header that must not become a variable: `Proxy`,
/// which programs read as their own configuration (httpoxy), and any name that could be mistaken
/// for another (`X_Real_IP` for `X-Real-IP`).
fn variable_name(header: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if header.eq_ignore_ascii_case("proxy") || !header.bytes().all(is_plain) {
        return None;
    }
    let name = header.to_ascii_uppercase().replace('-', "_");
    Some(format!("HTTP_{name}"))
}

fn decoded(path: &str) -> Result<Vec<u8>, Unmapped> {
    let bad = || Unmapped {
        status: 400,
        reason: format!("path '{path}' has an invalid %-escape"),
    };
    let mut bytes = path.bytes();
    let mut out = Vec::with_capacity(path.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (high, low) = (digit().ok_or_else(bad)?, digit().ok_or_else(bad)?);
        // A NUL would end the string in a C program.
        match (high * 16 + low) as u8 {
            0 => return Err(bad()),
            value => out.push(value),
        }
    }
    Ok(out)
}

fn script_name(text: &str) -> Result<String, String> {
    if text.is_empty() || (text.starts_with('/') && !text.ends_with('/')) {
        Ok(text.into())
    } else {
        Err("must start with a slash and not end with one".into())
    }
}

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("not NAME=VALUE".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_once_and_bad_escapes_are_refused() {
        assert_eq!(
            decoded("/a%20b%2Fc%c3%A4%2525").unwrap(),
            b"/a b/c\xc3\xa4%25"
        );
        for bad in ["/%", "/%a", "/%zz", "/%00", "/%é"] {
            assert_eq!(decoded(bad).unwrap_err().status, 400, "{bad}");
        }
    }

    #[test]
    fn no_header_becomes_the_variable_of_another() {
        assert_eq!(
            variable_name("x-real-ip").as_deref(),
            Some("HTTP_X_REAL_IP")
        );
        for name in ["proxy", "Proxy", "x_real_ip", "x.real", "x!"] {
            assert_eq!(variable_name(name), None, "{name}");
        }
    }
}
