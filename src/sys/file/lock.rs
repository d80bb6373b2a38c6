//! Advisory locks on whole files.

use std::fs::File;
use std::os::fd::AsRawFd as _;

use nix::errno::Errno;

/// The result of trying to lock a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    /// This process holds the lock, until every copy of the descriptor is closed.
    Held,
    /// Another process holds it.
    Refused,
    /// The file system does not support locks.
    Unsupported,
}

/// Tries flock(2). Not by nix's guard: its drop unlocks, and in a forked child that would release
/// the parent's lock.
pub(crate) fn try_exclusive(file: &File) -> Lock {
    // SAFETY: an open descriptor and a constant.
    match unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } {
        0 => Lock::Held,
        _ if Errno::last() == Errno::EWOULDBLOCK => Lock::Refused,
        _ => Lock::Unsupported,
    }
}

/// Whether a process exists.
pub(crate) fn process_exists(pid: i32) -> bool {
    let pid = nix::unistd::Pid::from_raw(pid);
    !matches!(nix::sys::signal::kill(pid, None), Err(Errno::ESRCH))
}
