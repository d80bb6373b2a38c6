//! A process that outlives this one, to do what is left to do then.
//!
//! It is a copy of this process as of its start, in a process group of its own, so that signals to a group do not reach it,
//! and it holds every signal. The host does not notice its end.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, send};

use crate::error::{Error, Result};
use crate::sys::fd::pipe;
use crate::sys::process;
use crate::sys::process::child::open_pidfd;
use crate::sys::process::disposable::{close_all_but, sorted};
use crate::sys::process::hidden_child::HiddenChild;
use crate::sys::process::title;

/// The word that a newer one has taken over.
const DISMISSED: u8 = b'D';

/// How long a guardian that was dismissed is waited for, in milliseconds. It has nothing left to do.
const PATIENCE: u16 = 1000;

/// A guardian that was not reaped yet.
#[derive(Debug)]
pub(crate) struct Guardian {
    child: HiddenChild,
    /// At its end when the guardian has ended, and for the guardian when this process has.
    channel: OwnedFd,
}

impl Guardian {
    /// Starts a process that does this work when this process has ended, with no other descriptors than these. The
    /// caller has made sure that this process has one thread.
    ///
    /// # Errors
    /// There is no channel to it, or it cannot be forked.
    pub(crate) fn start(
        keep: impl IntoIterator<Item = RawFd>,
        work: impl FnOnce(),
    ) -> Result<Self> {
        let (ours, its) = pipe::pair("channel of the guardian")?;
        // The channel may be kept open by a child that somebody has forked. Without this, it alone tells.
        let manager = process::pid();
        let pidfd = open_pidfd(manager);
        let keep = keep.into_iter();
        let kept = sorted(keep.chain(pidfd.as_ref().map(|fd| fd.as_raw_fd())), &its);
        let started = HiddenChild::start(|| run(&its, pidfd.as_ref(), manager, &kept, work));
        let child = started.map_err(|errno| Error::system("fork of the guardian", errno as i32))?;
        // A group of its own, before anybody relies on it: a kill of this process's group must not reach it.
        let its = nix::unistd::Pid::from_raw(child.pid());
        let _ = nix::unistd::setpgid(its, its);
        Ok(Self {
            child,
            channel: ours,
        })
    }

    /// Another one has taken over.
    pub(crate) fn dismiss(&self) {
        // It may have been killed.
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let _ = send(self.channel.as_raw_fd(), &[DISMISSED], flags);
    }

    /// At its end when the guardian has ended.
    pub(crate) fn channel(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }

    /// Whether the guardian has nothing open any more: it has ended, or is about to. What poll(2) says of the channel
    /// may be a guess, where it cannot watch as many descriptors as there are.
    pub(crate) fn has_ended(&self) -> bool {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK;
        let looked = recv(self.channel.as_raw_fd(), &mut [0], flags);
        !matches!(looked, Err(Errno::EAGAIN | Errno::EINTR))
    }

    /// Reaps the guardian if it has ended.
    pub(crate) fn is_gone(&self) -> bool {
        self.child.is_gone()
    }

    /// Ends the guardian, and waits until it is reaped: a moment.
    pub(crate) fn end(self) {
        const LOOKS: u32 = 100;
        self.dismiss();
        let mut watched = [PollFd::new(self.channel.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut watched, PollTimeout::from(PATIENCE));
        // Between the end of its descriptors and its own.
        for _ in 0..LOOKS {
            if self.is_gone() {
                return;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// In the guardian, in which all signals are held.
fn run(
    channel: &OwnedFd,
    manager_pidfd: Option<&OwnedFd>,
    manager: i32,
    kept: &[RawFd],
    work: impl FnOnce(),
) {
    close_all_but(kept);
    // Nobody's file system is kept busy.
    let _ = nix::unistd::chdir("/");
    title::set(&format!("guardian of process {manager}"));
    if outlives(channel, manager_pidfd) {
        work();
    }
}

/// Waits until the manager has ended. False: another guardian has taken over.
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
