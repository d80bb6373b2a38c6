//! Descriptors: reading, waiting, transfer between processes. None that is made here is 0, 1 or 2.

pub(crate) mod io;
pub(crate) mod listen_fd;
pub(in crate::sys) mod message;
pub(crate) mod packets;
pub(crate) mod peer;
pub(crate) mod pipe;
pub(crate) mod poll;
pub(crate) mod sent_copy;
pub(crate) mod transfer;
pub(crate) mod worker_fd;

use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

/// The number of an error that a nix call returned.
pub(crate) fn errno(error: nix::errno::Errno) -> i32 {
    error as i32
}

/// Borrows a descriptor that a host passed by its number.
pub(crate) fn borrow(number: i32) -> Option<BorrowedFd<'static>> {
    // SAFETY: it is not -1, the only value that is never valid. The host owns it and may close it
    // at any time; then system calls fail.
    (number >= 0).then(|| unsafe { BorrowedFd::borrow_raw(number) })
}

/// Moves a descriptor above the standard ones.
///
/// A host may run with 1 or 2 closed. A socket with one of these numbers would receive everything
/// that is printed. The descriptor is close-on-exec afterwards.
pub(crate) fn above_standard(fd: OwnedFd) -> nix::Result<OwnedFd> {
    if fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    let moved = nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: fcntl just made this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(moved) })
}
