//! Addresses on the command line: of the application (`--to`) and of the gateway (`--http`).

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The maximum length of a name in `sun_path`, without the NUL that ends or begins it.
const UNIX_NAME_MAX: usize = 107;

/// Where a FastCGI application listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// As on the command line, for messages.
    text: String,
    place: Place,
}

/// A parsed address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A host name or IP address, without brackets.
    Tcp { host: String, port: u16 },
    /// `:PORT`, this machine over IPv4 or IPv6.
    Loopback { port: u16 },
    /// A socket file.
    Unix(PathBuf),
    /// A name in Linux's abstract namespace, without the `@`.
    Abstract(String),
}

/// An address that the gateway can listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HttpAddress(Address);

impl Address {
    pub(crate) const fn place(&self) -> &Place {
        &self.place
    }
}

impl HttpAddress {
    /// The host (loopback if none was given) and the port.
    pub(crate) fn host_and_port(&self) -> (&str, u16) {
        match &self.0.place {
            Place::Tcp { host, port } => (host, *port),
            Place::Loopback { port } => ("127.0.0.1", *port),
            Place::Unix(_) | Place::Abstract(_) => ("127.0.0.1", 0),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Display for HttpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place = place(text)?;
        if matches!(
            place,
            Place::Tcp { port: 0, .. } | Place::Loopback { port: 0 }
        ) {
            return Err("port 0 is not an address to connect to".into());
        }
        Ok(Self {
            text: text.into(),
            place,
        })
    }
}

impl FromStr for HttpAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let place = if text.contains(':') {
            place(text)?
        } else {
            return Err("not HOST:PORT, :PORT or [IPV6]:PORT".into());
        };
        match place {
            Place::Tcp { .. } | Place::Loopback { .. } => Ok(Self(Address {
                text: text.into(),
                place,
            })),
            Place::Unix(_) | Place::Abstract(_) => {
                Err("the gateway serves HTTP on TCP only (HOST:PORT), not on a unix socket".into())
            }
        }
    }
}

fn place(text: &str) -> Result<Place, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        if path.starts_with('@') {
            return place(path);
        }
        return unix(path);
    }
    if text.starts_with('/') {
        return unix(text);
    }
    if let Some(name) = text.strip_prefix('@') {
        fits(name)?;
        return Ok(Place::Abstract(name.into()));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err("not HOST:PORT, :PORT, [IPV6]:PORT, /PATH, unix:/PATH or @NAME".into());
    };
    let port = port_number(port)?;
    if host.is_empty() {
        return Ok(Place::Loopback { port });
    }
    let host = match host.strip_prefix('[') {
        Some(rest) => {
            let inner = rest
                .strip_suffix(']')
                .ok_or_else(|| format!("'{host}' has no closing bracket"))?;
            if inner.parse::<std::net::Ipv6Addr>().is_err() {
                return Err(format!("'{inner}' is not an IPv6 address"));
            }
            inner
        }
        None if host.contains(':') => {
            return Err(format!("an IPv6 address needs brackets: [{host}]:{port}"));
        }
        None => host,
    };
    Ok(Place::Tcp {
        host: host.into(),
        port,
    })
}

fn unix(path: &str) -> Result<Place, String> {
    fits(path)?;
    Ok(Place::Unix(path.into()))
}

fn fits(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the socket has no name".into());
    }
    if name.contains('\0') {
        return Err("the name of the socket contains a NUL".into());
    }
    if name.len() > UNIX_NAME_MAX {
        return Err(format!(
            "the name of the socket has {} bytes; the maximum is {UNIX_NAME_MAX}",
            name.len()
        ));
    }
    Ok(())
}

fn port_number(text: &str) -> Result<u16, String> {
    if text.is_empty() {
        return Err("the port is missing".into());
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("port '{text}' is not a number"));
    }
    text.parse()
        .map_err(|_| format!("port '{text}' out of range 0..65535"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Place {
        match text.parse::<Address>() {
            Ok(address) => address.place,
            Err(error) => panic!("{text}: {error}"),
        }
    }

    #[test]
    fn every_documented_form_of_an_address_is_parsed() {
        let tcp = |host: &str, port| Place::Tcp {
            host: host.into(),
            port,
        };
        assert_eq!(parsed("127.0.0.1:9005"), tcp("127.0.0.1", 9005));
        assert_eq!(parsed("localhost:9005"), tcp("localhost", 9005));
        assert_eq!(parsed(":9005"), Place::Loopback { port: 9005 });
        assert_eq!(parsed("[::1]:9005"), tcp("::1", 9005));
        assert_eq!(parsed("/run/app.sock"), Place::Unix("/run/app.sock".into()));
        assert_eq!(parsed("unix:/a:b"), Place::Unix("/a:b".into()));
        assert_eq!(parsed("unix:app.sock"), Place::Unix("app.sock".into()));
        assert_eq!(parsed("@app"), Place::Abstract("app".into()));
    }

    #[test]
    fn an_invalid_address_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "not HOST:PORT"),
            ("9005", "not HOST:PORT"),
            (":", "port is missing"),
            (":99999", "'99999' out of range"),
            ("host:http", "'http' is not a number"),
            ("host:-1", "'-1' is not a number"),
            (":0", "port 0"),
            ("::1:9005", "brackets"),
            ("[::1:9005", "closing bracket"),
            ("[zz]:9005", "'zz' is not an IPv6 address"),
            ("unix:", "no name"),
            ("@", "no name"),
        ] {
            let error = text.parse::<Address>().map(|_| ()).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
        let long = format!("/{}", "x".repeat(107));
        assert!(long.parse::<Address>().is_err());
    }

    #[test]
    fn http_is_served_on_tcp_only_and_on_any_free_port() {
        let address: HttpAddress = "127.0.0.1:0".parse().unwrap();
        assert_eq!(address.host_and_port(), ("127.0.0.1", 0));
        assert!("/run/http.sock".parse::<HttpAddress>().is_err());
    }
}
