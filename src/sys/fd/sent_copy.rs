//! Copies of connections that workers send, where the manager cannot copy them itself
//! (pidfd_getfd(2)).
//!
//! A worker that runs an overdue request returns to none of this library's functions. So the handler of
//! the wake-up signal sends the copy ([`answer`]), which is async-signal-safe.
//!
//! The worker may be hostile. The close of a descriptor that it sent may block, so the manager only sees
//! that something has arrived. A disposable process receives it.

use std::os::fd::{
    AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, IntoRawFd as _, OwnedFd, RawFd,
};
use std::sync::atomic::{AtomicI32, Ordering};

use nix::sys::socket::{
    MsgFlags, Shutdown, SockFlag, SockType, recvmsg, setsockopt, shutdown, sockopt,
};

use crate::error::{Error, Result};
use crate::sys::fd::message::{self, Accepted};
use crate::sys::fd::worker_fd::WorkerFd;
use crate::sys::fd::{above_standard, pipe};
use crate::sys::process;
use crate::sys::process::current::Current;
use crate::sys::scoreboard::Page;

/// Messages that are received at most. This library sends one.
const MESSAGES_MAX: usize = 16;

/// The manager's end of the connection on which a worker sends the copy.
#[derive(Debug)]
pub(crate) struct CopyInbox(OwnedFd);

/// The manager's end and the worker's.
///
/// # Errors
/// socketpair(2) or setsockopt(2) failed.
pub(crate) fn pair() -> Result<(CopyInbox, OwnedFd)> {
    const WHAT: &str = "connection to a worker";
    let flags = SockFlag::SOCK_NONBLOCK;
    let (ours, its) = pipe::pair_of(WHAT, SockType::SeqPacket, flags)?;
    // So each message has a control message, which `ends_empty` notices.
    setsockopt(&ours, sockopt::PassCred, &true)
        .map_err(|errno| Error::system(format_args!("{WHAT}: setsockopt"), errno as i32))?;
    Ok((CopyInbox(ours), its))
}

impl CopyInbox {
    /// Readable when something has arrived, or nothing will.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    pub(crate) fn number(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Refuses what is sent from here on. Whether nothing has arrived: then it may be closed.
    pub(crate) fn ends_empty(&self) -> bool {
        let _ = shutdown(self.0.as_raw_fd(), Shutdown::Read);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK;
        let received = recvmsg::<()>(self.0.as_raw_fd(), &mut [], None, flags);
        // An empty message has its control message, too.
        received.is_ok_and(|message| !message.flags.contains(MsgFlags::MSG_CTRUNC))
    }

    /// The copy that was sent for this request. Everything else stays open. Only in a disposable process.
    pub(crate) fn receive(&self, request: u64) -> Option<WorkerFd> {
        let mut found = None;
        for _ in 0..MESSAGES_MAX {
            let mut bytes = [0; 9];
            let received = message::receive(self.as_fd(), &mut bytes, Accepted::Descriptors);
            let Ok(Some(message)) = received else {
                break;
            };
            let is_wanted = message.length == 8 && bytes[..8] == request.to_ne_bytes();
            for fd in message.descriptors {
                match above_standard(fd) {
                    Ok(fd) if is_wanted && found.is_none() => found = Some(WorkerFd::sent(fd)),
                    Ok(other) => std::mem::forget(other),
                    Err(_) => {}
                }
            }
        }
        found
    }
}

/// The worker's end.
struct Sender {
    page: &'static Page,
    pid: i32,
    socket: AtomicI32,
}

static SENDER: Current<Sender> = Current::none();

/// In a new worker: from here on, the handler of the wake-up sends what the page asks for.
pub(crate) fn begin(page: &'static Page, socket: OwnedFd) {
    let sender = Sender {
        page,
        pid: process::pid(),
        socket: AtomicI32::new(socket.into_raw_fd()),
    };
    // A process becomes a worker once.
    let _ = SENDER.set(sender);
}

