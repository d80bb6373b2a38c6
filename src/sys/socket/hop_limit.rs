//! Stopping arrivals at a TCP socket without privileges: newer kernels let only CAP_NET_ADMIN attach a
//! socket filter to one.
//!
//! The socket demands a time to live of 255 (ip(7), IP_MINTTL). The kernel then drops what comes from
//! peers that send with less, which is nearly every peer: Linux sends with 64. Handshakes that have
//! begun complete. Their connections inherit the demand, and their peers repeat what was dropped until
//! it is withdrawn.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::errno::Errno;

use crate::sys::fd::listen_fd::ListenFd;

/// The minimum time to live of received segments.
type HopOption = (libc::c_int, libc::c_int);
const INET_HOPS: HopOption = (libc::IPPROTO_IP, libc::IP_MINTTL);
const INET6_HOPS: HopOption = (libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT);
const ALL_HOPS: libc::c_int = 255;

/// Drops what comes from peers that send with a smaller time to live, as nearly all do.
pub(in crate::sys) fn demand(listener: ListenFd<'_>) -> nix::Result<()> {
    let is_inet6 = hop_option(listener.source(), INET6_HOPS).is_ok();
    // An IPv6 socket may have IPv4 peers, too.
    if is_inet6 {
        set_hop_option(listener.source(), INET6_HOPS, ALL_HOPS)?;
    }
    set_hop_option(listener.source(), INET_HOPS, ALL_HOPS)
}

/// Withdraws from a connection what it has inherited. `false`: nothing. Otherwise its peer repeats what
/// was dropped.
pub(crate) fn lift(connection: BorrowedFd<'_>) -> bool {
    // A socket has one of these options or both.
    let mut lifted = false;
    for option in [INET_HOPS, INET6_HOPS] {
        if hop_option(connection, option) == Ok(ALL_HOPS) {
            lifted |= set_hop_option(connection, option, 0).is_ok();
        }
    }
    lifted
}

/// Whether the socket demands it.
pub(in crate::sys) fn is_demanded(listener: ListenFd<'_>) -> bool {
    hop_option(listener.source(), INET_HOPS) == Ok(ALL_HOPS)
}

fn hop_option(socket: BorrowedFd<'_>, (level, name): HopOption) -> nix::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut length = size_of_val(&value) as libc::socklen_t;
    // SAFETY: a live local of the stated size.
    let got = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    Errno::result(got).map(|_| value)
}

fn set_hop_option(
    socket: BorrowedFd<'_>,
    (level, name): HopOption,
    value: libc::c_int,
) -> nix::Result<()> {
    // SAFETY: a live local of the stated size.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    Errno::result(set).map(drop)
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd as _;
    use std::time::Duration;

    use super::*;
    use crate::sys::socket::arrivals;

    #[test]
    fn new_connections_are_ignored_and_the_queue_is_kept() {
        for address in ["127.0.0.1:0", "[::1]:0", "[::]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let port = listener.local_addr().unwrap().port();
            let address = match address {
                "[::]:0" => format!("127.0.0.1:{port}"),
                other => other.replace(":0", &format!(":{port}")),
            };
            let mut queued = TcpStream::connect(&address).unwrap();
            let fd = ListenFd::new(listener.as_fd());
            assert_eq!(arrivals::stopped(fd), None);
            demand(fd).unwrap();
            assert_eq!(arrivals::stopped(fd), Some(arrivals::Stopped::ByHopLimit));
            let moment = Duration::from_millis(50);
            let unheard = TcpStream::connect_timeout(&address.parse().unwrap(), moment);
            let kind = unheard.map(drop).unwrap_err().kind();
            assert_eq!(kind, std::io::ErrorKind::TimedOut, "{address}");
            let (mut accepted, _) = listener.accept().unwrap();
            queued.write_all(b"x").unwrap();
            accepted.read_exact(&mut [0]).unwrap();
        }
    }

    #[test]
    fn a_connection_hears_its_peer_again_when_the_demand_is_withdrawn() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut accepted, _) = listener.accept().unwrap();
            // As one that inherits it.
            let option = match address.starts_with('[') {
                true => INET6_HOPS,
                false => INET_HOPS,
            };
            set_hop_option(accepted.as_fd(), option, ALL_HOPS).unwrap();
            peer.write_all(b"x").unwrap();
            accepted.set_nonblocking(true).unwrap();
            let unheard = accepted.read(&mut [0]).unwrap_err().kind();
            assert_eq!(unheard, std::io::ErrorKind::WouldBlock);
            accepted.set_nonblocking(false).unwrap();
            assert!(lift(accepted.as_fd()));
            assert!(!lift(accepted.as_fd()));
            accepted.read_exact(&mut [0]).unwrap();
        }
    }
}
