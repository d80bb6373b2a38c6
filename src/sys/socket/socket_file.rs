//! The file of a listening unix socket: which process has it, and creating it with its owner and
//! mode.
//!
//! The directory may belong to another user, who can replace the file at any moment. So owner and
//! mode are not set by the file's name: the file is opened, recognised as the one that bind(2)
//! created, and changed through the descriptor.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, UnixAddr, bind, connect, getsockopt, socket, sockopt,
};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmod, fchmodat, fstat};
use nix::unistd::{Gid, Uid};

use crate::sys::fd::above_standard;
use crate::sys::socket::listen::{listen, new_socket};

/// Identifies a file as long as it exists: device and inode number.
pub(crate) type FileId = (u64, u64);

/// Permissions and owners of a socket file.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ownership {
    pub(crate) mode: Option<u32>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
}

/// Why there is no listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MakeError {
    /// A system call failed.
    System(Errno),
    /// Another process replaced the file before it had its owner and mode.
    Replaced,
}

impl From<Errno> for MakeError {
    fn from(errno: Errno) -> Self {
        Self::System(errno)
    }
}

/// Listens on a socket file of this name, which must not exist. Returns the file's identity, too.
///
/// The file is never more accessible than requested. Linux creates it with the mode of the socket's
/// own inode & ~umask (unix(7)). If it needs an owner or a mode, that inode has no permissions when
/// bind(2) is called. This also makes the file recognisable: another user cannot replace it by a
/// socket of this process's user that has no permissions and one link. The umask belongs to the
/// host and is not changed.
pub(crate) fn listen_path(
    path: &Path,
    ownership: Ownership,
    backlog: i32,
) -> Result<(OwnedFd, FileId), MakeError> {
    let fd = new_socket(AddressFamily::Unix)?;
    let changes_owner = ownership.uid.is_some() || ownership.gid.is_some();
    let mode = match ownership.mode {
        None if changes_owner => Some(mode_under_umask()?),
        mode => mode,
    };
    if mode.is_some() {
        fchmod(&fd, Mode::empty())?;
    }
    bind(fd.as_raw_fd(), &UnixAddr::new(path)?)?;
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = match nix::fcntl::open(path, flags, Mode::empty()) {
        Ok(file) => above_standard(file)?,
        Err(Errno::ENOENT) => return Err(MakeError::Replaced),
        Err(errno) => return Err(errno.into()),
    };
    let stat = fstat(&file)?;
    let result = (|| {
        if let Some(mode) = mode {
            if !is_as_made(&stat) {
                return Err(MakeError::Replaced);
            }
            if changes_owner {
                let (uid, gid) = (
                    ownership.uid.map(Uid::from_raw),
                    ownership.gid.map(Gid::from_raw),
                );
                nix::unistd::fchownat(&file, "", uid, gid, AtFlags::AT_EMPTY_PATH)?;
            }
            set_mode(file.as_fd(), Mode::from_bits_truncate(mode))?;
        }
        Ok(listen(&fd, backlog)?)
    })();
    match result {
        Ok(()) => Ok((fd, identity(&stat))),
        Err(error) => {
            if error != MakeError::Replaced && identity_at(path) == Some(identity(&stat)) {
                let _ = fs::remove_file(path);
            }
            Err(error)
        }
    }
}

/// Whether a file can be the one that bind(2) has just created for a socket without permissions.
fn is_as_made(stat: &FileStat) -> bool {
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    kind == SFlag::S_IFSOCK
        && stat.st_mode & 0o7777 == 0
        && stat.st_uid == nix::unistd::geteuid().as_raw()
        && stat.st_nlink == 1
}

/// chmod(2) for a descriptor that was opened with O_PATH, where fchmod(2) fails.
fn set_mode(file: BorrowedFd<'_>, mode: Mode) -> nix::Result<()> {
    let link = format!("/proc/self/fd/{}", file.as_raw_fd());
    match fchmodat(AT_FDCWD, link.as_str(), mode, FchmodatFlags::FollowSymlink) {
        Err(Errno::ENOENT) => fchmodat2(file, mode),
        other => other,
    }
}

/// Used without /proc. It is not tried first: it exists since Linux 6.6, and a system call filter
/// that does not know it may kill the process.
fn fchmodat2(file: BorrowedFd<'_>, mode: Mode) -> nix::Result<()> {
    // SAFETY: an open descriptor, an empty string, and integers.
    Errno::result(unsafe {
        libc::syscall(
            libc::SYS_fchmodat2,
            file.as_raw_fd(),
            c"".as_ptr(),
            mode.bits(),
            libc::AT_EMPTY_PATH,
        )
    })
    .map(drop)
}

fn identity(stat: &FileStat) -> FileId {
    (stat.st_dev, stat.st_ino)
}

/// The file that has this name now; symbolic links are not followed.
pub(crate) fn identity_at(path: &Path) -> Option<FileId> {
    nix::sys::stat::lstat(path).ok().map(|stat| identity(&stat))
}

/// The file of an open descriptor.
pub(crate) fn identity_of(fd: BorrowedFd<'_>) -> Option<FileId> {
    fstat(fd).ok().map(|stat| identity(&stat))
}

/// The default permissions of a socket file. umask(2) can only be read by setting it, which other
/// threads would see; /proc shows it.
fn mode_under_umask() -> nix::Result<u32> {
    let status = fs::read_to_string("/proc/self/status").map_err(|_| Errno::ENOSYS)?;
    let umask = status
        .lines()
        .find_map(|line| line.strip_prefix("Umask:"))
        .map(str::trim);
    let umask = umask
        .and_then(|umask| u32::from_str_radix(umask, 8).ok())
        .ok_or(Errno::ENOSYS)?;
    Ok(0o777 & !umask)
}

/// Whether a process listens on a socket file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occupant {
    /// There is no file of this name.
    None,
    /// A socket without a listening process.
    Dead,
    /// A socket on which a process listens, and the process that created it, if known.
    Alive { maker: Option<i32> },
    /// A file that is not a socket.
    NoSocket,
}

/// Finds out whether a process listens on a socket file.
pub(crate) fn occupant(path: &Path) -> nix::Result<Occupant> {
    use std::os::unix::fs::FileTypeExt as _;
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => return Ok(Occupant::NoSocket),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Occupant::None),
        Err(error) => return Err(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))),
    }
    // Non-blocking: a server with a full queue must not block this process.
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = above_standard(socket(AddressFamily::Unix, SockType::Stream, flags, None)?)?;
    match connect(fd.as_raw_fd(), &UnixAddr::new(path)?) {
        Err(Errno::ECONNREFUSED) => Ok(Occupant::Dead),
        Err(Errno::ENOENT) => Ok(Occupant::None),
        Ok(()) => {
            let maker = getsockopt(&fd, sockopt::PeerCredentials).map(|peer| peer.pid());
            // 0: a process that this one cannot see.
            let maker = maker.ok().filter(|pid| *pid > 0);
            Ok(Occupant::Alive { maker })
        }
        // A full queue, another type of socket, or no permission: there is a process.
        Err(_) => Ok(Occupant::Alive { maker: None }),
    }
}