/// In a copy of a worker, which is none. No handler runs meanwhile.
pub(crate) fn end() {
    if let Some(sender) = SENDER.get() {
        let socket = sender.socket.swap(-1, Ordering::SeqCst);
        if socket >= 0 {
            // SAFETY: `begin` took it from its owner, and nothing else closes it.
            drop(unsafe { OwnedFd::from_raw_fd(socket) });
        }
    }
    SENDER.forget();
}

/// In a handler: sends a copy of the connection whose request the page names, if it names one.
/// Async-signal-safe; changes errno.
pub(in crate::sys) fn answer() {
    // SAFETY: getpid has no preconditions. A child has the handler and the page, too.
    let is_here = |sender: &&Sender| unsafe { libc::getpid() } == sender.pid;
    let Some(sender) = SENDER.get().filter(is_here) else {
        return;
    };
    if let Some((request, connection)) = sender.page.take_copy_request() {
        send(sender.socket.load(Ordering::SeqCst), request, connection);
    }
}

/// As [`message::send`], which allocates.
fn send(socket: RawFd, request: u64, connection: RawFd) {
    const LENGTH: usize = size_of::<RawFd>();
    // SAFETY: CMSG_SPACE only computes.
    const SPACE: usize = unsafe { libc::CMSG_SPACE(LENGTH as u32) } as usize;
    #[repr(C)]
    union Control {
        _aligned: libc::cmsghdr,
        bytes: [u8; SPACE],
    }
    let mut control = Control { bytes: [0; SPACE] };
    let mut bytes = request.to_ne_bytes();
    let mut part = libc::iovec {
        iov_base: bytes.as_mut_ptr().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: zeroes are a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = SPACE as _;
    // SAFETY: the control buffer has room for one message with one descriptor, and the message names
    // live locals of the stated lengths. sendmsg(2) does not block, and raises no signal.
    unsafe {
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(LENGTH as u32) as _;
        libc::CMSG_DATA(header)
            .cast::<RawFd>()
            .write_unaligned(connection);
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        libc::sendmsg(socket, &raw const message, flags);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn sent(inbox: &CopyInbox, request: u64) -> Option<OwnedFd> {
        inbox.receive(request).map(WorkerFd::into_fd)
    }

    #[test]
    fn a_copy_arrives_with_its_request() {
        let (inbox, its) = pair().unwrap();
        let (mut near, far) = UnixStream::pair().unwrap();
        send(its.as_raw_fd(), 7, far.as_raw_fd());
        let copy = sent(&inbox, 7).unwrap();
        drop(far);
        UnixStream::from(copy).write_all(b"x").unwrap();
        assert_eq!(near.read(&mut [0; 2]).unwrap(), 1);
        assert_eq!(near.read(&mut [0; 2]).unwrap(), 0);
        assert!(inbox.ends_empty());
    }

    #[test]
    fn what_is_sent_for_another_request_is_not_the_copy() {
        let (inbox, its) = pair().unwrap();
        let (_near, far) = UnixStream::pair().unwrap();
        send(its.as_raw_fd(), 7, far.as_raw_fd());
        message::send(its.as_fd(), b"123456789", &[far.as_raw_fd()], None).unwrap();
        message::send(its.as_fd(), &8_u64.to_ne_bytes(), &[], None).unwrap();
        assert!(sent(&inbox, 8).is_none());
    }

    #[test]
    fn an_inbox_with_anything_is_not_empty() {
        let (_near, far) = UnixStream::pair().unwrap();
        for (bytes, fds) in [
            (&b""[..], &[far.as_raw_fd()][..]),
            (b"x", &[far.as_raw_fd()]),
            (b"", &[]),
        ] {
            let (inbox, its) = pair().unwrap();
            message::send(its.as_fd(), bytes, fds, None).unwrap();
            assert!(!inbox.ends_empty());
            let refused = message::send(its.as_fd(), b"x", &[], None);
            assert_eq!(refused, Err(nix::errno::Errno::EPIPE));
        }
        let (inbox, _its) = pair().unwrap();
        assert!(inbox.ends_empty());
    }
}
