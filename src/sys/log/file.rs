//! The log file of a manager: opened where no other user can redirect it, and opened again when
//! logrotate(8) has renamed it.
//!
//! The manager opens it itself, so the open must not wait for another user. Only a regular file is
//! opened, by a path whose directories no other user can change. A worker has no copy: it could write
//! lines in the manager's name.

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, SFlag};
use parking_lot::Mutex;

use crate::error::{Code, Error, Result};
use crate::sys::file::trusted_path::{self, Distrust};
use crate::sys::log::attempt::{Attempt, attempt};
use crate::sys::process::pid;

/// An open file, and the process that has opened it.
struct Open {
    path: PathBuf,
    fd: OwnedFd,
    owner: i32,
}

static OPEN: Mutex<Option<Open>> = Mutex::new(None);

/// From here on the lines of this process go into this file.
///
/// # Errors
/// It cannot be opened, is not a regular file, or another user could replace it.
pub(crate) fn begin(path: &Path) -> Result<()> {
    let path = absolute(path)?;
    let fd = open(&path)?;
    let owner = pid();
    *OPEN.lock() = Some(Open { path, fd, owner });
    Ok(())
}

/// Opens the file again, if there is one: it may have been renamed.
///
/// # Errors
/// As of [`begin`]. The lines continue to go into the file that was open.
pub(crate) fn reopen() -> Result<()> {
    // The lock is held by no other thread for longer than a write.
    let mut open_file = OPEN.lock();
    if let Some(file) = open_file.as_mut().filter(|file| file.owner == pid()) {
        file.fd = open(&file.path)?;
    }
    Ok(())
}

/// In a new worker: closes its copy.
pub(crate) fn leave() {
    // No thread of this process exists that could hold the lock.
    if let Some(mut file) = OPEN.try_lock() {
        *file = None;
    }
}

/// Whether this process logs into a file.
pub(crate) fn is_open() -> bool {
    let file = OPEN.try_lock();
    file.is_some_and(|file| file.as_ref().is_some_and(|file| file.owner == pid()))
}

/// Appends bytes. `None`: this process logs elsewhere.
pub(crate) fn append(bytes: &[u8]) -> Option<Attempt> {
    let file = OPEN.try_lock()?;
    let file = file.as_ref().filter(|file| file.owner == pid())?;
    Some(attempt(file.fd.as_fd(), bytes))
}

/// The path from the root: the host may change its directory while it runs.
///
/// # Errors
/// There is no current directory.
pub(in crate::sys) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| {
        let errno = error.raw_os_error().unwrap_or(0);
        Error::caused(Code::System, shown(path), errno)
    })
}

fn shown(path: &Path) -> String {
    format!("log file {}", path.display())
}

/// Opens a file to append to it.
///
/// # Errors
/// It cannot be opened, is not a regular file, or another user could replace it.
pub(in crate::sys) fn open(path: &Path) -> Result<OwnedFd> {
    let failed = |errno: Errno| Error::caused(Code::System, shown(path), errno as i32);
    let refused = |why: &str| Error::new(Code::Value, format!("{} {why}", shown(path)));
    let name = path
        .file_name()
        .ok_or_else(|| refused("is not the path of a file"))?;
    let directory = trusted_path::directory_of(path).map_err(|distrust| match distrust {
        Distrust::System(_, errno) => failed(errno),
        Distrust::Owner { .. } | Distrust::Writable { .. } | Distrust::Entry { .. } => {
            let advice = "use a directory that only the manager's user and root can write to";
            refused(&format!("is refused: {distrust}; {advice}"))
        }
    })?;
    if directory.is_shared {
        return Err(refused(
            "is refused: other users may write to its directory",
        ));
    }
    // The directory is this user's or root's, and so is what is in it; to open a device or a FIFO
    // would still have an effect.
    let found = directory.stat(name).map_err(failed)?;
    if found.is_some_and(|stat| trusted_path::kind(&stat) != SFlag::S_IFREG) {
        return Err(refused("is not a regular file"));
    }
    let flags = OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_NONBLOCK;
    let mode = Mode::from_bits_truncate(0o640);
    let fd = directory.open(name, flags, mode).map_err(failed)?;
    let file = File::from(fd);
    match file.metadata() {
        Ok(opened) if opened.is_file() => Ok(file.into()),
        Ok(_) | Err(_) => Err(refused("is not a regular file")),
    }
}
