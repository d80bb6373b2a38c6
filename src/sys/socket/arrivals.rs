//! Stopping arrivals at a listening socket, without affecting the connections in its queue.
//!
//! Closing the socket would reset the connections in its queue; so would shutdown(2) on TCP. The
//! harmless way depends on the family. In both cases it affects every process that shares the
//! socket.
//!
//! - unix(7): after shutdown(2) with `SHUT_RD`, connect(2) is refused, and accept(2) continues
//!   until the queue is empty.
//! - tcp(7): a socket filter drops SYN segments. Handshakes that have begun complete, and
//!   connections that inherit the filter never get such a segment. A new client retries after a
//!   second. Then it is refused, or finds a successor.
//! - tcp(7), where the kernel requires CAP_NET_ADMIN for that filter: [`hop_limit`] drops them.

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, Shutdown, SockFlag, SockProtocol, SockType, recv, shutdown, socket,
};

use crate::sys::fd::io;
use crate::sys::fd::listen_fd::ListenFd;
use crate::sys::fd::poll::readable_within;
use crate::sys::socket::{hop_limit, listen};

const fn instruction(code: u32, jump_true: u8, jump_false: u8, operand: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt: jump_true,
        jf: jump_false,
        k: operand,
    }
}

/// On a TCP socket a filter sees the segment from the TCP header on; the flags are in byte 13.
const WITHOUT_SYN: [libc::sock_filter; 4] = [
    instruction(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, 13),
    instruction(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 0, 1, 0x02),
    instruction(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
    instruction(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
];

/// From here on no connection arrives at the socket, in any process.
pub(crate) fn stop(listener: ListenFd<'_>) -> nix::Result<()> {
    if listen::is_unix(listener)? {
        return shutdown(listener.as_raw_fd(), Shutdown::Read);
    }
    attach_filter(listener).or_else(|errno| hop_limit::demand(listener).map_err(|_| errno))
}

fn attach_filter(listener: ListenFd<'_>) -> nix::Result<()> {
    let program = libc::sock_fprog {
        len: WITHOUT_SYN.len() as libc::c_ushort,
        filter: WITHOUT_SYN.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel only reads the program, which is a live local and names a constant.
    Errno::result(unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const program).cast(),
            size_of_val(&program) as libc::socklen_t,
        )
    })
    .map(drop)
}

/// Connections arrive again at a TCP socket. For a unix socket there is no way: `EOPNOTSUPP`.
pub(crate) fn resume(listener: ListenFd<'_>) -> nix::Result<()> {
    if listen::is_unix(listener)? {
        return Err(Errno::EOPNOTSUPP);
    }
    hop_limit::lift(listener.source());
    if !has_filter(listener) {
        return Ok(());
    }
    let nothing = 0_i32;
    // SAFETY: the kernel ignores the value, which is a live local.
    Errno::result(unsafe {
        libc::setsockopt(
            listener.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_DETACH_FILTER,
            (&raw const nothing).cast(),
            size_of_val(&nothing) as libc::socklen_t,
        )
    })
    .map(drop)
}

/// How arrivals at a socket were stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// Connections that are accepted afterwards are as usual.
    Cleanly,
    /// They need [`hop_limit::lift`].
    ByHopLimit,
}

/// Whether [`stop`] was called on the socket, by any process.
pub(crate) fn stopped(listener: ListenFd<'_>) -> Option<Stopped> {
    match listen::is_unix(listener) {
        Ok(true) if io::input_has_ended(listener.source()) => Some(Stopped::Cleanly),
        Ok(false) if has_filter(listener) => Some(Stopped::Cleanly),
        Ok(false) if hop_limit::is_demanded(listener) => Some(Stopped::ByHopLimit),
        Ok(_) | Err(_) => None,
    }
}

/// See [`stopped`].
pub(crate) fn are_stopped(listener: ListenFd<'_>) -> bool {
    stopped(listener).is_some()
}

