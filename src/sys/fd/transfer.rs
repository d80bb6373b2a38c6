//! Connections are transferred between processes over a socket pair, the hand-over queue (unix(7),
//! SCM_RIGHTS).
//!
//! Every worker has both ends, and one of them may be hostile: it can send descriptors of any kind,
//! and many of them in one message. What is not a connection of the pool is closed.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::socket::{MsgFlags, SockaddrStorage, getpeername, getsockname, recv};
use once_cell::sync::OnceCell;

use crate::sys::fd::above_standard;
use crate::sys::fd::listen_fd::ListenFd;
use crate::sys::fd::message::{self, Accepted};
use crate::sys::fd::peer::PeerFd;
use crate::sys::process::disposable;
use crate::sys::socket::listeners;

/// Files that may be left open, because closing them could block in their file system.
const LEFT_OPEN_MAX: usize = 16;

/// A descriptor from the queue that another worker claims to be a connection.
#[derive(Debug)]
pub(crate) struct QueuedFd(OwnedFd);

/// What was received.
#[derive(Debug)]
pub(crate) enum Received {
    /// One descriptor, and its byte.
    Queued(QueuedFd, u8),
    /// A message that this library does not send. Its descriptors are closed.
    Rubbish,
    /// Nothing waits.
    Nothing,
}

/// Sends a copy of a descriptor, and one byte. False: the queue is full.
pub(crate) fn pass(over: BorrowedFd<'_>, fd: BorrowedFd<'_>, byte: u8) -> nix::Result<bool> {
    message::was_sent(message::send(over, &[byte], &[fd.as_raw_fd()], None))
}

/// Receives the next descriptor. EPIPE: the queue is closed. EMFILE, ENFILE: no descriptor is free,
/// and the message stays in the queue.
pub(crate) fn take(from: BorrowedFd<'_>) -> nix::Result<Received> {
    let peek = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK;
    match recv(from.as_raw_fd(), &mut [0], peek) {
        Ok(0) => return Err(Errno::EPIPE),
        Ok(_) => {}
        Err(Errno::EAGAIN | Errno::EINTR) => return Ok(Received::Nothing),
        Err(error) => return Err(error),
    }
    // A received descriptor is lost if none is free.
    let spare = fcntl(from, FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: fcntl just made this descriptor, and nothing else owns it.
    drop(unsafe { OwnedFd::from_raw_fd(spare) });
    let mut bytes = [0];
    let Some(message) = message::receive(from, &mut bytes, Accepted::Descriptors)? else {
        // Another worker was faster.
        return Ok(Received::Nothing);
    };
    let mut fds = message.descriptors;
    let [byte] = bytes;
    if let Some(fd) = fds.pop().filter(|_| fds.is_empty()) {
        return Ok(Received::Queued(QueuedFd(above_standard(fd)?), byte));
    }
    close_all(fds);
    Ok(Received::Rubbish)
}

impl QueuedFd {
    /// The connection, if this listening socket or another one of this process accepted it.
    /// Anything else is closed.
    pub(crate) fn check(self, listener: ListenFd<'_>) -> Option<PeerFd> {
        static ADDRESSES: OnceCell<Vec<SockaddrStorage>> = OnceCell::new();
        let fd = self.0.as_fd();
        let is_at = |address: &SockaddrStorage| listeners::is_accepted_at(address, fd);
        let is_connected = getpeername::<SockaddrStorage>(fd.as_raw_fd()).is_ok();
        let is_ours = getsockname(listener.as_raw_fd()).is_ok_and(|address| is_at(&address))
            || ADDRESSES
                .get_or_init(listeners::addresses)
                .iter()
                .any(is_at);
        if is_connected && is_ours {
            return Some(PeerFd::received(self.0));
        }
        close_all(vec![self.0]);
        None
    }
}

/// Whether too many files had to be left open, so that nothing more should be taken.
pub(crate) fn is_flooded() -> bool {
    LEFT_OPEN.load(Ordering::Relaxed) >= LEFT_OPEN_MAX
}

static LEFT_OPEN: AtomicUsize = AtomicUsize::new(0);

/// Closes what a hostile worker sent, without blocking. A file stays open: closing it calls its
/// file system, which may be the worker's own.
fn close_all(fds: Vec<OwnedFd>) {
    let mut sockets = Vec::new();
    for fd in fds {
        let link = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()));
        let link = link.unwrap_or_default().into_os_string();
        let kind = link.as_encoded_bytes();
        if kind.starts_with(b"socket:[") {
            sockets.push(fd);
        } else if kind.starts_with(b"pipe:[") || kind.starts_with(b"anon_inode:") {
            drop(fd);
        } else {
            std::mem::forget(fd);
            LEFT_OPEN.fetch_add(1, Ordering::Relaxed);
        }
    }
    if !sockets.is_empty() {
        let _ = disposable::close_sockets(sockets);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;
    use crate::sys::fd::io;

    fn taken(from: &UnixStream) -> (QueuedFd, u8) {
        match take(from.as_fd()) {
            Ok(Received::Queued(fd, byte)) => (fd, byte),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_closed_queue_differs_from_an_empty_one() {
        let (near, far) = UnixStream::pair().unwrap();
        assert!(matches!(take(near.as_fd()), Ok(Received::Nothing)));
        far.shutdown(std::net::Shutdown::Both).unwrap();
        assert_eq!(take(near.as_fd()).unwrap_err(), Errno::EPIPE);
    }

    #[test]
    fn descriptors_travel_with_their_byte_and_in_order() {
        let (near, far) = UnixStream::pair().unwrap();
        let (one, two) = UnixStream::pair().unwrap();
        assert!(pass(far.as_fd(), one.as_fd(), b'1').unwrap());
        assert!(pass(far.as_fd(), two.as_fd(), b'2').unwrap());
        let (first, byte) = taken(&near);
        assert_eq!(byte, b'1');
        drop((one, two));
        let (second, byte) = taken(&near);
        assert_eq!(byte, b'2');
        nix::unistd::write(first.0.as_fd(), b"x").unwrap();
        let mut buffer = [0; 4];
        let received = io::receive(second.0.as_fd(), &mut buffer);
        assert_eq!(received, Ok(io::Received::Bytes(1)));
    }

    #[test]
    fn only_a_connection_of_this_socket_is_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let client = UnixStream::connect(&path).unwrap();
        let (served, _) = listener.accept().unwrap();
        let check = |fd: BorrowedFd<'_>| {
            let copy = fd.try_clone_to_owned().unwrap();
            QueuedFd(copy)
                .check(ListenFd::new(listener.as_fd()))
                .is_some()
        };
        assert!(check(served.as_fd()));
        let (pair, _other) = UnixStream::pair().unwrap();
        let (pipe, _write) = nix::unistd::pipe().unwrap();
        for fd in [client.as_fd(), listener.as_fd(), pair.as_fd(), pipe.as_fd()] {
            assert!(!check(fd));
        }
    }
}
