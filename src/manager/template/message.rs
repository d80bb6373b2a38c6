//! What a manager and its template send each other.

use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use crate::manager::children::{ChildsEnds, Newborn};
use crate::sys::fd::packets::Packets;
use crate::sys::fd::pipe::Pipe;

/// From the manager: fork a worker.
const FORK: u8 = b'F';
/// From the template: it is ready.
const READY: u8 = b'R';
/// From the template: a worker was forked.
const FORKED: u8 = b'W';
/// From the template: the fork has failed.
const FAILED: u8 = b'E';
/// From a worker: it cannot fork a template.
const REFUSED: u8 = b'X';

/// The maximum length of such a reason, in characters. It becomes a part of one line of the log.
const REASON: usize = 300;

/// In a request for a worker: descriptors that follow the region and the confirmation.
const WITH_STDERR: u8 = 1;
const WITH_EXEC_STATUS: u8 = 2;
const WITH_ORDERS: u8 = 4;
const WITH_COPIES: u8 = 8;

/// What a template reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// This process is ready to fork workers. Its program has set these options, as in
    /// [`Options::to_text`](crate::options::Options::to_text).
    Ready { pid: i32, options: String },
    /// The worker for this slot was forked.
    Forked { slot: usize, pid: i32 },
    /// It was not.
    Failed { slot: usize, errno: i32 },
    /// This worker forks no template; the reason.
    Refused(String),
}

impl Report {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (kind, slot, number, text) = match self {
            Self::Ready { pid, options } => (READY, 0, *pid, options.as_str()),
            Self::Forked { slot, pid } => (FORKED, *slot, *pid, ""),
            Self::Failed { slot, errno } => (FAILED, *slot, *errno, ""),
            Self::Refused(why) => (REFUSED, 0, 0, why.as_str()),
        };
        let slot = u32::try_from(slot).unwrap_or(u32::MAX).to_ne_bytes();
        [&[kind], &slot[..], &number.to_ne_bytes(), text.as_bytes()].concat()
    }

    /// `None`: it is not such a message.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&kind, rest) = bytes.split_first()?;
        let (slot, rest) = rest.split_first_chunk()?;
        let (number, text) = rest.split_first_chunk()?;
        let slot = usize::try_from(u32::from_ne_bytes(*slot)).ok()?;
        let number = i32::from_ne_bytes(*number);
        match kind {
            READY => Some(Self::Ready {
                pid: number,
                options: std::str::from_utf8(text).ok()?.to_owned(),
            }),
            FORKED if text.is_empty() => Some(Self::Forked { slot, pid: number }),
            FAILED if text.is_empty() => Some(Self::Failed {
                slot,
                errno: number,
            }),
            REFUSED => {
                let text = std::str::from_utf8(text).ok()?.chars().take(REASON);
                let is_line = |letter: &char| !letter.is_control();
                Some(Self::Refused(text.filter(is_line).collect()))
            }
            _ => None,
        }
    }
}

/// A request for a worker, and the descriptors that it gets.
pub(crate) fn fork_request(
    slot: usize,
    region: &OwnedFd,
    known: &OwnedFd,
    ends: &ChildsEnds<'_>,
) -> (Vec<u8>, Vec<RawFd>) {
    let mut flags = 0;
    let mut descriptors = vec![region.as_raw_fd(), known.as_raw_fd()];
    if let Some(pipe) = ends.stderr {
        flags |= WITH_STDERR;
        descriptors.extend([pipe.read.as_raw_fd(), pipe.write.as_raw_fd()]);
    }
    if let Some(pipe) = ends.exec_status {
        flags |= WITH_EXEC_STATUS;
        descriptors.push(pipe.as_raw_fd());
    }
    if let Some(orders) = ends.orders {
        flags |= WITH_ORDERS;
        descriptors.push(orders.as_raw_fd());
    }
    if let Some(copies) = ends.copies {
        flags |= WITH_COPIES;
        descriptors.push(copies.as_raw_fd());
    }
    let slot = u32::try_from(slot).unwrap_or(u32::MAX);
    let bytes = [&[FORK, flags][..], &slot.to_ne_bytes()].concat();
    (bytes, descriptors)
}

/// The same in the template: the new worker, and its region. `None`: it is not such a request.
pub(crate) fn read_fork_request(
    bytes: &[u8],
    descriptors: Vec<OwnedFd>,
) -> Option<(Newborn, OwnedFd)> {
    let ([FORK, flags], slot) = bytes.split_first_chunk()? else {
        return None;
    };
    let slot = usize::try_from(u32::from_ne_bytes(slot.try_into().ok()?)).ok()?;
    let mut descriptors = descriptors.into_iter();
    let region = descriptors.next()?;
    let known = descriptors.next()?;
    let stderr = match flags & WITH_STDERR {
        0 => None,
        _ => Some(Pipe {
            read: descriptors.next()?,
            write: descriptors.next()?,
        }),
    };
    let exec_status = match flags & WITH_EXEC_STATUS {
        0 => None,
        _ => Some(descriptors.next()?),
    };
    let orders = match flags & WITH_ORDERS {
        0 => None,
        _ => Some(Packets::from_fd(descriptors.next()?)),
    };
    let copies = match flags & WITH_COPIES {
        0 => None,
        _ => Some(descriptors.next()?),
    };
    let newborn = Newborn {
        slot,
        stderr,
        exec_status,
        known: Some(known),
        orders,
        copies,
    };
    Some((newborn, region))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read_as_they_are_written() {
        for report in [
            Report::Ready {
                pid: 7,
                options: "n_processes=2\nuser=x".to_owned(),
            },
            Report::Forked { slot: 3, pid: 8 },
            Report::Failed { slot: 4, errno: 11 },
            Report::Refused("it has 2 threads".to_owned()),
        ] {
            assert_eq!(Report::decode(&report.encode()), Some(report.clone()));
        }
        let long = Report::Refused(format!("a\n\u{85}{}", "b".repeat(4_000)));
        let line = format!("a{}", "b".repeat(REASON - 3));
        assert_eq!(Report::decode(&long.encode()), Some(Report::Refused(line)));
        assert_eq!(Report::decode(b""), None);
        assert_eq!(Report::decode(b"W12345678x"), None);
        assert_eq!(Report::decode(b"x12345678"), None);
    }
}
