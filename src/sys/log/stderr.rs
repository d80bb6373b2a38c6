//! Standard error: whether it takes anything, and its redirection for a while. Lines go through
//! [`log`](crate::sys::log).

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::{Gid, Uid};

use crate::sys::fd::pipe::Pipe;
use crate::sys::log::attempt::{Attempt, attempt};

/// Whether standard error takes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// A line, at least.
    Some,
    /// Its reader stands still.
    None,
    /// It is closed, or nobody reads it.
    Gone,
}

/// Asks standard error whether it takes anything.
pub(crate) fn room() -> Room {
    let mut polled = [PollFd::new(stderr(), PollFlags::POLLOUT)];
    if poll(&mut polled, PollTimeout::ZERO).is_err() {
        return Room::None;
    }
    match polled[0].revents() {
        Some(PollFlags::POLLOUT) => Room::Some,
        Some(events) if events.is_empty() => Room::None,
        Some(_) | None => Room::Gone,
    }
}

/// Writes bytes as they are, as many as are taken at once.
pub(crate) fn pass_on(bytes: &[u8]) -> Attempt {
    attempt(stderr(), bytes)
}

pub(in crate::sys) fn stderr() -> BorrowedFd<'static> {
    // SAFETY: descriptor 2 may be closed, and then every call with it fails with EBADF.
    unsafe { BorrowedFd::borrow_raw(2) }
}

/// Standard error while it is a pipe, and what it was before.
#[derive(Debug)]
pub(crate) struct Redirected {
    before: OwnedFd,
    /// The end that is read. It stays open here, too: whoever reads it may die, and whatever still writes must
    /// not die of SIGPIPE.
    read: OwnedFd,
}

impl Redirected {
    /// Makes standard error the pipe's end that is written.
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

    /// What a program that was executed before this one has left: what standard error was, and the end of the
    /// pipe that is read.
    pub(crate) const fn inherited(before: OwnedFd, read: OwnedFd) -> Self {
        Self { before, read }
    }

    /// What standard error was, and the end of the pipe that is read.
    pub(crate) const fn descriptors(&self) -> [&OwnedFd; 2] {
        [&self.before, &self.read]
    }

    /// Lets a user open the pipe anew, by /dev/stderr: it is made by the manager's.
    pub(crate) fn give_to(&self, user: Option<u32>, group: u32) {
        let (user, group) = (user.map(Uid::from_raw), Gid::from_raw(group));
        // Without, a program that wants to write is refused there, as it may be by what was there before.
        let _ = nix::unistd::fchown(&self.read, user, Some(group));
    }

    /// Makes standard error what it was, unless the host has made it something else meanwhile.
    pub(crate) fn undo(self) {
        let Self { before, read } = self;
        let identity = |fd: BorrowedFd<'_>| {
            let stat = nix::sys::stat::fstat(fd).ok()?;
            Some((stat.st_dev, stat.st_ino))
        };
        // Both ends of a pipe are one file.
        if identity(stderr()) == identity(read.as_fd()) {
            // It fails for no open descriptor.
            let _ = make_stderr(before.as_fd());
        }
        let mut polled = [PollFd::new(read.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut polled, PollTimeout::ZERO);
        let is_written = polled[0]
            .revents()
            .is_none_or(|events| !events.contains(PollFlags::POLLHUP));
        if is_written {
            // The host has a copy, or a child of it has. It stays open as long as this process lives.
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
