//! The listening sockets of this process, including those that it inherited.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, SockType, SockaddrLike as _, SockaddrStorage, getsockname, getsockopt, sockopt,
};
use nix::sys::stat::Mode;

use crate::error::{Code, Error, Result};
use crate::sys::fd::listen_fd::ListenFd;
use crate::sys::fd::{above_standard, borrow, errno};
use crate::sys::socket::{arrivals, listen};

/// A listening socket of the host: a copy of its descriptor, and its properties.
#[derive(Debug)]
pub(crate) struct Listener {
    fd: OwnedFd,
    address: SockaddrStorage,
    /// Its inode number, as in /proc and sock_diag(7).
    pub(crate) inode: u64,
}

/// All of them.
pub(crate) fn own() -> Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for number in descriptors() {
        let Some(fd) = borrow(number).filter(|fd| listen::is_listening(*fd) == Ok(true)) else {
            continue;
        };
        let (Ok(address), Ok(stat)) = (
            getsockname::<SockaddrStorage>(fd.as_raw_fd()),
            nix::sys::stat::fstat(fd),
        ) else {
            continue;
        };
        // The host may have two descriptors of it.
        if listeners
            .iter()
            .any(|known: &Listener| known.inode == stat.st_ino)
        {
            continue;
        }
        let fd = duplicate(fd).map_err(|error| {
            let code = match error {
                Errno::EMFILE | Errno::ENFILE => Code::Descriptors,
                _ => Code::System,
            };
            Error::caused(
                code,
                format_args!("listening descriptor {number}: dup"),
                errno(error),
            )
        })?;
        listeners.push(Listener {
            fd,
            address,
            inode: stat.st_ino,
        });
    }
    Ok(listeners)
}

/// The numbers of this process's listening sockets, without these copies of them.
pub(crate) fn numbers(without: &[Listener]) -> Vec<i32> {
    let is_copy = |number: &i32| without.iter().any(|one| one.fd.as_raw_fd() == *number);
    let listens =
        |number: &i32| borrow(*number).is_some_and(|fd| listen::is_listening(fd) == Ok(true));
    let numbers = descriptors().into_iter();
    numbers.filter(|n| !is_copy(n) && listens(n)).collect()
}

fn duplicate(fd: BorrowedFd<'_>) -> nix::Result<OwnedFd> {
    let copy = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(3))?;
    // SAFETY: fcntl just made this descriptor, and nothing else owns it.
    above_standard(unsafe { std::os::fd::FromRawFd::from_raw_fd(copy) })
}

/// The numbers of this process's descriptors; without /proc, the first 256.
pub(in crate::sys) fn descriptors() -> Vec<i32> {
    match fs::read_dir("/proc/self/fd") {
        Ok(entries) => {
            let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            let mut numbers: Vec<i32> = names.filter_map(|name| name.parse().ok()).collect();
            numbers.sort_unstable();
            numbers
        }
        Err(_) => (0..256).collect(),
    }
}

impl Listener {
    /// How many connections wait in its queue; `None` if the kernel does not provide it.
    pub(crate) fn waiting(&self) -> Option<usize> {
        let is_unix = self.address.family() == Some(AddressFamily::Unix);
        arrivals::waiting_at(self.listen_fd(), is_unix)
    }

    pub(crate) fn listen_fd(&self) -> ListenFd<'_> {
        ListenFd::new(self.fd.as_fd())
    }

    /// To be watched.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Whether this socket accepted a connection.
    pub(crate) fn accepted(&self, connection: BorrowedFd<'_>) -> bool {
        is_accepted_at(&self.address, connection)
    }
}

/// The addresses of this process's listening sockets.
pub(in crate::sys) fn addresses() -> Vec<SockaddrStorage> {
    let sockets = descriptors().into_iter().filter_map(borrow);
    let listening = sockets.filter(|fd| listen::is_listening(*fd) == Ok(true));
    listening
        .filter_map(|fd| getsockname(fd.as_raw_fd()).ok())
        .collect()
}

