//! Standard error: whether it accepts output, and its temporary redirection. Lines are written by
//! [`log`](crate::sys::log).

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Gid, Uid};

use crate::sys::fd::pipe::Pipe;
use crate::sys::log::attempt::{Attempt, attempt};

/// Whether standard error accepts output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Capacity {
    /// At least a line.
    Some,
    /// Not now: its reader does not keep up.
    None,
    /// It is closed, or has no reader.
    Closed,
}

/// Whether standard error accepts output now.
pub(crate) fn capacity() -> Capacity {
    let mut polled = [PollFd::new(stderr(), PollFlags::POLLOUT)];
    if poll(&mut polled, PollTimeout::ZERO).is_err() {
        return Capacity::None;
    }
    match polled[0].revents() {
        Some(PollFlags::POLLOUT) => Capacity::Some,
        Some(events) if events.is_empty() => Capacity::None,
        Some(_) | None => Capacity::Closed,
    }
}

/// Writes as many of the bytes as possible without blocking.
pub(crate) fn forward(bytes: &[u8]) -> Attempt {
    attempt(stderr(), bytes)
}

pub(in crate::sys) fn stderr() -> BorrowedFd<'static> {
    // SAFETY: descriptor 2 may be closed, and then every call with it fails with EBADF.
    unsafe { BorrowedFd::borrow_raw(2) }
}

/// Standard error as a pipe, and what it was before.
#[derive(Debug)]
pub(crate) struct Redirected {
    before: OwnedFd,
    /// The read end. It stays open here, too: the reader may die, and then writers must not get
    /// SIGPIPE.
    read: OwnedFd,
}

impl Redirected {
    /// Makes standard error the write end of a pipe.
    pub(crate) fn to(pipe: Pipe) -> nix::Result<Self> {
        // SAFETY: fcntl makes a descriptor, which nothing else owns.
        let before = unsafe {
            OwnedFd::from_raw_fd(nix::fcntl::fcntl(
                stderr(),
                nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(3),
            )?)
        };
        make_stderr(pipe.write.as_fd())?;
        Ok(Self {
            before,
            read: pipe.read,
        })
    }

    /// From the program before this one: the original standard error, and the read end of the pipe.
    pub(crate) const fn inherited(before: OwnedFd, read: OwnedFd) -> Self {
        Self { before, read }
    }

    /// The original standard error, and the read end of the pipe.
    pub(crate) const fn descriptors(&self) -> [&OwnedFd; 2] {
        [&self.before, &self.read]
    }

    /// Lets a user reopen the pipe by /dev/stderr: the manager's user has created it.
    pub(crate) fn give_to(&self, user: Option<u32>, group: u32) {
        let (user, group) = (user.map(Uid::from_raw), Gid::from_raw(group));
        // If it fails, the user cannot reopen it, which the original may not allow either.
        let _ = nix::unistd::fchown(&self.read, user, Some(group));
    }

    /// Restores standard error, unless the host has redirected it meanwhile.
    pub(crate) fn undo(self) {
        let Self { before, read } = self;
        let identity = |fd: BorrowedFd<'_>| {
            let stat = nix::sys::stat::fstat(fd).ok()?;
            Some((stat.st_dev, stat.st_ino))
        };
        // Both ends of a pipe are the same file.
        if identity(stderr()) == identity(read.as_fd()) {
            // It does not fail for an open descriptor.
            let _ = make_stderr(before.as_fd());
        }
        let mut polled = [PollFd::new(read.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut polled, PollTimeout::ZERO);
        let is_written = polled[0]
            .revents()
            .is_none_or(|events| !events.contains(PollFlags::POLLHUP));
        if is_written {
            // The host or a child of it has a copy. So it stays open as long as this process lives.
            std::mem::forget(read);
        }
    }
}

fn make_stderr(fd: BorrowedFd<'_>) -> nix::Result<()> {
    loop {
        // SAFETY: integers only. Descriptor 2 is standard error, whatever it was before.
        match nix::errno::Errno::result(unsafe { libc::dup2(fd.as_raw_fd(), 2) }) {
            Ok(_) => return Ok(()),
            Err(nix::errno::Errno::EINTR | nix::errno::Errno::EBUSY) => {}
            Err(error) => return Err(error),
        }
    }
}
