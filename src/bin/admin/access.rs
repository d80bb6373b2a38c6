//! Who may read: the Host header, and the token.

use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;

use hyper::header::{AUTHORIZATION, HOST};
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Uri, Version};

/// The minimum length of a token: shorter ones can be guessed.
const TOKEN_MIN: usize = 16;
const TOKEN_MAX: usize = 1_024;

/// The names that clients may use for this host.
#[derive(Debug)]
pub(super) struct Hosts(Vec<String>);

/// Whether a request is for this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HostCheck {
    Fine,
    /// None, several, or one that cannot be read.
    Invalid,
    /// Of another host.
    Foreign,
}

impl Hosts {
    pub(super) fn new(listen: Option<&str>, mut names: Vec<String>) -> Self {
        names.extend(listen.map(normal));
        Self(names)
    }

    /// Checks the Host header, and the host of a request line that has one.
    pub(super) fn check(
        &self,
        version: Version,
        uri: &Uri,
        headers: &HeaderMap,
        local: Option<IpAddr>,
    ) -> HostCheck {
        let mut given = headers.get_all(HOST).iter();
        let header = match (given.next(), given.next()) {
            (Some(host), None) => match Authority::try_from(host.as_bytes()) {
                Ok(host) => Some(host),
                Err(_) => return HostCheck::Invalid,
            },
            // Probes of load balancers. A browser sends the header.
            (None, _) if version == Version::HTTP_10 => None,
            _ => return HostCheck::Invalid,
        };
        let hosts = header.iter().chain(uri.authority());
        let mut names = hosts.map(|host| (host.as_str().contains('@'), normal(host.host())));
        if names.all(|(has_user, name)| !has_user && self.is_ours(&name, local)) {
            HostCheck::Fine
        } else {
            HostCheck::Foreign
        }
    }

    /// `local`: the address that the client is connected to.
    fn is_ours(&self, name: &str, local: Option<IpAddr>) -> bool {
        let address: Option<IpAddr> = name.parse().ok();
        let is_reached = address.is_some_and(|address| {
            address.is_loopback() || local.map(|local| local.to_canonical()) == Some(address)
        });
        is_reached || name == "localhost" || self.0.iter().any(|host| host == name)
    }
}

/// A name without brackets and the dot of the root, in lower case.
fn normal(host: &str) -> String {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let bare = bare.unwrap_or(host);
    bare.strip_suffix('.').unwrap_or(bare).to_ascii_lowercase()
}

/// The value of --host.
pub(super) fn host_name(text: &str) -> Result<String, String> {
    let bracketed = match text.parse::<std::net::Ipv6Addr>() {
        Ok(_) => format!("[{text}]"),
        Err(_) => text.to_owned(),
    };
    match bracketed.parse::<Authority>() {
        Ok(host) if host.host() == bracketed => Ok(normal(host.host())),
        _ => Err("not a host name or IP address (without a port)".to_owned()),
    }
}

/// What clients must send.
#[derive(Debug)]
pub(super) struct Token(Vec<u8>);

impl Token {
    /// Reads the file, without the blanks around the token.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let bad = |why: &str| format!("--token-file {}: {why}", path.display());
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(|error| bad(&error.to_string()))?;
        file.take(TOKEN_MAX as u64 + 2)
            .read_to_end(&mut bytes)
            .map_err(|error| bad(&error.to_string()))?;
        let token = bytes.trim_ascii();
        if !token.iter().all(u8::is_ascii_graphic) {
            return Err(bad("a token consists of printable ASCII without blanks"));
        }
        if token.len() < TOKEN_MIN || token.len() > TOKEN_MAX {
            return Err(bad(&format!(
                "a token has {TOKEN_MIN} to {TOKEN_MAX} characters, not {}",
                token.len()
            )));
        }
        Ok(Self(token.to_vec()))
    }

    /// Whether a request has it.
    pub(super) fn is_in(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return false;
        };
        let value = value.as_bytes();
        let blank = value.iter().position(|byte| *byte == b' ');
        let Some((scheme, rest)) = blank.and_then(|at| value.split_at_checked(at)) else {
            return false;
        };
        let rest = rest.trim_ascii();
        if scheme.eq_ignore_ascii_case(b"bearer") {
            return self.is(rest);
        }
        scheme.eq_ignore_ascii_case(b"basic")
            && from_base64(rest).is_some_and(|pair| {
                let mut parts = pair.splitn(2, |byte| *byte == b':');
                let (_user, password) = (parts.next(), parts.next());
                password.is_some_and(|password| self.is(password))
            })
    }

    /// Compares in a time that does not depend on where the first difference is.
    fn is(&self, given: &[u8]) -> bool {
        let pairs = given.iter().zip(self.0.iter().cycle());
        let differences = pairs.fold(0, |all, (one, other)| all | (one ^ other));
        std::hint::black_box(differences) == 0 && given.len() == self.0.len()
    }
}

fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.strip_suffix(b"=").unwrap_or(text);
    let digits = digits.strip_suffix(b"=").unwrap_or(digits);
    let mut bytes = Vec::with_capacity(digits.len());
    let (mut bits, mut count) = (0_u32, 0);
    for digit in digits {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded() {
        for (text, bytes) in [
            ("", Some(&b""[..])),
            ("YTpi", Some(b"a:b")),
            ("YTpiYw==", Some(b"a:bc")),
            ("YTpiY2Q=", Some(b"a:bcd")),
            ("+/+/", Some(b"\xfb\xff\xbf")),
            ("YT*i", None),
        ] {
            assert_eq!(from_base64(text.as_bytes()).as_deref(), bytes, "{text}");
        }
    }

    #[test]
    fn only_the_whole_token_is_accepted() {
        let token = Token(b"0123456789abcdef".to_vec());
        assert!(token.is(b"0123456789abcdef"));
        for wrong in [
            "",
            "0123456789abcde",
            "0123456789abcdee",
            "0123456789abcdef0",
            "0123456789abcdef0123456789abcdef",
        ] {
            assert!(!token.is(wrong.as_bytes()), "{wrong}");
        }
    }

    #[test]
    fn a_host_is_given_without_a_port() {
        assert_eq!(host_name("Example.COM."), Ok("example.com".to_owned()));
        assert_eq!(host_name("fe80::1"), Ok("fe80::1".to_owned()));
        for wrong in ["", "a:80", "user@a", "a/b", "http://a", "a b"] {
            assert!(host_name(wrong).is_err(), "{wrong}");
        }
    }
}
