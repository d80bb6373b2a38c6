//! Listen addresses, as operators write them.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use crate::error::{Code, Error, Result};

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `:9005`: every interface, IPv6 and IPv4.
    AllInterfaces(u16),
    /// `127.0.0.1:9005`, `[::1]:9005`, `host:9005`.
    Inet(SocketAddr),
    /// `/path`, `unix:/path`, or any text without a colon.
    Path(PathBuf),
    /// `@name`: the abstract namespace of unix(7).
    Abstract(String),
    /// `fd:N`: a socket that listens already.
    Descriptor(i32),
    /// `fd:NAME`: the socket that a service manager has passed by this name.
    Named(String),
}

impl Address {
    /// Reads an address. A host name is looked up; where it has several addresses, the first IPv4
    /// one is taken, as FCGI does.
    ///
    /// # Errors
    /// [`Code::Address`], naming the address and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self> {
        let bad =
            |what: String| Error::new(Code::Address, format!("listen address '{text}': {what}"));
        if text.is_empty() {
            return Err(bad("is empty".into()));
        }
        if text.contains('\0') {
            return Err(bad("contains a NUL byte".into()));
        }
        if let Some(name) = text.strip_prefix("fd:") {
            let is_number = name.starts_with(|first: char| "+-0123456789".contains(first));
            if !name.is_empty() && !is_number {
                return Ok(Self::Named(name.into()));
            }
            let number = name.parse().ok().filter(|fd: &i32| *fd >= 0);
            return number
                .map(Self::Descriptor)
                .ok_or_else(|| bad("fd: needs a descriptor's number or name".into()));
        }
        if let Some(name) = text.strip_prefix('@') {
            return if name.is_empty() {
                Err(bad("@ needs a name".into()))
            } else {
                Ok(Self::Abstract(name.into()))
            };
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() {
                Err(bad("unix: needs a path".into()))
            } else {
                Ok(Self::Path(path.into()))
            };
        }
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad(format!(
                "a port is written ':{text}', and a file './{text}'"
            )));
        }
        let Some((host, port)) = text.rsplit_once(':').filter(|_| !text.starts_with('/')) else {
            return Ok(Self::Path(text.into()));
        };
        if port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err(bad(format!("'{port}' is not a port number")));
        }
        let port: u16 = port
            .parse()
            .map_err(|_| bad("port out of range 0..65535".into()))?;
        if host.is_empty() {
            return Ok(Self::AllInterfaces(port));
        }
        if host.starts_with('[') {
            return text
                .parse()
                .map(Self::Inet)
                .map_err(|_| bad(format!("'{host}' is no IPv6 address")));
        }
        if host.contains(':') {
            return Err(bad(
                "an IPv6 address stands in brackets, as in [::1]:9005".into()
            ));
        }
        let found: Vec<SocketAddr> = (host, port)
            .to_socket_addrs()
            .map_err(|e| bad(format!("cannot resolve '{host}': {e}")))?
            .collect();
        let chosen = found
            .iter()
            .find(|address| address.is_ipv4())
            .or(found.first());
        chosen
            .copied()
            .map(Self::Inet)
            .ok_or_else(|| bad(format!("'{host}' has no address")))
    }

    /// The IPv6 form of [`AllInterfaces`](Self::AllInterfaces), which takes IPv4 peers, too.
    #[must_use]
    pub const fn unspecified(port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        for (text, wanted) in [
            (":9005", Address::AllInterfaces(9005)),
            (
                "127.0.0.1:9005",
                Address::Inet("127.0.0.1:9005".parse().unwrap()),
            ),
            ("[::1]:9005", Address::Inet("[::1]:9005".parse().unwrap())),
            (
                "localhost:9005",
                Address::Inet("127.0.0.1:9005".parse().unwrap()),
            ),
            ("/run/x.sock", Address::Path("/run/x.sock".into())),
            ("/run/x:1.sock", Address::Path("/run/x:1.sock".into())),
            ("unix:/run/x.sock", Address::Path("/run/x.sock".into())),
            ("x.sock", Address::Path("x.sock".into())),
            ("@name", Address::Abstract("name".into())),
            ("fd:3", Address::Descriptor(3)),
            ("fd:app.socket", Address::Named("app.socket".into())),
        ] {
            assert_eq!(Address::parse(text).unwrap(), wanted, "{text}");
        }
    }

    #[test]
    fn errors_name_the_address_and_the_cause() {
        for (text, wanted) in [
            ("", "listen address '': is empty"),
            (
                ":99999",
                "listen address ':99999': port out of range 0..65535",
            ),
            ("host:", "listen address 'host:': '' is not a port number"),
            (
                "9005",
                "listen address '9005': a port is written ':9005', and a file './9005'",
            ),
            (
                ":http",
                "listen address ':http': 'http' is not a port number",
            ),
            (
                "::1:9005",
                "listen address '::1:9005': an IPv6 address stands in brackets, as in [::1]:9005",
            ),
            (
                "[::g]:9005",
                "listen address '[::g]:9005': '[::g]' is no IPv6 address",
            ),
            (
                "fd:",
                "listen address 'fd:': fd: needs a descriptor's number or name",
            ),
            (
                "fd:3x",
                "listen address 'fd:3x': fd: needs a descriptor's number or name",
            ),
            (
                "fd:-1",
                "listen address 'fd:-1': fd: needs a descriptor's number or name",
            ),
            ("@", "listen address '@': @ needs a name"),
            ("unix:", "listen address 'unix:': unix: needs a path"),
        ] {
            let error = Address::parse(text).unwrap_err();
            assert_eq!((error.code(), error.message()), (Code::Address, wanted));
        }
    }

    #[test]
    fn a_host_that_does_not_resolve_is_named() {
        let error = Address::parse("no-such-host.invalid:9005").unwrap_err();
        assert!(
            error
                .message()
                .contains("cannot resolve 'no-such-host.invalid'"),
            "{error}"
        );
    }
}