/// In a copy of a process: closes its copies of all accepted connections. Their numbers stay in use,
/// because their owners in this process close them later.
///
/// # Errors
/// A system call failed.
pub(crate) fn abandon_accepted() -> Result<()> {
    let failed = |what: &'static str| move |error| Error::system(what, errno(error));
    let addresses = addresses();
    let mut nothing = None;
    for number in descriptors() {
        let is_accepted = borrow(number).is_some_and(|fd| {
            let mut addresses = addresses.iter();
            addresses.any(|address| is_accepted_at(address, fd))
        });
        if !is_accepted {
            continue;
        }
        let nothing = match &nothing {
            Some(file) => file,
            None => nothing.insert(
                nix::fcntl::open("/dev/null", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
                    .map_err(failed("/dev/null"))?,
            ),
        };
        // SAFETY: integers only. The owner of the number has no use for the copy.
        let replaced = unsafe { libc::dup3(nothing.as_raw_fd(), number, libc::O_CLOEXEC) };
        Errno::result(replaced).map_err(failed("copy of a connection: dup3"))?;
    }
    Ok(())
}

/// Whether a connection was accepted by a socket that listens at this address: then it has this
/// local address. A client's socket has none, or a port of its own.
pub(in crate::sys) fn is_accepted_at(
    address: &SockaddrStorage,
    connection: BorrowedFd<'_>,
) -> bool {
    let is_stream = getsockopt(&connection, sockopt::SockType) == Ok(SockType::Stream);
    if !is_stream || listen::is_listening(connection) != Ok(false) {
        return false;
    }
    let Ok(local) = getsockname::<SockaddrStorage>(connection.as_raw_fd()) else {
        return false;
    };
    match (listen::Peer::of(address), listen::Peer::of(&local)) {
        (listen::Peer::Inet(ours), listen::Peer::Inet(its)) => {
            ours.port() == its.port() && (ours.ip().is_unspecified() || ours.ip() == its.ip())
        }
        (listen::Peer::Unix, listen::Peer::Unix) => {
            let path = |address: &SockaddrStorage| {
                let unix = address.as_unix_addr()?;
                let name = unix.path().map(|path| path.as_os_str().as_encoded_bytes());
                Some(name.or_else(|| unix.as_abstract())?.to_vec())
            };
            path(address).is_some() && path(address) == path(&local)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    #[test]
    fn accepted_connections_are_distinguished_from_others() {
        let folder = tempfile::tempdir().unwrap();
        let tcp = TcpListener::bind("[::]:0").unwrap();
        let unix = UnixListener::bind(folder.path().join("s")).unwrap();
        let other = UnixListener::bind(folder.path().join("t")).unwrap();
        let listeners = own().unwrap();
        let find = |inode| listeners.iter().find(|l| l.inode == inode).unwrap();
        let inode = |fd: BorrowedFd<'_>| nix::sys::stat::fstat(fd).unwrap().st_ino;
        let (tcp_found, unix_found) = (find(inode(tcp.as_fd())), find(inode(unix.as_fd())));

        let port = tcp.local_addr().unwrap().port();
        let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (served, _) = tcp.accept().unwrap();
        assert!(tcp_found.accepted(served.as_fd()));
        assert!(!tcp_found.accepted(client.as_fd()));
        assert!(!tcp_found.accepted(tcp.as_fd()));
        assert!(!unix_found.accepted(served.as_fd()));

        let client = UnixStream::connect(folder.path().join("s")).unwrap();
        let (served, _) = unix.accept().unwrap();
        assert!(unix_found.accepted(served.as_fd()));
        assert!(!unix_found.accepted(client.as_fd()));
        assert!(!find(inode(other.as_fd())).accepted(served.as_fd()));
        let pipe = nix::unistd::pipe().unwrap();
        assert!(!unix_found.accepted(pipe.0.as_fd()));
    }
}
