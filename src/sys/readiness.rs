//! poll(2).

use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};

use super::io;

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// Something is readable, or the time is over.
    Through,
    /// A signal came.
    Interrupted,
}

/// Waits until one of the descriptors is readable (or at its end), a signal comes, or the time is
/// over; `None` waits for ever. `ready` gets the position of each readable one.
pub(crate) fn wait<'fd>(
    descriptors: impl Iterator<Item = BorrowedFd<'fd>>,
    timeout: Option<Duration>,
    ready: &mut Vec<usize>,
) -> Waited {
    let mut polled: Vec<_> = descriptors
        .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
        .collect();
    ready.clear();
    match poll(&mut polled, io::timeout(timeout)) {
        Ok(_) => {
            let readable = polled
                .iter()
                .enumerate()
                .filter(|(_, fd)| fd.any().unwrap_or(true));
            ready.extend(readable.map(|(position, _)| position));
            Waited::Through
        }
        Err(Errno::EINTR) => Waited::Interrupted,
        // Of the memory or the number of descriptors; the caller's next turn tries again.
        Err(_) => Waited::Through,
    }
}
