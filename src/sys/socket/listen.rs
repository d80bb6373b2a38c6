//! Listening sockets: opening them, accepting from them, querying their properties.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrLike, SockaddrStorage, UnixAddr, bind, getsockname,
    getsockopt, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;
use nix::unistd::{Group, User};

use crate::sys::fd::above_standard;
use crate::sys::fd::listen_fd::ListenFd;

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A TCP peer. IPv4-mapped addresses are converted to IPv4.
    Inet(SocketAddr),
    /// A peer on the same machine.
    Unix,
}

impl Peer {
    pub(in crate::sys) fn of(storage: &SockaddrStorage) -> Self {
        let inet = if let Some(v4) = storage.as_sockaddr_in() {
            Some((IpAddr::V4(v4.ip()), v4.port()))
        } else {
            storage
                .as_sockaddr_in6()
                .map(|v6| (IpAddr::V6(v6.ip()).to_canonical(), v6.port()))
        };
        inet.map_or(Self::Unix, |(ip, port)| {
            Self::Inet(SocketAddr::new(ip, port))
        })
    }
}

pub(in crate::sys) fn new_socket(family: AddressFamily) -> nix::Result<OwnedFd> {
    above_standard(socket(
        family,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?)
}

fn start(fd: &OwnedFd, address: &dyn SockaddrLike, backlog: i32) -> nix::Result<()> {
    bind(fd.as_raw_fd(), address)?;
    listen(fd, backlog)
}

/// listen(2) with any length. The kernel limits it to net.core.somaxconn, which may be above nix's
/// limit.
pub(in crate::sys) fn listen(fd: &OwnedFd, backlog: i32) -> nix::Result<()> {
    // SAFETY: no pointers.
    Errno::result(unsafe { libc::listen(fd.as_raw_fd(), backlog) }).map(drop)
}

/// Listens on a TCP address. `[::]` also accepts IPv4 peers.
pub(crate) fn listen_inet(address: SocketAddr, backlog: i32) -> nix::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let fd = new_socket(family)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    if address.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &!address.ip().is_unspecified())?;
    }
    start(&fd, &SockaddrStorage::from(address), backlog)?;
    Ok(fd)
}

/// Listens on a name in the abstract namespace (unix(7)).
pub(crate) fn listen_abstract(name: &[u8], backlog: i32) -> nix::Result<OwnedFd> {
    let fd = new_socket(AddressFamily::Unix)?;
    start(&fd, &UnixAddr::new_abstract(name)?, backlog)?;
    Ok(fd)
}

/// The address of a listening socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// IPv4-mapped addresses are converted to IPv4.
    Inet(SocketAddr),
    Path(PathBuf),
    Abstract(Vec<u8>),
    /// Of another family, or without a name.
    Other,
}

/// Finds out the address of a listening socket.
pub(crate) fn bound(fd: BorrowedFd<'_>) -> nix::Result<Bound> {
    let storage = getsockname::<SockaddrStorage>(fd.as_raw_fd())?;
    if let Peer::Inet(address) = Peer::of(&storage) {
        return Ok(Bound::Inet(address));
    }
    let Some(unix) = storage.as_unix_addr() else {
        return Ok(Bound::Other);
    };
    let path = unix.path().map(|path| Bound::Path(path.to_owned()));
    let name = unix
        .as_abstract()
        .map(|name| Bound::Abstract(name.to_vec()));
    Ok(path.or(name).unwrap_or(Bound::Other))
}

/// The id of a user, given by name or number.
pub(crate) fn user_id(name: &str) -> nix::Result<Option<u32>> {
    if let Ok(number) = name.parse() {
        return Ok(Some(number));
    }
    Ok(User::from_name(name)?.map(|user| user.uid.as_raw()))
}

/// The id of a group, given by name or number.
pub(crate) fn group_id(name: &str) -> nix::Result<Option<u32>> {
    if let Ok(number) = name.parse() {
        return Ok(Some(number));
    }
    Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()))
}

