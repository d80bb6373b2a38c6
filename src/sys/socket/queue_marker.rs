//! The end of the listen queue of a unix socket, where the kernel does not provide its length: without
//! AF_NETLINK, or in another network namespace than its clients.
//!
//! A connection to the socket itself is queued behind all that wait. Whichever process accepts it finds
//! its end, and closes it. Then everything before it was accepted, too.

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Shutdown, SockFlag, SockType, UnixAddr, connect, getsockname, getsockopt,
    shutdown, socket, sockopt,
};

use crate::sys::fd::io::{self, Ends};
use crate::sys::fd::listen_fd::ListenFd;

/// The connection.
#[derive(Debug)]
pub(crate) struct QueueMarker(OwnedFd);

impl QueueMarker {
    /// Marks the end of the queue at this moment.
    ///
    /// # Errors
    /// `EAGAIN`: the queue is full. Others: this process does not reach the socket by its address.
    pub(crate) fn place(listener: ListenFd<'_>) -> nix::Result<Self> {
        let address: UnixAddr = getsockname(listener.as_raw_fd())?;
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let marker = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
        connect(marker.as_raw_fd(), &address)?;
        // Another socket may have replaced the file. Both values name the caller of listen(2).
        let found = getsockopt(&marker, sockopt::PeerCredentials)?;
        if found != getsockopt(&listener, sockopt::PeerCredentials)? {
            return Err(Errno::ECONNREFUSED);
        }
        shutdown(marker.as_raw_fd(), Shutdown::Write)?;
        Ok(Self(marker))
    }

    /// Whether everything that was queued before it has been accepted.
    pub(crate) fn has_passed(&self) -> bool {
        io::ends(self.0.as_fd()) == Ends::Closed
    }
}

#[cfg(test)]
mod tests {
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

    use super::*;

    #[test]
    fn a_marker_has_passed_when_what_was_queued_before_it_was_accepted() {
        let name = format!("fcgipm-marker-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        let _before = UnixStream::connect_addr(&address).unwrap();
        let marker = QueueMarker::place(ListenFd::new(listener.as_fd())).unwrap();
        let _after = UnixStream::connect_addr(&address).unwrap();
        let _accepted = listener.accept().unwrap();
        assert!(!marker.has_passed());
        let (accepted, _) = listener.accept().unwrap();
        assert_eq!(io::peek(accepted.as_fd(), &mut [0]), Ok(0));
        drop(accepted);
        assert!(marker.has_passed());
    }

    #[test]
    fn a_full_queue_gets_no_marker() {
        let name = format!("fcgipm-marker-full-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        let owned = listener.as_fd().try_clone_to_owned().unwrap();
        crate::sys::socket::listen::listen(&owned, 0).unwrap();
        let fd = ListenFd::new(listener.as_fd());
        let _only = UnixStream::connect_addr(&address).unwrap();
        assert_eq!(QueueMarker::place(fd).map(drop), Err(Errno::EAGAIN));
    }
}
