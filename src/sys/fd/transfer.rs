//! Connections are transferred between processes over a socket pair, the hand-over queue (unix(7),
//! SCM_RIGHTS).
//!
//! Every worker has both ends, and one of them may be hostile: it can send descriptors of any kind,
//! and many of them in one message. What is not a connection of the pool is closed.

use std::fs;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::socket::{
    ControlMessage, MsgFlags, SockaddrStorage, getpeername, getsockname, recv, sendmsg,
};
use once_cell::sync::OnceCell;

use crate::sys::fd::above_standard;
use crate::sys::fd::listen_fd::ListenFd;
use crate::sys::fd::peer::PeerFd;
use crate::sys::process::disposable;
use crate::sys::socket::listeners;

/// The maximum number of descriptors in a message (SCM_MAX_FD). With a smaller buffer the kernel
/// would close the others here, and the last close of a socket may block.
const DESCRIPTORS_MAX: usize = 253;

/// Bytes for these, and for other control messages, if a hostile worker has set socket options.
const CONTROL: usize = DESCRIPTORS_MAX * size_of::<i32>() + 1024;

/// A control message with the sender's pidfd (linux/socket.h).
const SCM_PIDFD: i32 = 4;

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
    let fds = [fd.as_raw_fd()];
    let message = [ControlMessage::ScmRights(&fds)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    loop {
        match sendmsg::<()>(
            over.as_raw_fd(),
            &[IoSlice::new(&[byte])],
            &message,
            flags,
            None,
        ) {
            Ok(_) => return Ok(true),
            Err(Errno::EINTR) => {}
            // ETOOMANYREFS: more descriptors in flight than the user may have open (unix(7)).
            Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ETOOMANYREFS) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
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
    let Some((_, mut fds)) = receive(from, &mut bytes)? else {
        // Another worker was faster.
        return Ok(Received::Nothing);
    };
    let [byte] = bytes;
    if let Some(fd) = fds.pop().filter(|_| fds.is_empty()) {
        return Ok(Received::Queued(QueuedFd(above_standard(fd)?), byte));
    }
    close_all(fds);
    Ok(Received::Rubbish)
}

/// The length of a message, as much as the buffer takes of it, and all descriptors that came with
/// it. `None`: there is none. EPIPE: there will be none.
pub(in crate::sys) fn receive(
    from: BorrowedFd<'_>,
    buffer: &mut [u8],
) -> nix::Result<Option<(usize, Vec<OwnedFd>)>> {
    #[repr(C)]
    union Control {
        _aligned: libc::cmsghdr,
        bytes: [u8; CONTROL],
    }
    let mut control = MaybeUninit::<Control>::zeroed();
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: zeroes are a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of::<Control>() as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the message names live locals, and the buffer, of the stated lengths.
    let count = unsafe { libc::recvmsg(from.as_raw_fd(), &raw mut message, flags) };
    let length = match Errno::result(count) {
        Ok(0) => return Err(Errno::EPIPE),
        Ok(length) => length as usize,
        Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut fds = Vec::new();
    // SAFETY: the kernel has filled the control buffer up to the length in the message, also if it
    // was truncated; the macros stay within it. Nothing else owns the descriptors in it.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while let Some(one) = header.as_ref() {
            let is_fd = matches!(one.cmsg_type, libc::SCM_RIGHTS | SCM_PIDFD);
            if one.cmsg_level == libc::SOL_SOCKET && is_fd {
                let data = libc::CMSG_DATA(header).cast::<i32>();
                let length = one.cmsg_len.saturating_sub(libc::CMSG_LEN(0) as _);
                for place in 0..length / size_of::<i32>() {
                    let fd = data.add(place).read_unaligned();
                    if fd >= 0 {
                        fds.push(OwnedFd::from_raw_fd(fd));
                    }
                }
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    Ok(Some((length.min(buffer.len()), fds)))
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