/// Whether a descriptor is a listening socket.
pub(crate) fn is_listening(fd: BorrowedFd<'_>) -> nix::Result<bool> {
    nix::sys::socket::getsockopt(&fd, sockopt::AcceptConn)
}

/// Sets options that accepted TCP connections inherit (tcp(7), socket(7)): the last small segment
/// of a response does not wait for an acknowledgement, and an unreachable peer is noticed. No
/// effect on other sockets.
pub(crate) fn tune_inherited(fd: ListenFd<'_>) {
    let _ = setsockopt(&fd, sockopt::TcpNoDelay, &true);
    let _ = setsockopt(&fd, sockopt::KeepAlive, &true);
}

/// Whether a descriptor is non-blocking.
pub(crate) fn is_nonblocking(fd: ListenFd<'_>) -> bool {
    fcntl(fd, FcntlArg::F_GETFL)
        .is_ok_and(|flags| OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK))
}

/// Makes a descriptor non-blocking, in every process that shares it.
pub(crate) fn set_nonblocking(fd: impl AsFd) -> nix::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
    if !flags.contains(OFlag::O_NONBLOCK) {
        fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    }
    Ok(())
}

/// Makes signals interrupt accept(2) on the socket, even if their handlers have SA_RESTART: a call
/// with a timeout is not restarted (signal(7)).
pub(crate) fn make_interruptible(fd: ListenFd<'_>) -> nix::Result<()> {
    let limit = getsockopt(&fd, sockopt::ReceiveTimeout)?;
    if limit.tv_sec() == 0 && limit.tv_usec() == 0 {
        setsockopt(&fd, sockopt::ReceiveTimeout, &TimeVal::new(DAYS, 0))?;
    }
    Ok(())
}

/// Eleven days, in seconds: for some 32-bit kernels a longer timeout is none. After it accept(2)
/// returns EAGAIN, and the wait continues in another way.
const DAYS: i64 = 1_000_000;

/// Whether a socket is of the unix family.
pub(crate) fn is_unix(fd: ListenFd<'_>) -> nix::Result<bool> {
    let name = getsockname::<SockaddrStorage>(fd.as_raw_fd())?;
    Ok(name.family() == Some(AddressFamily::Unix))
}

/// accept4(2), in one system call. On a unix socket it does not query the peer's address.
pub(crate) fn accept(listener: ListenFd<'_>, is_unix: bool) -> nix::Result<(OwnedFd, Peer)> {
    if is_unix {
        return Ok((accept_into(listener, None)?, Peer::Unix));
    }
    // SAFETY: zeroed is a valid sockaddr_storage.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    let fd = accept_into(listener, Some((&mut storage, &mut length)))?;
    // SAFETY: the kernel stored an address of this length.
    let address = unsafe { SockaddrStorage::from_raw((&raw const storage).cast(), Some(length)) };
    Ok((fd, address.as_ref().map_or(Peer::Unix, Peer::of)))
}

fn accept_into(
    listener: ListenFd<'_>,
    address: Option<(&mut libc::sockaddr_storage, &mut libc::socklen_t)>,
) -> nix::Result<OwnedFd> {
    let (address, length) = match address {
        Some((address, length)) => (std::ptr::from_mut(address), std::ptr::from_mut(length)),
        None => (std::ptr::null_mut(), std::ptr::null_mut()),
    };
    // SAFETY: both are null, or live; the caller has stored the length.
    let fd = unsafe {
        libc::accept4(
            listener.as_raw_fd(),
            address.cast(),
            length,
            libc::SOCK_CLOEXEC,
        )
    };
    let fd = Errno::result(fd)?;
    // SAFETY: accept4 just made this descriptor, and nothing else owns it.
    above_standard(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// A peer's address, if it is not known from accept(2).
pub(crate) fn peer_of(fd: BorrowedFd<'_>) -> Peer {
    nix::sys::socket::getpeername::<SockaddrStorage>(fd.as_raw_fd())
        .as_ref()
        .map_or(Peer::Unix, Peer::of)
}

/// Closes a descriptor that a host passed by its number.
pub(crate) fn close(fd: i32) -> nix::Result<()> {
    nix::unistd::close(fd)
}
