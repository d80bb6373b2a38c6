//! The address of the application, and connections to it.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockType, SockaddrIn, SockaddrIn6, SockaddrLike, UnixAddr,
    connect, recv, send, setsockopt, socket, sockopt,
};

use crate::args::address::{Address, Place};

/// A socket address.
#[derive(Clone, Debug)]
enum Peer {
    Unix(UnixAddr),
    V4(SockaddrIn),
    V6(SockaddrIn6),
}

/// The addresses of a host. The first one that accepts a connection is used from then on.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    peers: Vec<Peer>,
    current: usize,
    settled: bool,
    /// The error of the first address. Later ones may only show that the machine has no IPv6.
    first: Option<Errno>,
}

/// A socket that is connected or connecting.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    peer: usize,
    /// No event has shown yet that the peer exists.
    pub(crate) is_connecting: bool,
}

impl Target {
    /// # Errors
    /// The host has no address.
    pub(crate) fn new(address: &Address) -> Result<Self, String> {
        let tcp = |address: SocketAddr| match address {
            SocketAddr::V4(v4) => Peer::V4(v4.into()),
            SocketAddr::V6(v6) => Peer::V6(v6.into()),
        };
        let fail = |error: &dyn std::fmt::Display| format!("address {address}: {error}");
        let peers: Vec<Peer> = match address.place() {
            Place::Tcp { host, port } => (host.as_str(), *port)
                .to_socket_addrs()
                .map_err(|error| fail(&error))?
                .map(tcp)
                .collect(),
            Place::Loopback { port } => vec![
                tcp((Ipv4Addr::LOCALHOST, *port).into()),
                tcp((Ipv6Addr::LOCALHOST, *port).into()),
            ],
            Place::Unix(path) => {
                vec![Peer::Unix(
                    UnixAddr::new(path).map_err(|error| fail(&error))?,
                )]
            }
            Place::Abstract(name) => vec![Peer::Unix(
                UnixAddr::new_abstract(name.as_bytes()).map_err(|error| fail(&error))?,
            )],
        };
        if peers.is_empty() {
            return Err(fail(&"the host has no address"));
        }
        Ok(Self {
            peers,
            current: 0,
            settled: false,
            first: None,
        })
    }

    pub(crate) fn is_tcp(&self) -> bool {
        !matches!(self.peers.first(), Some(Peer::Unix(_)))
    }

    /// Opens a connection.
    pub(crate) fn connect(&mut self) -> Result<Socket, Errno> {
        loop {
            let number = self.current;
            let peer = self.peers.get(number).ok_or(Errno::EDESTADDRREQ)?;
            match peer.connect() {
                Ok((fd, is_connecting)) => {
                    return Ok(Socket {
                        fd,
                        peer: number,
                        is_connecting,
                    });
                }
                Err(errno) => self.pass_over(number, errno)?,
            }
        }
    }

    /// An event has shown that the peer exists.
    pub(crate) const fn settle(&mut self, socket: &mut Socket) {
        socket.is_connecting = false;
        self.settled = true;
    }

    /// A connection failed. Selects the next address of the host.
    ///
    /// # Errors
    /// There is no other address.
    pub(crate) fn give_up(&mut self, socket: &Socket, errno: Errno) -> Result<(), Errno> {
        self.pass_over(socket.peer, errno)
    }

    fn pass_over(&mut self, number: usize, errno: Errno) -> Result<(), Errno> {
        if self.settled {
            return Err(errno);
        }
        // Another client may have selected the next address already.
        if number < self.current {
            return Ok(());
        }
        let first = *self.first.get_or_insert(errno);
        if number + 1 < self.peers.len() {
            self.current = number + 1;
            return Ok(());
        }
        self.current = 0;
        self.first = None;
        Err(first)
    }
}

impl Peer {
    fn connect(&self) -> Result<(OwnedFd, bool), Errno> {
        let (family, address): (_, &dyn SockaddrLike) = match self {
            Self::Unix(address) => (AddressFamily::Unix, address),
            Self::V4(address) => (AddressFamily::Inet, address),
            Self::V6(address) => (AddressFamily::Inet6, address),
        };
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(family, SockType::Stream, flags, None)?;
        if family != AddressFamily::Unix {
            // Segments are sent as they are written, including the first of two.
            setsockopt(&fd, sockopt::TcpNoDelay, &true)?;
        }
        match connect(fd.as_raw_fd(), address) {
            Ok(()) => Ok((fd, false)),
            Err(Errno::EINPROGRESS) => Ok((fd, true)),
            Err(errno) => Err(errno),
        }
    }
}

impl Socket {
    pub(crate) const fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> Result<usize, Errno> {
        send(self.fd.as_raw_fd(), bytes, MsgFlags::MSG_NOSIGNAL)
    }

    pub(crate) fn recv(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        recv(self.fd.as_raw_fd(), buffer, MsgFlags::empty())
    }

    /// Whether the application has closed the connection. What it has sent is not read.
    pub(crate) fn has_ended(&self) -> bool {
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        recv(self.fd.as_raw_fd(), &mut [0], flags) == Ok(0)
    }
}
