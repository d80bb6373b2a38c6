//! The descriptor of a connection.

use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::sys::socket::{Shutdown, shutdown};

use crate::sys::process;
use crate::sys::process::forks::Mark;

const NONE: i32 = 0;

/// The descriptor of a connection. When its owner drops it, the peer sees the end immediately, even
/// if other processes have copies. In a child of the owner, dropping only closes the copy.
#[derive(Debug)]
pub(crate) struct PeerFd {
    fd: ManuallyDrop<OwnedFd>,
    owner: i32,
    accepted: Mark,
}

impl PeerFd {
    /// A connection that this process has just accepted.
    pub(crate) fn accepted(fd: OwnedFd) -> Self {
        Self::since(Mark::now(), fd)
    }

    /// A connection from elsewhere: a process that had it may have forked.
    pub(crate) fn received(fd: OwnedFd) -> Self {
        Self::since(Mark::unknown(), fd)
    }

    fn since(accepted: Mark, fd: OwnedFd) -> Self {
        Self {
            fd: ManuallyDrop::new(fd),
            owner: process::pid(),
            accepted,
        }
    }

    /// Makes this process the owner. Other processes have copies.
    pub(crate) fn take(&mut self) {
        self.owner = process::pid();
        self.accepted = Mark::unknown();
    }

    /// Makes another process the owner.
    pub(crate) fn leave(&mut self) {
        self.owner = NONE;
    }

    /// The descriptor, for another owner: the connection does not end.
    pub(crate) fn into_fd(self) -> OwnedFd {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: taken once; `this` is neither used nor dropped afterwards.
        unsafe { ManuallyDrop::take(&mut this.fd) }
    }

    /// Shuts the connection down: a close would leave it open as long as a child has a copy.
    #[cold]
    fn end_if_owner(&self) {
        if self.owner == process::pid() {
            // It fails if the peer has closed the connection.
            let _ = shutdown(self.as_raw_fd(), Shutdown::Both);
        }
    }
}

impl Drop for PeerFd {
    #[inline]
    fn drop(&mut self) {
        if self.accepted.has_forked_since() {
            self.end_if_owner();
        }
        // SAFETY: dropped once, here; `into_fd` takes it without dropping self.
        unsafe { ManuallyDrop::drop(&mut self.fd) };
    }
}

impl AsFd for PeerFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for PeerFd {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
