//! The directory of a file that must be written exactly where its path says: only this process's
//! user and root can change the directories of the path. In such directories a name refers to the
//! same file from one system call to the next.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{User, getegid, geteuid};

use crate::sys::fd::above_standard;

/// The number of symbolic links that the kernel follows (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// An open directory.
#[derive(Debug)]
pub(crate) struct TrustedDirectory {
    pub(crate) fd: OwnedFd,
    /// Other users may create files here, but not replace this user's (sticky bit).
    pub(crate) is_shared: bool,
}

/// Why a directory is not trusted.
#[derive(Debug)]
pub(crate) enum Distrust {
    /// A system call failed for this directory.
    System(PathBuf, Errno),
    /// Another user owns it.
    Owner { directory: PathBuf, uid: u32 },
    /// Other users may write to it.
    Writable { directory: PathBuf, mode: u32 },
    /// The path contains an entry that another user made.
    Entry { entry: PathBuf, uid: u32 },
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(directory, errno) => {
                write!(f, "directory {}: {}", directory.display(), errno.desc())
            }
            Self::Owner { directory, uid } => write!(
                f,
                "directory {} belongs to {}, who could replace the file",
                directory.display(),
                user(*uid)
            ),
            Self::Writable { directory, mode } => write!(
                f,
                "other users may write to directory {} (mode {mode:o}) and could replace the file",
                directory.display()
            ),
            Self::Entry { entry, uid } => {
                write!(f, "{} belongs to {}", entry.display(), user(*uid))
            }
        }
    }
}

/// A user, for messages.
pub(crate) fn user(uid: u32) -> String {
    match User::from_uid(uid.into()) {
        Ok(Some(user)) => format!("user {}", user.name),
        Ok(None) | Err(_) => format!("user {uid}"),
    }
}

/// Opens the directory of an absolute path's last component.
pub(crate) fn directory_of(path: &Path) -> Result<TrustedDirectory, Distrust> {
    let failed = |at: &Path, errno| Distrust::System(at.to_owned(), errno);
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mut here = PathBuf::from("/");
    let root = nix::fcntl::open(&here, flags | OFlag::O_DIRECTORY, Mode::empty());
    let mut fd = root
        .and_then(above_standard)
        .map_err(|errno| failed(&here, errno))?;
    // In a user namespace root's files may belong to an unmapped user: the one of the root
    // directory.
    let root_uid = fstat(&fd).map_err(|errno| failed(&here, errno))?.st_uid;
    let is_trusted = |uid: u32| uid == 0 || uid == root_uid || uid == geteuid().as_raw();
    let mut ahead = names(path.parent().unwrap_or(Path::new("/")));
    let mut links = 0;
    loop {
        let stat = fstat(&fd).map_err(|errno| failed(&here, errno))?;
        let is_shared = check(&here, &stat, is_trusted)?;
        let Some(name) = ahead.pop_front() else {
            return Ok(TrustedDirectory { fd, is_shared });
        };
        let entry = here.join(&name);
        let next = openat(&fd, name.as_os_str(), flags, Mode::empty())
            .and_then(above_standard)
            .map_err(|errno| failed(&entry, errno))?;
        let stat = fstat(&next).map_err(|errno| failed(&entry, errno))?;
        if is_shared && !is_trusted(stat.st_uid) {
            let uid = stat.st_uid;
            return Err(Distrust::Entry { entry, uid });
        }
        match kind(&stat) {
            SFlag::S_IFDIR => {
                fd = next;
                here = if name == ".." {
                    here.parent().unwrap_or(Path::new("/")).to_owned()
                } else {
                    entry
                };
            }
            SFlag::S_IFLNK if links < LINKS_MAX => {
                links += 1;
                let target = readlinkat(&next, "").map_err(|errno| failed(&entry, errno))?;
                let target = Path::new(&target);
                if target.is_absolute() {
                    here = PathBuf::from("/");
                    fd = nix::fcntl::open(&here, flags, Mode::empty())
                        .and_then(above_standard)
                        .map_err(|errno| failed(&here, errno))?;
                }
                for name in names(target).into_iter().rev() {
                    ahead.push_front(name);
                }
            }
            SFlag::S_IFLNK => return Err(failed(&entry, Errno::ELOOP)),
            _ => return Err(failed(&entry, Errno::ENOTDIR)),
        }
    }
}

fn names(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// Whether other users may create files in a trusted directory. An error if it is not trusted.
fn check(
    directory: &Path,
    stat: &FileStat,
    is_trusted: impl Fn(u32) -> bool,
) -> Result<bool, Distrust> {
    let directory = || directory.to_owned();
    if !is_trusted(stat.st_uid) {
        return Err(Distrust::Owner {
            directory: directory(),
            uid: stat.st_uid,
        });
    }
    // The members of this process's group are trusted like its user.
    let mode = Mode::from_bits_truncate(stat.st_mode);
    let by_group = mode.contains(Mode::S_IWGRP) && stat.st_gid != getegid().as_raw();
    let is_shared = by_group || mode.contains(Mode::S_IWOTH);
    if is_shared && !mode.contains(Mode::S_ISVTX) {
        return Err(Distrust::Writable {
            directory: directory(),
            mode: mode.bits(),
        });
    }
    Ok(is_shared)
}

/// The type of a file.
pub(crate) fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

impl TrustedDirectory {
    /// The entry with this name, if there is one; symbolic links are not followed.
    pub(crate) fn stat(&self, name: &OsStr) -> nix::Result<Option<FileStat>> {
        match fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    /// openat(2) in it, without following a symbolic link or waiting for the other end of a FIFO.
    pub(crate) fn open(&self, name: &OsStr, flags: OFlag, mode: Mode) -> nix::Result<OwnedFd> {
        debug_assert!(!name.as_bytes().contains(&b'/'));
        let always = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        above_standard(openat(self.fd.as_fd(), name, flags | always, mode)?)
    }
}
