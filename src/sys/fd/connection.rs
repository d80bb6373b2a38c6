//! A connection's descriptor, and its end.

use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::sys::socket::{Shutdown, shutdown};

use crate::sys::process;
use crate::sys::process::forks::Mark;

const NOBODY: i32 = 0;

/// The descriptor of a connection. When the process that has it drops it, the peer sees the end at once, whoever has
/// copies; in a child of that process a copy is closed, and nothing else.
#[derive(Debug)]
pub(crate) struct Connection {
    fd: ManuallyDrop<OwnedFd>,
    owner: i32,
    accepted: Mark,
}

impl Connection {
    /// One that this process has just accepted.
    pub(crate) fn accepted(fd: OwnedFd) -> Self {
        Self::since(Mark::now(), fd)
    }

    /// One that came from elsewhere: another process may have forked while it had it.
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

    /// From here on the connection ends when this process drops it; copies exist.
    pub(crate) fn take(&mut self) {
        self.owner = process::pid();
        self.accepted = Mark::unknown();
    }

    /// From here on another process ends it.
    pub(crate) fn leave(&mut self) {
        self.owner = NOBODY;
    }

    /// The descriptor, with which somebody else goes on: nothing ends here.
    pub(crate) fn into_fd(self) -> OwnedFd {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: taken once; `this` is neither used nor dropped afterwards.
        unsafe { ManuallyDrop::take(&mut this.fd) }
    }

    /// Closing would leave the connection open for as long as a child has a copy.
    #[cold]
    fn end_if_own(&self) {
        if self.owner == process::pid() {
            // It fails when the peer is gone.
            let _ = shutdown(self.as_raw_fd(), Shutdown::Both);
        }
    }
}

impl Drop for Connection {
    #[inline]
    fn drop(&mut self) {
        if self.accepted.has_forked_since() {
            self.end_if_own();
        }
        // SAFETY: dropped once, here, unless `into_fd` took it, which does not come by here.
        unsafe { ManuallyDrop::drop(&mut self.fd) };
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Connection {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
