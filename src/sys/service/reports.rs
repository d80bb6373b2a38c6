//! Messages to a service manager that another process of this service sends through this one: several
//! managers are one service.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::sys::socket::{SockFlag, SockType};

use crate::error::{Error, Result};
use crate::sys::fd::message::{self, Accepted};
use crate::sys::fd::pipe;
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
        let what = "messages of a manager";
        let (near, far) = pipe::pair_of(what, SockType::Datagram, SockFlag::empty())?;
        let failed = |errno| Error::system(format_args!("{what}: fcntl"), errno as i32);
        exec::keep_across_exec(&far).map_err(failed)?;
        Ok((Self(near), Reporter(far)))
    }

    /// The next message that has arrived, and the descriptor that came with it.
    #[must_use]
    pub fn receive(&self) -> Option<(String, Option<OwnedFd>)> {
        let mut buffer = [0; LENGTH_MAX];
        let received = message::receive(self.0.as_fd(), &mut buffer, Accepted::Descriptors);
        let mut message = received.ok().flatten()?;
        let text = String::from_utf8_lossy(buffer.get(..message.length)?).into_owned();
        Some((text, message.descriptors.pop()))
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
