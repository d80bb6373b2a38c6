//! Copies of descriptors that a worker named, by how far they can be trusted.
//!
//! A worker may lock a socket that it shares for as long as it likes, and any call on it may wait for that. So
//! the manager only takes them and gives them to a disposable process
//! ([`disposable`](crate::sys::process::disposable)), which looks at them, and closes them.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use nix::sys::socket::{MsgFlags, Shutdown, send, setsockopt, shutdown, sockopt};

use crate::sys::fd::{above_standard, io, transfer};
use crate::sys::process::child::Child;
use crate::sys::process::filtered::PIDFD_GETFD;
use crate::sys::socket::listeners::Listener;

/// A socket of a worker's, of which nothing else is known.
#[derive(Debug)]
pub(crate) struct WorkerFd(OwnedFd);

/// A connection that came in by a listening socket of the pool's.
#[derive(Debug)]
pub(crate) struct HeldFd(OwnedFd);

/// What became of an attempt to take a worker's descriptor.
#[derive(Debug)]
pub(crate) enum Taken {
    /// A copy of a socket.
    Socket(WorkerFd),
    /// There is no such socket, or it may not be taken.
    Nothing,
    /// The worker put something else in its place meanwhile. To close that could call into its file system, so
    /// it stays open here, and the worker must not get another chance.
    Exchanged,
}

impl Child {
    /// A copy of a socket of the child's (pidfd_getfd(2)), whose number is the child's word. The rules of who may
    /// are those of ptrace(2).
    pub(crate) fn take_socket(&self, number: i32) -> Taken {
        let pidfd = self.pidfd().filter(|_| PIDFD_GETFD.is_allowed());
        let Some(pidfd) = pidfd else {
            return Taken::Nothing;
        };
        let Some(wanted) = socket_behind(&format!("/proc/{}/fd/{number}", self.pid())) else {
            return Taken::Nothing;
        };
        // SAFETY: integers only; the descriptor it returns (close-on-exec by definition) is owned by
        // nobody else.
        let fd = unsafe {
            let fd = libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0);
            match i32::try_from(fd) {
                Ok(fd) if fd >= 0 => OwnedFd::from_raw_fd(fd),
                Ok(_) | Err(_) => return Taken::Nothing,
            }
        };
        let found = socket_behind(&format!("/proc/self/fd/{}", fd.as_raw_fd()));
        if found.as_ref() != Some(&wanted) {
            std::mem::forget(fd);
            return Taken::Exchanged;
        }
        above_standard(fd).map_or(Taken::Nothing, |fd| Taken::Socket(WorkerFd(fd)))
    }
}

fn close_at_once(socket: OwnedFd) {
    let off = libc::linger {
        l_onoff: 0,
        l_linger: 0,
    };
    let _ = setsockopt(&socket, sockopt::Linger, &off);
}

/// The kernel's name for a socket, `socket:[INODE]`, if that is what a link in /proc leads to. Nothing is asked of
/// the file itself.
fn socket_behind(link: &str) -> Option<String> {
    let target = fs::read_link(link).ok()?.into_os_string();
    let target = target.into_string().ok()?;
    target.starts_with("socket:[").then_some(target)
}

impl WorkerFd {
    /// Its number, for a disposable process to keep.
    pub(crate) fn number(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Closes it in this process, where no disposable one can be had. It does not wait for the peer, unless somebody
    /// who has a copy as well sets SO_LINGER again and is the last but one to close.
    pub(crate) fn close_here(self) {
        close_at_once(self.0);
    }

    /// The connection that it is, if one of these sockets accepted it. Only in a disposable process.
    pub(crate) fn accepted_by(self, listeners: &[Listener]) -> Option<HeldFd> {
        if listeners.iter().any(|one| one.accepted(self.0.as_fd())) {
            return Some(HeldFd(self.0));
        }
        // It is closed when the process ends, which does not wait.
        std::mem::forget(self.0);
        None
    }
}

impl HeldFd {
    /// A connection that this process has accepted. No other one has it.
    pub(crate) const fn new(connection: OwnedFd) -> Self {
        Self(connection)
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Sends all of something short at once, or not.
    pub(crate) fn send(&self, bytes: &[u8]) -> bool {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        send(self.0.as_raw_fd(), bytes, flags) == Ok(bytes.len())
    }

    /// Closes it, without waiting for the peer. (What it accepted has the SO_LINGER of the listening socket.)
    pub(crate) fn close(self) {
        close_at_once(self.0);
    }

    /// The peer gets no more.
    pub(crate) fn shut_down(&self) {
        let _ = shutdown(self.0.as_raw_fd(), Shutdown::Write);
    }

    /// Throws away what the peer sent; whether its end came.
    pub(crate) fn discard(&self) -> bool {
        const BOUND: usize = 1 << 20;
        io::discard(self.as_fd(), &mut [0; 8192], BOUND)
    }

    /// Puts a copy into a hand-over queue. False: it is full.
    ///
    /// # Errors
    /// The queue is gone: a worker has shut it down.
    pub(crate) fn forward(&self, queue: BorrowedFd<'_>, byte: u8) -> nix::Result<bool> {
        transfer::pass(queue, self.as_fd(), byte)
    }
}

/// Nothing is assumed of it any more: others may have a copy by now.
impl From<HeldFd> for WorkerFd {
    fn from(held: HeldFd) -> Self {
        Self(held.0)
    }
}
