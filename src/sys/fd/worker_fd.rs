//! Copies of descriptors that a worker named, by how far they can be trusted.
//!
//! A worker can keep a socket that it shares locked, and then any call on it blocks. So the manager
//! only takes the copies and passes them to a disposable process
//! ([`disposable`](crate::sys::process::disposable)), which examines and closes them.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use nix::sys::socket::{MsgFlags, Shutdown, send, setsockopt, shutdown, sockopt};

use crate::sys::fd::{above_standard, io, transfer};
use crate::sys::process::child::Child;
use crate::sys::process::filtered::{PIDFD_GETFD, PIDFD_OPEN};
use crate::sys::socket::listeners::Listener;

/// A socket of a worker. Nothing else is known about it.
#[derive(Debug)]
pub(crate) struct WorkerFd(OwnedFd);

/// A connection that a listening socket of the pool has accepted.
#[derive(Debug)]
pub(crate) struct HeldFd(OwnedFd);

/// The result of an attempt to take a worker's descriptor.
#[derive(Debug)]
pub(crate) enum Taken {
    /// A copy of a socket.
    Socket(WorkerFd),
    /// There is no such socket, or it must not be taken.
    Nothing,
    /// The worker replaced it by something else meanwhile. Closing that could call its file system,
    /// so the copy stays open, and nothing must be taken from this worker again.
    Exchanged,
}

fn close_without_linger(socket: OwnedFd) {
    let off = libc::linger {
        l_onoff: 0,
        l_linger: 0,
    };
    let _ = setsockopt(&socket, sockopt::Linger, &off);
}

/// The kernel's name for a socket, `socket:[INODE]`, if a link in /proc has such a target. The file
/// itself is not accessed.
fn socket_behind(link: &str) -> Option<String> {
    let target = fs::read_link(link).ok()?.into_os_string();
    let target = target.into_string().ok()?;
    target.starts_with("socket:[").then_some(target)
}

/// Whether copies can be taken from workers: the calls exist, and no filter refuses them. From a worker
/// that has changed its user or group, only with CAP_SYS_PTRACE.
pub(crate) fn can_take(changes_identity: bool) -> bool {
    PIDFD_OPEN.is_allowed() && PIDFD_GETFD.is_allowed() && (!changes_identity || may_trace())
}

/// Whether this process has CAP_SYS_PTRACE. Without /proc that is unknown.
fn may_trace() -> bool {
    const CAP_SYS_PTRACE: u32 = 19;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    let effective = lines.find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    effective.is_none_or(|mask| mask >> CAP_SYS_PTRACE & 1 == 1)
}

impl WorkerFd {
    /// A descriptor that a worker has sent, of whatever kind. Only in a disposable process.
    pub(in crate::sys) const fn sent(fd: OwnedFd) -> Self {
        Self(fd)
    }

    #[cfg(test)]
    pub(in crate::sys) fn into_fd(self) -> OwnedFd {
        self.0
    }

    /// Takes a copy of a socket of a child (pidfd_getfd(2)), by a number that the child wrote. The
    /// permissions are those of ptrace(2).
    pub(crate) fn take(child: &Child, number: i32) -> Taken {
        let pidfd = child.pidfd().filter(|_| PIDFD_GETFD.is_allowed());
        let Some(pidfd) = pidfd else {
            return Taken::Nothing;
        };
        let Some(wanted) = socket_behind(&format!("/proc/{}/fd/{number}", child.pid())) else {
            return Taken::Nothing;
        };
        // SAFETY: integers only; nothing else owns the descriptor that it returns (close-on-exec by
        // definition).
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
        above_standard(fd).map_or(Taken::Nothing, |fd| Taken::Socket(Self(fd)))
    }

    /// Its number, which a disposable process has to keep.
    pub(crate) fn number(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Closes it in this process, if there is no disposable one. This does not wait for the peer,
    /// unless another process with a copy sets SO_LINGER again and closes its copy first.
    pub(crate) fn close_here(self) {
        close_without_linger(self.0);
    }

    /// The connection, if one of these sockets accepted it. Only in a disposable process.
    pub(crate) fn accepted_by(self, listeners: &[Listener]) -> Option<HeldFd> {
        if listeners.iter().any(|one| one.accepted(self.0.as_fd())) {
            return Some(HeldFd(self.0));
        }
        // The end of the process closes it, without blocking.
        std::mem::forget(self.0);
        None
    }
}

impl HeldFd {
    /// A connection that this process has accepted. No other process has it.
    pub(crate) const fn new(connection: OwnedFd) -> Self {
        Self(connection)
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Sends all of a short message without blocking. False: not all of it was sent.
    pub(crate) fn send(&self, bytes: &[u8]) -> bool {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        send(self.0.as_raw_fd(), bytes, flags) == Ok(bytes.len())
    }

    /// Closes it without waiting for the peer. (It has inherited SO_LINGER from the listening
    /// socket.)
    pub(crate) fn close(self) {
        close_without_linger(self.0);
    }

    /// Ends the output.
    pub(crate) fn shut_down(&self) {
        let _ = shutdown(self.0.as_raw_fd(), Shutdown::Write);
    }

    /// Discards what the peer sent. Returns whether its input has ended.
    pub(crate) fn discard(&self) -> bool {
        const BOUND: usize = 1 << 20;
        io::discard(self.as_fd(), &mut [0; 8192], BOUND)
    }

    /// Sends a copy to a hand-over queue. False: it is full.
    ///
    /// # Errors
    /// A worker has shut the queue down.
    pub(crate) fn forward(&self, queue: BorrowedFd<'_>, byte: u8) -> nix::Result<bool> {
        transfer::pass(queue, self.as_fd(), byte)
    }
}

/// It is no longer trusted: other processes may have a copy by now.
impl From<HeldFd> for WorkerFd {
    fn from(held: HeldFd) -> Self {
        Self(held.0)
    }
}
