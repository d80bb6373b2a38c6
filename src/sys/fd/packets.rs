//! Packets with descriptors between a manager and its templates: a pair of sockets that keep the
//! boundaries of messages (unix(7), SOCK_SEQPACKET).

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{SockFlag, SockType};

use crate::error::Result;
use crate::sys::fd::message::{self, Accepted};
use crate::sys::fd::poll::{self, readable_within};
use crate::sys::fd::{above_standard, pipe};

/// The maximum length of a packet, and of its descriptors.
const LENGTH: usize = 1 << 16;
const DESCRIPTORS: usize = 8;

/// One end.
#[derive(Debug)]
pub(crate) struct Packets(OwnedFd);

/// What a receiver got.
#[derive(Debug)]
pub(crate) enum Received {
    Packet(Vec<u8>, Vec<OwnedFd>),
    /// Nothing has arrived in the given time.
    Nothing,
    /// The other end is closed.
    End,
}

/// A pair of connected ends.
pub(crate) fn pair(what: &str) -> Result<(Packets, Packets)> {
    let (one, other) = pipe::pair_of(what, SockType::SeqPacket, SockFlag::empty())?;
    Ok((Packets(one), Packets(other)))
}

impl Packets {
    pub(crate) const fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }

    pub(crate) const fn fd(&self) -> &OwnedFd {
        &self.0
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Sends a packet with copies of these descriptors. It never blocks: EAGAIN, the other end does not
    /// keep up.
    pub(crate) fn send(&self, bytes: &[u8], descriptors: &[RawFd]) -> nix::Result<()> {
        message::send(self.as_fd(), bytes, descriptors, None)
    }

    /// The next packet. Waits for this long at most; `None`: without limit.
    pub(crate) fn receive(&self, limit: Option<Duration>) -> nix::Result<Received> {
        loop {
            match (self.try_receive(Accepted::Descriptors)?, limit) {
                (Some(received), _) => return Ok(received),
                (None, Some(limit)) => {
                    if limit.is_zero() || !readable_within(self.as_fd(), limit) {
                        return Ok(Received::Nothing);
                    }
                }
                (None, None) => {
                    let this = std::iter::once(self.as_fd());
                    poll::wait(this, None, &mut Vec::new());
                }
            }
        }
    }

    /// A packet that has arrived, without descriptors: the kernel drops those that came with it.
    pub(crate) fn receive_bytes(&self) -> nix::Result<Received> {
        let received = self.try_receive(Accepted::Bytes)?;
        Ok(received.unwrap_or(Received::Nothing))
    }

    /// `None`: nothing has arrived.
    fn try_receive(&self, accepted: Accepted) -> nix::Result<Option<Received>> {
        let mut bytes = vec![0; LENGTH];
        let message = match message::receive(self.as_fd(), &mut bytes, accepted) {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(None),
            Err(Errno::EPIPE) => return Ok(Some(Received::End)),
            Err(errno) => return Err(errno),
        };
        // Also if there was no free descriptor for those that came with it.
        if message.is_truncated || message.descriptors.len() > DESCRIPTORS {
            return Err(Errno::EMSGSIZE);
        }
        let descriptors = message.descriptors.into_iter().map(above_standard);
        let descriptors = descriptors.collect::<nix::Result<Vec<_>>>()?;
        bytes.truncate(message.length);
        Ok(Some(Received::Packet(bytes, descriptors)))
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn packets_keep_their_boundaries_and_bring_descriptors() {
        let (one, other) = pair("test").unwrap();
        let pipe = pipe::pipe("test", true).unwrap();
        let at_once = Some(Duration::ZERO);
        assert!(matches!(other.receive(at_once), Ok(Received::Nothing)));
        one.send(b"first", &[pipe.write.as_raw_fd()]).unwrap();
        one.send(b"second", &[]).unwrap();
        let Ok(Received::Packet(bytes, fds)) = other.receive(None) else {
            panic!("nothing received");
        };
        assert_eq!((&bytes[..], fds.len()), (&b"first"[..], 1));
        pipe::notify(&fds[0]);
        assert!(pipe::await_byte(&pipe.read));
        let Ok(Received::Packet(bytes, fds)) = other.receive(None) else {
            panic!("nothing received");
        };
        assert_eq!((&bytes[..], fds.len()), (&b"second"[..], 0));
        drop(one);
        assert!(matches!(other.receive(None), Ok(Received::End)));
    }

    #[test]
    fn a_packet_with_too_many_descriptors_is_refused() {
        let (one, other) = pair("test").unwrap();
        let number = one.fd().as_raw_fd();
        one.send(b"x", &[number; DESCRIPTORS + 1]).unwrap();
        assert_eq!(other.receive(None).unwrap_err(), Errno::EMSGSIZE);
        one.send(b"y", &[number]).unwrap();
        assert_eq!(other.receive_bytes().unwrap_err(), Errno::EMSGSIZE);
    }
}
