//! poll(2).

use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Waits until one of the descriptors is readable (or at its end), a signal comes, or the time is
/// over; `None` waits for ever. `ready` gets the position of each readable one.
pub(crate) fn wait<'fd>(
    descriptors: impl Iterator<Item = BorrowedFd<'fd>>,
    timeout: Option<Duration>,
    ready: &mut Vec<usize>,
) {
    let mut polled: Vec<_> = descriptors
        .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
        .collect();
    // Rounded up: a timeout that is over a little early would be asked for again and again.
    let timeout = timeout.map_or(PollTimeout::NONE, |timeout| {
        let milliseconds = timeout.as_nanos().div_ceil(1_000_000);
        i32::try_from(milliseconds)
            .ok()
            .and_then(|ms| PollTimeout::try_from(ms).ok())
            .unwrap_or(PollTimeout::MAX)
    });
    ready.clear();
    if poll(&mut polled, timeout).is_ok() {
        ready.extend(
            polled
                .iter()
                .enumerate()
                .filter(|(_, fd)| fd.any().unwrap_or(true))
                .map(|(position, _)| position),
        );
    }
}
