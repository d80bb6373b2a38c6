//! A process that is not a child of this one, as the `fcgipm` command signals it and waits for it.

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;
use std::{fs, io};

use crate::sys::fd::poll;
use crate::sys::process::child::{open_pidfd, send_signal};
use crate::sys::process::inspect;

/// A process, even if its pid is reused after its end (where the kernel has pidfds, Linux 5.3).
#[derive(Debug)]
pub struct OtherProcess {
    pid: i32,
    pidfd: Option<OwnedFd>,
}

impl OtherProcess {
    /// The process with this pid. What is known of it by the pid must be checked again after this.
    #[must_use]
    pub fn open(pid: i32) -> Self {
        let pidfd = open_pidfd(pid);
        Self { pid, pidfd }
    }

    /// Its pid.
    #[must_use]
    pub const fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether it has a handler for a signal.
    #[must_use]
    pub fn catches(&self, signal: i32) -> bool {
        inspect::catches(self.pid, signal)
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// It has ended, or this process may not signal it.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        let pidfd = self.pidfd.as_ref().map(OwnedFd::as_fd);
        send_signal(self.pid, pidfd, signal).map_err(io::Error::from)
    }

    /// Waits until it has ended, for this long at most. Returns whether it has.
    #[must_use]
    pub fn ends_within(&self, limit: Duration) -> bool {
        if let Some(fd) = &self.pidfd {
            return poll::readable_within(fd.as_fd(), limit);
        }
        std::thread::sleep(limit);
        // The state follows the name, which is in parentheses (proc(5)).
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid));
        let state = stat.as_ref().ok().and_then(|stat| stat.rsplit_once(") "));
        state.is_none_or(|(_, state)| state.starts_with(['Z', 'X']))
    }
}
