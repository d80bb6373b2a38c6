//! Messages between processes, and the descriptors that travel with them (unix(7), SCM_RIGHTS).

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};

/// The maximum number of descriptors in a message (SCM_MAX_FD). With a smaller buffer the kernel
/// would close the others here, and the last close of a socket may block.
const DESCRIPTORS_MAX: usize = 253;

/// Bytes for these, and for other control messages, if a hostile sender has set socket options.
const CONTROL: usize = DESCRIPTORS_MAX * size_of::<i32>() + 1024;

/// A control message with the sender's pidfd (linux/socket.h).
const SCM_PIDFD: i32 = 4;

/// What a receiver takes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sys) enum Accepted {
    /// The kernel drops the descriptors, and the message counts as truncated.
    Bytes,
    Descriptors,
}

/// A message that was received.
#[derive(Debug)]
pub(in crate::sys) struct Message {
    /// How many bytes it has in the buffer.
    pub(in crate::sys) length: usize,
    pub(in crate::sys) descriptors: Vec<OwnedFd>,
    /// It had more bytes, or more descriptors.
    pub(in crate::sys) is_truncated: bool,
}

/// Sends bytes with copies of these descriptors to an address, or to the connected socket. It never
/// blocks, and raises no signal.
pub(in crate::sys) fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    descriptors: &[RawFd],
    address: Option<&UnixAddr>,
) -> nix::Result<()> {
    let rights = [ControlMessage::ScmRights(descriptors)];
    let rights = match descriptors {
        [] => &[][..],
        _ => &rights[..],
    };
    let (socket, parts) = (socket.as_raw_fd(), [IoSlice::new(bytes)]);
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    loop {
        match sendmsg(socket, &parts, rights, flags, address) {
            Ok(_) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Whether a message was sent. False: the receiver does not keep up.
pub(in crate::sys) fn was_sent(result: nix::Result<()>) -> nix::Result<bool> {
    match result {
        Ok(()) => Ok(true),
        // ETOOMANYREFS: more descriptors in flight than the user may have open (unix(7)).
        Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::ETOOMANYREFS) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// A message, as far as the buffer takes it. `None`: there is none at present. EPIPE: there will be
/// none.
pub(in crate::sys) fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    accepted: Accepted,
) -> nix::Result<Option<Message>> {
    #[repr(C)]
    union Control {
        _aligned: libc::cmsghdr,
        bytes: [u8; CONTROL],
    }
    let mut control = MaybeUninit::<Control>::zeroed();
    let mut part = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: zeroes are a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    if accepted == Accepted::Descriptors {
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = size_of::<Control>() as _;
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the message names live locals, and the buffer, of the stated lengths.
    let count = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, flags) };
    let length = match Errno::result(count) {
        Ok(0) => return Err(Errno::EPIPE),
        Ok(length) => length as usize,
        Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut descriptors = Vec::new();
    // SAFETY: the kernel has filled the control buffer up to the length in the message, also if it
    // was truncated; the macros stay within it. Nothing else owns the descriptors in it.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while let Some(one) = header.as_ref() {
            let is_fd = matches!(one.cmsg_type, libc::SCM_RIGHTS | SCM_PIDFD);
            if one.cmsg_level == libc::SOL_SOCKET && is_fd {
                let data = libc::CMSG_DATA(header).cast::<i32>();
                let length = one.cmsg_len.saturating_sub(libc::CMSG_LEN(0) as _);
                for place in 0..length / size_of::<i32>() {
                    let fd = data.add(place).read_unaligned();
                    if fd >= 0 {
                        descriptors.push(OwnedFd::from_raw_fd(fd));
                    }
                }
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    Ok(Some(Message {
        length: length.min(buffer.len()),
        descriptors,
        is_truncated: message.msg_flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0,
    }))
}