fn has_filter(listener: ListenFd<'_>) -> bool {
    let mut found = [instruction(0, 0, 0, 0); WITHOUT_SYN.len()];
    // The length is in instructions; a longer program is an error.
    let mut length = found.len() as libc::socklen_t;
    // SAFETY: space for this many instructions.
    let got = unsafe {
        libc::getsockopt(
            listener.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_GET_FILTER,
            found.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    let parts = |one: &libc::sock_filter| (one.code, one.jt, one.jf, one.k);
    got == 0
        && usize::try_from(length) == Ok(found.len())
        && found.iter().map(parts).eq(WITHOUT_SYN.iter().map(parts))
}

/// How many connections wait in the queue of a listening socket; `None` if the kernel does not
/// provide it.
pub(crate) fn waiting(listener: ListenFd<'_>) -> Option<usize> {
    waiting_at(listener, listen::is_unix(listener).ok()?)
}

/// The same for a socket whose family is known. This does not block on a lock that another process
/// with the socket holds; querying the family would (getsockname(2)).
pub(in crate::sys) fn waiting_at(listener: ListenFd<'_>, is_unix: bool) -> Option<usize> {
    if is_unix {
        waiting_on_unix(nix::sys::stat::fstat(listener).ok()?.st_ino)
    } else {
        waiting_inet(listener)
    }
}

/// On a listening socket tcp_info describes the queue instead of segments (tcp_get_info() in the
/// kernel).
fn waiting_inet(listener: ListenFd<'_>) -> Option<usize> {
    // SAFETY: zeroed is a valid tcp_info.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: a live local of the stated size.
    let got = unsafe {
        libc::getsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    (got == 0).then_some(info.tcpi_unacked as usize)
}

/// How many connections wait in the queue of the unix socket with this inode number, in the network
/// namespace of this process; `None` if the kernel does not provide it. From sock_diag(7).
#[must_use]
pub fn waiting_on_unix(inode: u64) -> Option<usize> {
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    const UDIAG_SHOW_RQLEN: u32 = 0x10;
    const UNIX_DIAG_RQLEN: u16 = 4;
    const HEADER: usize = 16;
    const UNIX_DIAG_MSG: usize = 16;
    let inode = u32::try_from(inode).ok()?;
    let flags = SockFlag::SOCK_CLOEXEC;
    let diag = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        flags,
        SockProtocol::NetlinkSockDiag,
    )
    .ok()?;
    // nlmsghdr: length, type, flags, sequence number, port; unix_diag_req: family, protocol,
    // padding, states (all), inode, what to show, cookie (none).
    let mut query = Vec::with_capacity(HEADER + 24);
    query.extend_from_slice(&(HEADER as u32 + 24).to_ne_bytes());
    query.extend_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    query.extend_from_slice(&(libc::NLM_F_REQUEST as u16).to_ne_bytes());
    query.extend_from_slice(&[0; 8]);
    query.extend_from_slice(&[libc::AF_UNIX as u8, 0, 0, 0]);
    for word in [u32::MAX, inode, UDIAG_SHOW_RQLEN, u32::MAX, u32::MAX] {
        query.extend_from_slice(&word.to_ne_bytes());
    }
    nix::unistd::write(&diag, &query).ok()?;
    // The kernel replies within write(2), if at all.
    if !readable_within(diag.as_fd(), Duration::ZERO) {
        return None;
    }
    let mut answer = [0; 512];
    let length = recv(diag.as_raw_fd(), &mut answer, MsgFlags::MSG_DONTWAIT).ok()?;
    let answer = answer.get(..length)?;
    let short = |at: usize| Some(u16::from_ne_bytes(*answer.get(at..)?.first_chunk()?));
    let word = |at: usize| Some(u32::from_ne_bytes(*answer.get(at..)?.first_chunk()?));
    if short(4)? != SOCK_DIAG_BY_FAMILY {
        return None;
    }
    let mut at = HEADER + UNIX_DIAG_MSG;
    loop {
        let (size, kind) = (usize::from(short(at)?), short(at + 2)?);
        if kind == UNIX_DIAG_RQLEN {
            return usize::try_from(word(at + 4)?).ok();
        }
        // Each attribute is at least its own header.
        at += size.max(4).next_multiple_of(4);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_unix_socket_refuses_new_connections_and_keeps_its_queue() {
        let name = format!("fcgipm-arrivals-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        assert_eq!(waiting(ListenFd::new(listener.as_fd())), Some(0));
        let mut queued: Vec<_> = (0..3)
            .map(|_| UnixStream::connect_addr(&address).unwrap())
            .collect();
        assert_eq!(waiting(ListenFd::new(listener.as_fd())), Some(3));
        assert!(!are_stopped(ListenFd::new(listener.as_fd())));
        stop(ListenFd::new(listener.as_fd())).unwrap();
        assert!(are_stopped(ListenFd::new(listener.as_fd())));
        let resumed = resume(ListenFd::new(listener.as_fd()));
        assert_eq!(resumed, Err(Errno::EOPNOTSUPP));
        let refused = UnixStream::connect_addr(&address).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        for peer in &mut queued {
            let (mut accepted, _) = listener.accept().unwrap();
            peer.write_all(b"x").unwrap();
            accepted.read_exact(&mut [0]).unwrap();
        }
        listener.set_nonblocking(true).unwrap();
        let empty = listener.accept().unwrap_err();
        assert_eq!(empty.kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn a_tcp_socket_ignores_new_connections_and_keeps_its_queue() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let address = listener.local_addr().unwrap();
            let mut earlier = TcpStream::connect(address).unwrap();
            let (mut served, _) = listener.accept().unwrap();
            let mut queued: Vec<_> = (0..3)
                .map(|_| TcpStream::connect(address).unwrap())
                .collect();
            assert_eq!(waiting(ListenFd::new(listener.as_fd())), Some(3));
            assert!(!are_stopped(ListenFd::new(listener.as_fd())));
            stop(ListenFd::new(listener.as_fd())).unwrap();
            assert!(are_stopped(ListenFd::new(listener.as_fd())));
            let unheard = TcpStream::connect_timeout(&address, Duration::from_millis(50));
            assert_eq!(unheard.unwrap_err().kind(), ErrorKind::TimedOut);
            assert_eq!(waiting(ListenFd::new(listener.as_fd())), Some(3));
            resume(ListenFd::new(listener.as_fd())).unwrap();
            assert!(!are_stopped(ListenFd::new(listener.as_fd())));
            drop(TcpStream::connect(address).unwrap());
            stop(ListenFd::new(listener.as_fd())).unwrap();
            // Data passes in both directions, over several segments, also on connections that were
            // in the queue before the filter was set.
            let mut pairs = vec![];
            for peer in queued.drain(..) {
                pairs.push((peer, listener.accept().unwrap().0));
            }
            earlier.write_all(b"x").unwrap();
            served.read_exact(&mut [0]).unwrap();
            for (mut peer, mut accepted) in pairs {
                for _ in 0..3 {
                    peer.write_all(&[7; 20_000]).unwrap();
                    accepted.read_exact(&mut [0; 20_000]).unwrap();
                    accepted.write_all(&[7; 20_000]).unwrap();
                    peer.read_exact(&mut [0; 20_000]).unwrap();
                }
            }
        }
    }
}
