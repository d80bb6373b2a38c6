//! A client whose TCP handshake has begun when a pool stops, and is completed later.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::Command;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, connect, setsockopt, socket, sockopt,
};

use super::filtered::{RETURN, statement};
use super::peer::connection::{Address, LIMIT};
use super::peer::program::{Transport, unused, without_privileges};
use super::{Pool, call};

/// A client that has sent its SYN segment and drops whatever arrives: it does not see the answer.
struct Client(OwnedFd);

impl Client {
    fn begin(address: SocketAddr) -> Self {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Inet, SockType::Stream, flags, None).unwrap();
        let mut drop_all = [statement(RETURN, 0, 0)];
        let program = libc::sock_fprog {
            len: 1,
            filter: drop_all.as_mut_ptr(),
        };
        // SAFETY: the program is live, and has the stated length.
        let attached = unsafe {
            libc::setsockopt(
                fd.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_ATTACH_FILTER,
                (&raw const program).cast(),
                size_of_val(&program) as libc::socklen_t,
            )
        };
        assert_eq!(attached, 0, "these tests must run as root");
        let begun = connect(fd.as_raw_fd(), &SockaddrStorage::from(address));
        assert_eq!(begun, Err(Errno::EINPROGRESS));
        Self(fd)
    }

    /// Sees the answer when the server repeats it, and completes the handshake.
    fn complete(self) -> TcpStream {
        // SAFETY: the option has no value.
        let detached = unsafe {
            libc::setsockopt(
                self.0.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_DETACH_FILTER,
                [0; 4].as_ptr().cast(),
                4,
            )
        };
        assert_eq!(detached, 0);
        let timeout = PollTimeout::try_from(LIMIT).unwrap();
        let mut polled = [PollFd::new(
            std::os::fd::AsFd::as_fd(&self.0),
            PollFlags::POLLOUT,
        )];
        assert_eq!(poll(&mut polled, timeout), Ok(1));
        setsockopt(&self.0, sockopt::TcpNoDelay, &true).unwrap();
        let stream = TcpStream::from(self.0);
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        assert!(stream.peer_addr().is_ok(), "{:?}", stream.take_error());
        stream
    }
}

fn is_answered(change: fn(&mut Command)) {
    let address = unused(Transport::Tcp);
    let Address::Tcp(inet) = address else {
        unreachable!()
    };
    let mut pool = Pool::start_opening_as(change, &address, 1, &[]);
    let mut paused = pool.paused(false);
    let gate = pool.gate();
    let client = Client::begin(inet);
    pool.program.signal(Signal::SIGTERM);
    pool.program.line("stopping 1 worker");
    assert!(address.is_closed());
    let mut client = client.complete();
    client.write_all(&call("/").bytes()).unwrap();
    drop(gate);
    assert!(paused.response().text().contains("waited"));
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    let text = String::from_utf8_lossy(&answer);
    assert!(text.contains("Hello from worker"), "{text}");
    pool.assert_stopped();
}

#[test]
fn it_is_answered() {
    is_answered(|_| {});
}

/// The kernel drops its request, which arrives before the worker accepts the connection.
#[test]
fn it_is_answered_by_a_manager_without_privileges() {
    is_answered(without_privileges);
}
