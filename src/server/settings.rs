//! What the options and the environment say about serving requests.

use std::ffi::OsString;
use std::net::IpAddr;
use std::time::Duration;

use crate::conn::PairLimits;
use crate::error::{Code, Error, Result};
use crate::options::{Opt, Options};
use crate::sys::log::{self, Level};
use crate::sys::socket::listen::Peer;

/// Addresses of web servers that may connect (section 3.2), a variable that the web server or the
/// operator sets.
pub const WEB_SERVER_ADDRS: &str = "FCGI_WEB_SERVER_ADDRS";

/// How long a peer may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    pub(super) params: Option<Duration>,
    pub(super) body: Option<Duration>,
    pub(super) write: Option<Duration>,
    pub(super) idle: Option<Duration>,
}

impl Timeouts {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            params: options.seconds(Opt::ParamsTimeout),
            body: options.seconds(Opt::BodyTimeout),
            write: options.seconds(Opt::WriteTimeout),
            idle: options.seconds(Opt::IdleTimeout),
        }
    }
}

/// The limits of a request's parameters.
pub(super) fn pair_limits(options: &Options) -> PairLimits {
    PairLimits {
        count: options.number(Opt::MaxParams),
        pair: options.number(Opt::MaxParamSize),
        total: options.number(Opt::MaxParamsSize),
    }
}

/// Which peers may connect.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    web_servers: Option<Vec<IpAddr>>,
}

impl Admission {
    pub(super) fn new(web_servers: Option<OsString>) -> Result<Self> {
        let web_servers = web_servers.map(|list| {
            let list = list.into_string();
            parse_addresses(&list.map_err(|_| bad(format_args!("not UTF-8")))?)
        });
        Ok(Self {
            web_servers: web_servers.transpose()?,
        })
    }

    /// Whether every peer may connect.
    pub(super) const fn admits_all(&self) -> bool {
        self.web_servers.is_none()
    }

    /// Whether this peer may connect; a refusal is logged. File permissions guard unix sockets.
    #[inline]
    pub(super) fn admits(&self, peer: Peer) -> bool {
        self.admits_all() || self.admits_listed(peer)
    }

    fn admits_listed(&self, peer: Peer) -> bool {
        let (Some(allowed), Peer::Inet(address)) = (&self.web_servers, peer) else {
            return true;
        };
        let is_admitted = allowed.contains(&address.ip());
        if !is_admitted {
            log::limited(
                Level::Warning,
                &format!("connection from {address} refused: not in {WEB_SERVER_ADDRS}"),
            );
        }
        is_admitted
    }
}

fn parse_addresses(list: &str) -> Result<Vec<IpAddr>> {
    list.split(',')
        .map(|address| {
            let address = address.trim();
            address
                .parse()
                .map(|ip: IpAddr| ip.to_canonical())
                .map_err(|_| bad(format_args!("'{address}' is not an IP address")))
        })
        .collect()
}

fn bad(what: std::fmt::Arguments<'_>) -> Error {
    Error::new(
        Code::Value,
        format!("environment variable {WEB_SERVER_ADDRS}: {what}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer::Inet((text.parse::<IpAddr>().unwrap().to_canonical(), 1).into())
    }

    #[test]
    fn only_listed_tcp_peers_are_admitted_whatever_their_notation() {
        let list = "127.0.0.1, ::ffff:10.0.0.1,2001:db8::1";
        let admission = Admission::new(Some(list.into())).unwrap();
        for admitted in ["127.0.0.1", "::ffff:127.0.0.1", "10.0.0.1", "2001:db8:0::1"] {
            assert!(admission.admits(peer(admitted)), "{admitted}");
        }
        assert!(!admission.admits(peer("127.0.0.2")));
        assert!(admission.admits(Peer::Unix));
        assert!(Admission::new(None).unwrap().admits(peer("127.0.0.2")));
    }

    #[test]
    fn an_entry_that_is_not_an_address_is_named() {
        let error = Admission::new(Some("127.0.0.1,localhost".into())).unwrap_err();
        assert_eq!(
            error.message(),
            "environment variable FCGI_WEB_SERVER_ADDRS: 'localhost' is not an IP address"
        );
    }
}
