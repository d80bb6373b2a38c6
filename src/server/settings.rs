//! What the options and the environment say about serving requests.

use std::net::IpAddr;
use std::time::Duration;

use crate::conn::PairLimits;
use crate::error::{Code, Error, Result};
use crate::options::{Opt, Options};
use crate::sys::socket::listen::Peer;

/// Addresses of web servers that may connect (section 3.2), a variable that the web server or the
/// operator sets.
pub const WEB_SERVER_ADDRS: &str = "FCGI_WEB_SERVER_ADDRS";

#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) params_timeout: Option<Duration>,
    pub(super) body_timeout: Option<Duration>,
    pub(super) write_timeout: Option<Duration>,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) limits: PairLimits,
    web_servers: Option<Vec<IpAddr>>,
}

impl Settings {
    pub(super) fn new(options: &Options, web_servers: Option<&str>) -> Result<Self> {
        Ok(Self {
            params_timeout: options.seconds(Opt::ParamsTimeout),
            body_timeout: options.seconds(Opt::BodyTimeout),
            write_timeout: options.seconds(Opt::WriteTimeout),
            idle_timeout: options.seconds(Opt::IdleTimeout),
            limits: PairLimits {
                count: options.number(Opt::MaxParams),
                pair: options.number(Opt::MaxParamSize),
                total: options.number(Opt::MaxParamsSize),
            },
            web_servers: web_servers.map(parse_addresses).transpose()?,
        })
    }

    /// Whether no peer is turned away, whoever it is.
    pub(super) const fn admits_all(&self) -> bool {
        self.web_servers.is_none()
    }

    /// Whether a peer may talk to us. File permissions guard unix sockets.
    pub(super) fn admits(&self, peer: Peer) -> bool {
        match (&self.web_servers, peer) {
            (Some(allowed), Peer::Inet(address)) => allowed.contains(&address.ip()),
            (None, Peer::Inet(_)) | (_, Peer::Unix) => true,
        }
    }
}

fn parse_addresses(list: &str) -> Result<Vec<IpAddr>> {
    list.split(',')
        .map(|address| {
            let address = address.trim();
            address
                .parse()
                .map(|ip: IpAddr| ip.to_canonical())
                .map_err(|_| {
                    Error::new(
                        Code::Value,
                        format!(
                            "environment variable {WEB_SERVER_ADDRS}: '{address}' is no IP address"
                        ),
                    )
                })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer::Inet((text.parse::<IpAddr>().unwrap().to_canonical(), 1).into())
    }

    #[test]
    fn only_listed_tcp_peers_are_admitted_whatever_their_notation() {
        let settings = Settings::new(
            &Options::new(),
            Some("127.0.0.1, ::ffff:10.0.0.1,2001:db8::1"),
        )
        .unwrap();
        for admitted in ["127.0.0.1", "::ffff:127.0.0.1", "10.0.0.1", "2001:db8:0::1"] {
            assert!(settings.admits(peer(admitted)), "{admitted}");
        }
        assert!(!settings.admits(peer("127.0.0.2")));
        assert!(settings.admits(Peer::Unix));
        assert!(
            Settings::new(&Options::new(), None)
                .unwrap()
                .admits(peer("127.0.0.2"))
        );
    }

    #[test]
    fn an_entry_that_is_no_address_is_named() {
        let error = Settings::new(&Options::new(), Some("127.0.0.1,localhost")).unwrap_err();
        assert_eq!(
            error.message(),
            "environment variable FCGI_WEB_SERVER_ADDRS: 'localhost' is no IP address"
        );
    }
}
