//! The descriptor of a listening socket.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use crate::sys::fd::borrow;

/// A listening socket that the host or another process may use, too. It can be accepted from, watched
/// and queried (`sys/socket/`), but neither read, written nor closed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListenFd<'a>(BorrowedFd<'a>);

impl ListenFd<'static> {
    /// The socket with this number, which the host may close at any time: then system calls fail.
    pub(crate) fn of_host(number: i32) -> Option<Self> {
        borrow(number).map(Self)
    }
}

impl<'a> ListenFd<'a> {
    pub(in crate::sys) const fn new(fd: BorrowedFd<'a>) -> Self {
        Self(fd)
    }

    /// To be watched.
    pub(crate) const fn source(self) -> BorrowedFd<'a> {
        self.0
    }
}

impl AsFd for ListenFd<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0
    }
}

impl AsRawFd for ListenFd<'_> {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
