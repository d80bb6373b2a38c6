//! Temporary folders, and ports that no other process gets.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, bind, getsockname, setsockopt, socket, sockopt,
};
use tempfile::TempDir;

use crate::process::LIMIT;

/// A temporary folder that a server running as another user can enter.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    folder
}

/// A loopback port for a server to listen on.
pub(crate) struct Port {
    pub(crate) number: u16,
    /// While it is bound, the kernel does not use the port for outgoing connections. It does not
    /// listen, so with SO_REUSEADDR the server can bind the port as well.
    _reservation: OwnedFd,
}

impl Port {
    pub(crate) fn reserve() -> Self {
        let family = AddressFamily::Inet;
        let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        setsockopt(&socket, sockopt::ReuseAddr, &true).unwrap();
        bind(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, 0)).unwrap();
        let bound: SockaddrIn = getsockname(socket.as_raw_fd()).unwrap();
        Self {
            number: bound.port(),
            _reservation: socket,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.number))
    }
}

/// Where an application listens.
pub(crate) enum Address {
    Tcp(Port),
    Unix(PathBuf),
}

impl Address {
    /// The current number of connections to the application.
    pub(crate) fn connections(&self) -> usize {
        match self {
            Self::Tcp(port) => {
                let local = format!("{:08X}:{:04X}", 0x7f00_0001_u32.to_be(), port.number);
                // sl, local_address, rem_address, st; 01 is ESTABLISHED.
                count("/proc/net/tcp", |fields| {
                    fields.get(1) == Some(&&*local) && fields.get(3) == Some(&"01")
                })
            }
            Self::Unix(path) => {
                let path = path.to_str().unwrap();
                // Num, RefCount, Protocol, Flags, Type, St, Inode, Path; 03 is SS_CONNECTED.
                count("/proc/net/unix", |fields| {
                    fields.get(7) == Some(&path) && fields.get(5) == Some(&"03")
                })
            }
        }
    }
}

fn count(table: &str, is_one: impl Fn(&[&str]) -> bool) -> usize {
    let table = fs::read_to_string(table).unwrap();
    let rows = table.lines().map(|row| row.split_whitespace().collect());
    rows.filter(|row: &Vec<&str>| is_one(row)).count()
}

/// Waits until a file that another process writes contains a text.
pub(crate) fn wait_for_text(file: &Path, text: &str) {
    let watch = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).unwrap();
    watch.add_watch(file, AddWatchFlags::IN_MODIFY).unwrap();
    let deadline = Instant::now() + LIMIT;
    loop {
        let content = fs::read_to_string(file).unwrap();
        if content.contains(text) {
            return;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let left = u16::try_from(left.as_millis()).unwrap();
        assert!(left > 0, "no '{text}' in {}:\n{content}", file.display());
        let _ = poll(&mut [PollFd::new(watch.as_fd(), PollFlags::POLLIN)], left);
        let _ = watch.read_events();
    }
}
