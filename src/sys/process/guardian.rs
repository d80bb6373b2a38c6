//! A process that outlives this one, and does some work then.
//!
//! It is a copy of this process, in a process group of its own, so that signals to this group do
//! not reach it, and with every signal blocked. The host does not notice its end.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, send};

use crate::error::{Error, Result};
use crate::sys::fd::pipe;
use crate::sys::fd::poll::readable_within;
use crate::sys::process;
use crate::sys::process::child::open_pidfd;
use crate::sys::process::disposable::{close_all_but, sorted};
use crate::sys::process::hidden_child::HiddenChild;
use crate::sys::process::title;

/// The message that a newer guardian has replaced it.
const DISMISSED: u8 = b'D';

/// How long to wait for a dismissed guardian to end.
const PATIENCE: Duration = Duration::from_secs(1);

/// A guardian that has not been reaped yet.
#[derive(Debug)]
pub(crate) struct Guardian {
    child: HiddenChild,
    /// Ends, for each side, when the other process ends.
    channel: OwnedFd,
}

impl Guardian {
    /// Starts a process that does this work when this process has ended, with only these
    /// descriptors. The caller ensures that this process has one thread.
    ///
    /// # Errors
    /// The socket pair or the process cannot be created.
    pub(crate) fn start(
        keep: impl IntoIterator<Item = RawFd>,
        work: impl FnOnce(),
    ) -> Result<Self> {
        let (ours, its) = pipe::pair("channel of the guardian")?;
        // A child that the host forked may keep the channel open. Without a pidfd, only the channel
        // shows the end of this process.
        let manager = process::pid();
        let pidfd = open_pidfd(manager);
        let keep = keep.into_iter();
        let kept = sorted(keep.chain(pidfd.as_ref().map(|fd| fd.as_raw_fd())), &its);
        let started = HiddenChild::start(|| run(&its, pidfd.as_ref(), manager, &kept, work));
        let child = started.map_err(|errno| Error::system("fork of the guardian", errno as i32))?;
        // A kill of this process's group must not reach it, from the moment it is relied on.
        let its = nix::unistd::Pid::from_raw(child.pid());
        let _ = nix::unistd::setpgid(its, its);
        Ok(Self {
            child,
            channel: ours,
        })
    }

    /// Tells it that another guardian has replaced it.
    pub(crate) fn dismiss(&self) {
        // It fails if the guardian was killed.
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let _ = send(self.channel.as_raw_fd(), &[DISMISSED], flags);
    }

    /// Ends when the guardian ends.
    pub(crate) fn channel(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }

    /// Whether the guardian has closed everything: it has ended, or is about to. (If poll(2) fails,
    /// the channel may be reported as ready although it is not.)
    pub(crate) fn has_ended(&self) -> bool {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK;
        let peeked = recv(self.channel.as_raw_fd(), &mut [0], flags);
        !matches!(peeked, Err(Errno::EAGAIN | Errno::EINTR))
    }

    /// Reaps the guardian if it has ended.
    pub(crate) fn is_reaped(&self) -> bool {
        self.child.has_ended()
    }

    /// Ends the guardian, and waits briefly until it is reaped.
    pub(crate) fn end(self) {
        const TRIES: u32 = 100;
        self.dismiss();
        readable_within(self.channel.as_fd(), PATIENCE);
        // Its channel ends a little earlier than the process.
        for _ in 0..TRIES {
            if self.is_reaped() {
                return;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// Runs in the guardian, in which all signals are blocked.
fn run(
    channel: &OwnedFd,
    manager_pidfd: Option<&OwnedFd>,
    manager: i32,
    kept: &[RawFd],
    work: impl FnOnce(),
) {
    close_all_but(kept);
    // It must not keep a file system busy.
    let _ = nix::unistd::chdir("/");
    title::set(&format!("guardian of process {manager}"));
    if outlives(channel, manager_pidfd) {
        work();
    }
}

/// Waits until the manager has ended. False: another guardian has replaced this one.
fn outlives(channel: &OwnedFd, manager: Option<&OwnedFd>) -> bool {
    loop {
        let both = std::iter::once(channel).chain(manager);
        let mut watched: Vec<_> = both
            .map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN))
            .collect();
        if poll(&mut watched, PollTimeout::NONE).is_err() {
            continue;
        }
        let mut word = [0];
        match nix::unistd::read(channel, &mut word) {
            Ok(1) if word[0] == DISMISSED => return false,
            Err(Errno::EAGAIN | Errno::EINTR) => {
                if watched.get(1).is_some_and(|fd| fd.any() == Some(true)) {
                    return true;
                }
            }
            Ok(_) | Err(_) => return true,
        }
    }
}
