//! poll(2).

use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};

use crate::sys::fd::io;

/// The duration of a wait when poll(2) fails.
const BLIND: Duration = Duration::from_millis(100);

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// Something is readable, or the time has passed.
    Done,
    /// A signal arrived.
    Interrupted,
}

/// Waits until a descriptor is readable (or has ended), for this long at most. False: it is not, a signal
/// arrived, or poll(2) failed.
pub(crate) fn readable_within(fd: BorrowedFd<'_>, limit: Duration) -> bool {
    let mut polled = [PollFd::new(fd, PollFlags::POLLIN)];
    poll(&mut polled, io::timeout(Some(limit))) == Ok(1)
}

/// Waits until one of the descriptors is readable (or has ended), a signal arrives, or the time has
/// passed; `None` waits forever. `ready` gets the position of each readable one.
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
            Waited::Done
        }
        Err(Errno::EINTR) => Waited::Interrupted,
        // No memory, or more descriptors than the process may have (EINVAL, after the limit was
        // lowered). So all of them are checked at intervals.
        Err(_) => {
            let pause = timeout.map_or(BLIND, |timeout| timeout.min(BLIND));
            let _ = poll(&mut [], io::timeout(Some(pause)));
            ready.extend(0..polled.len());
            Waited::Done
        }
    }
}
