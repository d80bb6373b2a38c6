//! Packets with descriptors between a manager and its templates: a pair of sockets that keep the
//! boundaries of messages (unix(7), SOCK_SEQPACKET).

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::time::Duration;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};

use crate::error::{Error, Result};
use crate::sys::fd::above_standard;
use crate::sys::fd::poll::{self, readable_within};

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
    let flags = SockFlag::SOCK_CLOEXEC;
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
        .and_then(|(one, other)| Ok((above_standard(one)?, above_standard(other)?)))
        .map(|(one, other)| (Packets(one), Packets(other)))
        .map_err(|errno| Error::system(format_args!("{what}: socketpair"), errno as i32))
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
        let rights = [ControlMessage::ScmRights(descriptors)];
        let rights = if descriptors.is_empty() {
            &rights[..0]
        } else {
            &rights
        };
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        loop {
            match sendmsg::<()>(
                self.0.as_raw_fd(),
                &[IoSlice::new(bytes)],
                rights,
                flags,
                None,
            ) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }

    /// The next packet. Waits for this long at most; `None`: without limit.
    pub(crate) fn receive(&self, limit: Option<Duration>) -> nix::Result<Received> {
        loop {
            let received = self.try_receive(Accepted::Descriptors);
            match (received, limit) {
                (Err(Errno::EAGAIN), Some(Duration::ZERO)) => return Ok(Received::Nothing),
                (Err(Errno::EAGAIN), Some(limit)) => {
                    if !readable_within(self.as_fd(), limit) {
                        return Ok(Received::Nothing);
                    }
                }
                (Err(Errno::EAGAIN), None) => {
                    let this = std::iter::once(self.as_fd());
                    poll::wait(this, None, &mut Vec::new());
                }
                (other, _) => return other,
            }
        }
    }

    /// A packet that has arrived, without descriptors: the kernel drops those that came with it.
    pub(crate) fn receive_bytes(&self) -> nix::Result<Received> {
        match self.try_receive(Accepted::Bytes) {
            Err(Errno::EAGAIN) => Ok(Received::Nothing),
            other => other,
        }
    }

    fn try_receive(&self, accepted: Accepted) -> nix::Result<Received> {
        let mut bytes = vec![0; LENGTH];
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let mut space = match accepted {
            Accepted::Bytes => None,
            Accepted::Descriptors => Some(cmsg_space!([RawFd; DESCRIPTORS])),
        };
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let message = loop {
            match recvmsg::<()>(self.0.as_raw_fd(), &mut parts, space.as_deref_mut(), flags) {
                Err(Errno::EINTR) => {}
                other => break other?,
            }
        };
        let count = message.bytes;
        // A packet that is too long, or without a free descriptor for those that came with it.
        if message
            .flags
            .intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC)
        {
            return Err(Errno::EMSGSIZE);
        }
        let mut descriptors = Vec::new();
        if accepted == Accepted::Descriptors {
            for one in message.cmsgs()? {
                if let ControlMessageOwned::ScmRights(numbers) = one {
                    // SAFETY: the kernel has just made these descriptors, and nothing else owns them.
                    let owned = |fd| unsafe { OwnedFd::from_raw_fd(fd) };
                    descriptors.extend(numbers.into_iter().map(owned));
                }
            }
        }
        if count == 0 {
            return Ok(Received::End);
        }
        let descriptors = descriptors.into_iter().map(above_standard);
        let descriptors = descriptors.collect::<nix::Result<Vec<_>>>()?;
        bytes.truncate(count);
        Ok(Received::Packet(bytes, descriptors))
    }
}

/// What a receiver takes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Accepted {
    Bytes,
    Descriptors,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_keep_their_boundaries_and_bring_descriptors() {
        let (one, other) = pair("test").unwrap();
        let pipe = crate::sys::fd::pipe::pipe("test", true).unwrap();
        let at_once = Some(Duration::ZERO);
        assert!(matches!(other.receive(at_once), Ok(Received::Nothing)));
        one.send(b"first", &[pipe.write.as_raw_fd()]).unwrap();
        one.send(b"second", &[]).unwrap();
        let Ok(Received::Packet(bytes, fds)) = other.receive(None) else {
            panic!("nothing received");
        };
        assert_eq!((&bytes[..], fds.len()), (&b"first"[..], 1));
        crate::sys::fd::pipe::notify(&fds[0]);
        assert!(crate::sys::fd::pipe::await_byte(&pipe.read));
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
