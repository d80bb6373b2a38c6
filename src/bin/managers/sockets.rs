//! Listening sockets, from /proc/net.

use std::io::{BufRead as _, BufReader};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::{fs, io};

use crate::args::address::Place;

/// TCP_LISTEN in /proc/net/tcp.
const LISTEN: &str = "0A";
/// __SO_ACCEPTCON.
const ACCEPTING: u32 = 1 << 16;

/// A listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listener {
    pub(crate) inode: u64,
    pub(crate) address: Bound,
    /// Connections in the listen queue.
    pub(crate) waiting: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    Tcp(SocketAddr),
    /// As bound; an abstract name begins with `@`.
    Unix(String),
}

/// The inode numbers of the sockets that listen on an address, in the network namespace of this
/// process.
pub(crate) fn listening_on(place: &Place) -> io::Result<Vec<u64>> {
    let all = listeners(None);
    let loopback = |port| {
        let addresses = [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ];
        addresses
            .map(|address| SocketAddr::new(address, port))
            .to_vec()
    };
    let wanted = match place {
        Place::Tcp { host, port } => (host.as_str(), *port).to_socket_addrs()?.collect(),
        Place::Loopback { port } => loopback(*port),
        Place::Unix(path) => return Ok(named(&all, &path.to_string_lossy(), Some(path))),
        Place::Abstract(name) => return Ok(named(&all, &format!("@{name}"), None)),
    };
    let matching = |fits: &dyn Fn(&SocketAddr) -> bool| -> Vec<u64> {
        let tcp = all.iter().filter(|listener| match &listener.address {
            Bound::Tcp(address) => fits(address),
            Bound::Unix(_) => false,
        });
        tcp.map(|listener| listener.inode).collect()
    };
    // A socket that listens on all addresses receives only what no other socket does.
    let exact = matching(&|address| wanted.contains(address));
    if !exact.is_empty() {
        return Ok(exact);
    }
    Ok(matching(&|bound| {
        let reaches = |address: &SocketAddr| {
            bound.port() == address.port() && (bound.is_ipv6() || address.is_ipv4())
        };
        bound.ip().is_unspecified() && wanted.iter().any(reaches)
    }))
}

fn named(all: &[Listener], name: &str, path: Option<&Path>) -> Vec<u64> {
    let real = path.and_then(|path| fs::canonicalize(path).ok());
    let matches = |bound: &str| {
        bound == name
            || real.as_ref().is_some_and(|real| {
                bound.starts_with('/') && fs::canonicalize(bound).is_ok_and(|bound| bound == *real)
            })
    };
    let found = all.iter().filter(|listener| match &listener.address {
        Bound::Unix(bound) => matches(bound),
        Bound::Tcp(_) => false,
    });
    found.map(|listener| listener.inode).collect()
}

/// All listening sockets in the network namespace of a process, or of this one. What cannot be read
/// is omitted.
pub(crate) fn listeners(pid: Option<i32>) -> Vec<Listener> {
    let network = pid.map_or("/proc/self/net".to_owned(), |pid| {
        format!("/proc/{pid}/net")
    });
    let mut found = Vec::new();
    for name in ["tcp", "tcp6"] {
        let Ok(table) = fs::File::open(format!("{network}/{name}")) else {
            continue;
        };
        let lines = BufReader::new(table).lines().map_while(Result::ok).skip(1);
        // The kernel lists all listening sockets before the others, of which there may be many
        // thousands.
        let listening =
            lines.take_while(|line| line.split_ascii_whitespace().nth(3) == Some(LISTEN));
        found.extend(listening.filter_map(|line| tcp_line(&line)));
    }
    let text = fs::read(format!("{network}/unix")).unwrap_or_default();
    found.extend(String::from_utf8_lossy(&text).lines().filter_map(unix_line));
    found
}

/// `sl local_address rem_address st tx_queue:rx_queue tr:when retrnsmt uid timeout inode …`; of a
/// listening socket, rx_queue is the length of its listen queue.
fn tcp_line(line: &str) -> Option<Listener> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let address = tcp_address(fields.next()?)?;
    let (_, state) = (fields.next()?, fields.next()?);
    let (_, waiting) = fields.next()?.split_once(':')?;
    let inode = fields.nth(4)?.parse().ok()?;
    (state == LISTEN).then_some(Listener {
        inode,
        address: Bound::Tcp(address),
        waiting: u32::from_str_radix(waiting, 16).ok(),
    })
}

/// An address of /proc/net/tcp or tcp6: 32-bit words in the native byte order, and the port.
pub(crate) fn tcp_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let mut bytes = [0; 16];
    let mut words = 0;
    for (word, digits) in bytes.chunks_exact_mut(4).zip(address.as_bytes().chunks(8)) {
        let digits = std::str::from_utf8(digits).ok()?;
        word.copy_from_slice(&u32::from_str_radix(digits, 16).ok()?.to_ne_bytes());
        words += 1;
    }
    let ip = match words {
        1 => IpAddr::from([bytes[0], bytes[1], bytes[2], bytes[3]]),
        4 => IpAddr::from(bytes),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

/// `num: refcount protocol flags type st inode path`
fn unix_line(line: &str) -> Option<Listener> {
    let mut rest = line;
    let mut field = || {
        let text = rest.trim_start();
        let (field, after) = text.split_once(' ').unwrap_or((text, ""));
        rest = after;
        field
    };
    let (_, _, _, flags) = (field(), field(), field(), field());
    let (_, _, inode) = (field(), field(), field());
    let flags = u32::from_str_radix(flags, 16).ok()?;
    let inode = inode.parse().ok()?;
    (flags & ACCEPTING != 0).then(|| Listener {
        inode,
        address: Bound::Unix(rest.trim_start().to_owned()),
        waiting: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_the_kernel_are_parsed() {
        let line = "   0: 0100007F:232D 00000000:0000 0A 00000000:00000003 00:00000000 00000000  1000        0 31337 1 0 100 0 0 10 0";
        let listener = tcp_line(line).unwrap();
        assert_eq!(listener.inode, 31337);
        assert_eq!(listener.waiting, Some(3));
        if cfg!(target_endian = "little") {
            assert_eq!(
                listener.address,
                Bound::Tcp("127.0.0.1:9005".parse().unwrap())
            );
            let line = "   1: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 7 1 0 100 0 0 10 0";
            let address = tcp_line(line).unwrap().address;
            assert_eq!(address, Bound::Tcp("[::1]:8080".parse().unwrap()));
        }
        assert_eq!(
            tcp_line("  sl  local_address rem_address   st tx_queue"),
            None
        );
        let established = line.replace(" 0A ", " 01 ");
        assert_eq!(tcp_line(&established), None);
        let line = "0000000000000000: 00000002 00000000 00010000 0001 01   815 /run/with blank";
        let listener = unix_line(line).unwrap();
        assert_eq!(listener.inode, 815);
        assert_eq!(listener.address, Bound::Unix("/run/with blank".to_owned()));
        assert_eq!(unix_line(&line.replace("00010000", "00000000")), None);
        assert_eq!(
            unix_line("Num       RefCount Protocol Flags    Type St Inode Path"),
            None
        );
    }
}
