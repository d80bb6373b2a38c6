//! Messages to a service manager that another process of this service sends through this one: several
//! managers are one service.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use crate::error::{Error, Result};
use crate::sys::fd::{above_standard, transfer};
use crate::sys::process::exec;

/// The maximum length of a message in bytes.
const LENGTH_MAX: usize = 4096;

/// This process's end of a socket pair.
#[derive(Debug)]
pub struct Reports(OwnedFd);

/// The other end, for the process that is about to be started. It stays open when that executes its
/// program.
#[derive(Debug)]
pub struct Reporter(OwnedFd);

impl Reports {
    /// Makes the pair.
    ///
    /// # Errors
    /// [`Code::System`](crate::error::Code::System): there is no descriptor left.
    pub fn pair() -> Result<(Self, Reporter)> {
        let failed = |errno| Error::system("socket pair for messages of a manager", errno as i32);
        let flags = SockFlag::SOCK_CLOEXEC;
        let pair = socketpair(AddressFamily::Unix, SockType::Datagram, None, flags);
        let (near, far) = pair.map_err(failed)?;
        let near = above_standard(near).map_err(failed)?;
        let far = above_standard(far).map_err(failed)?;
        exec::keep_across_exec(&far).map_err(failed)?;
        Ok((Self(near), Reporter(far)))
    }

    /// The next message that has arrived, and the descriptor that came with it.
    #[must_use]
    pub fn receive(&self) -> Option<(String, Option<OwnedFd>)> {
        let mut buffer = [0; LENGTH_MAX];
        let received = transfer::receive(self.0.as_fd(), &mut buffer);
        let (length, mut fds) = received.ok().flatten()?;
        let text = String::from_utf8_lossy(buffer.get(..length)?).into_owned();
        Some((text, fds.pop()))
    }
}

impl AsFd for Reports {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Reporter {
    /// The value of `NOTIFY_SOCKET` in the other process.
    #[must_use]
    pub fn address(&self) -> String {
        format!("fd:{}", self.0.as_raw_fd())
    }
}
