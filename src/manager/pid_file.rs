//! The pid file: the manager's pid, and a lock that shows that the manager runs.
//!
//! The manager locks the file for its whole life. So the file of a killed manager is known to be
//! stale, even if its pid is in use again. It is written in place, because its directory (such as
//! /run) need not be writable for a user who may write the file.
//!
//! A path that another user could redirect is refused: root would write wherever that user likes.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, Mode, SFlag};

use crate::error::{Code, Error, Result};
use crate::sys;
use crate::sys::file::lock::{Lock, process_exists, try_exclusive};
use crate::sys::file::trusted_path::{self, Distrust, TrustedDirectory};

/// A pid has at most 10 digits; a longer file is not a pid file.
const LENGTH_MAX: usize = 32;

/// How often other processes may replace the file before an attempt to write it fails.
const ATTEMPTS: usize = 100;

/// A pid file that names this process.
#[derive(Debug)]
pub(super) struct PidFile {
    path: PathBuf,
    file: File,
    owner: i32,
}

enum Content {
    Empty,
    Pid(i32),
    Other,
}

impl PidFile {
    /// Writes the file, unless a running manager has it.
    pub(super) fn acquire(path: &Path) -> Result<Self> {
        // The host may change its directory while it runs.
        let path = std::path::absolute(path).map_err(|e| failed(path, "", &e))?;
        for _ in 0..ATTEMPTS {
            if let Some(acquired) = Self::try_acquire(&path)? {
                return Ok(acquired);
            }
        }
        Err(Error::new(
            Code::PidFile,
            format!("pid file {}: others keep replacing it", path.display()),
        ))
    }

    /// `None` when the file that was opened is no longer the one at the path.
    fn try_acquire(path: &Path) -> Result<Option<Self>> {
        let name = path
            .file_name()
            .ok_or_else(|| refused(path, "is not the path of a file"))?;
        let directory = trusted_path::directory_of(path).map_err(|distrust| match distrust {
            Distrust::System(_, errno) => failed(path, "open: ", &errno.into()),
            Distrust::Owner { .. } | Distrust::Writable { .. } | Distrust::Entry { .. } => {
                let advice = "use a directory that only the manager's user and root can write to";
                refused(path, &format!("{distrust}; {advice}"))
            }
        })?;
        let Some(file) = open(path, name, &directory)? else {
            return Ok(None);
        };
        let opened = file.metadata().map_err(|e| failed(path, "stat: ", &e))?;
        let lock = try_exclusive(&file);
        if !is_at(path, &opened) {
            return Ok(None);
        }
        let owner = sys::process::pid();
        match read(&file).map_err(|e| failed(path, "read: ", &e))? {
            Content::Empty if lock == Lock::Refused => {
                return Err(running(path, "another process is about to write it"));
            }
            Content::Pid(pid) if lock == Lock::Refused && process_exists(pid) => {
                return Err(running(path, &format!("a manager is running (pid {pid})")));
            }
            // A manager that takes no lock, such as FCGI::ProcManager, may have written it. The pid
            // alone proves nothing: after a reboot any process may have it.
            Content::Pid(pid) if pid != owner && runs_our_program(pid) => {
                return Err(running(path, &format!("a manager is running (pid {pid})")));
            }
            // If the manager has exited and the lock is held, a child that the host forked holds it.
            Content::Empty | Content::Pid(_) => {}
            Content::Other => {
                return Err(refused(
                    path,
                    "contains something other than a pid, and is left unchanged",
                ));
            }
        }
        let line = format!("{owner}\n");
        file.write_all_at(line.as_bytes(), 0)
            .and_then(|()| file.set_len(line.len() as u64))
            .map_err(|e| {
                // A full disk: remove the file. In a directory that this process may not write to, the
                // file stays, and is empty.
                let _ = file.set_len(0);
                let _ = std::fs::remove_file(path);
                failed(path, "write: ", &e)
            })?;
        Ok(Some(Self {
            path: path.to_owned(),
            file,
            owner,
        }))
    }
}

impl Drop for PidFile {
    /// Removes the file if it is still ours; in a forked child it only closes the descriptor.
    fn drop(&mut self) {
        if self.owner != sys::process::pid() {
            return;
        }
        let ours = self
            .file
            .metadata()
            .is_ok_and(|opened| is_at(&self.path, &opened))
            && matches!(read(&self.file), Ok(Content::Pid(pid)) if pid == self.owner);
        if ours && std::fs::remove_file(&self.path).is_err() {
            // This process may not write to the directory: at least the file names no old pid.
            let _ = self.file.set_len(0);
        }
    }
}

/// Opens or creates the file. An existing one is checked before it is opened for writing, because to
/// open a device may have an effect. `None`: another process replaced it meanwhile.
fn open(path: &Path, name: &OsStr, directory: &TrustedDirectory) -> Result<Option<File>> {
    let found = directory
        .stat(name)
        .map_err(|errno| failed(path, "stat: ", &errno.into()))?;
    let (flags, mode) = match &found {
        Some(stat) => {
            check(path, stat, directory)?;
            (OFlag::O_RDWR, Mode::empty())
        }
        None => (
            OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL,
            Mode::from_bits_truncate(0o644),
        ),
    };
    let file: File = match directory.open(name, flags, mode) {
        Ok(file) => file.into(),
        Err(Errno::EEXIST | Errno::ENOENT | Errno::ELOOP) => return Ok(None),
        Err(errno) => return Err(failed(path, "open: ", &errno.into())),
    };
    let opened = file.metadata().map_err(|e| failed(path, "stat: ", &e))?;
    let is_the_one =
        found.is_none_or(|found| (found.st_dev, found.st_ino) == (opened.dev(), opened.ino()));
    Ok(is_the_one.then_some(file))
}

/// Whether an existing file may be written.
fn check(path: &Path, stat: &FileStat, directory: &TrustedDirectory) -> Result<()> {
    match trusted_path::kind(stat) {
        SFlag::S_IFREG => {}
        SFlag::S_IFLNK => return Err(refused(path, "is a symbolic link")),
        _ => return Err(refused(path, "is not a regular file")),
    }
    if directory.is_shared {
        let uid = stat.st_uid;
        if uid != nix::unistd::geteuid().as_raw() {
            let owner = trusted_path::user(uid);
            return Err(refused(
                path,
                &format!("belongs to {owner}, in a directory that other users may write to"),
            ));
        }
        if stat.st_nlink != 1 {
            return Err(refused(
                path,
                "is a hard link to another file, in a directory that other users may write to",
            ));
        }
    }
    Ok(())
}

fn read(file: &File) -> io::Result<Content> {
    let mut bytes = Vec::with_capacity(LENGTH_MAX);
    let mut start = file.try_clone()?;
    io::Seek::rewind(&mut start)?;
    start.take(LENGTH_MAX as u64).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim();
    Ok(match text.parse() {
        _ if text.is_empty() => Content::Empty,
        Ok(pid) if pid > 0 && bytes.len() < LENGTH_MAX => Content::Pid(pid),
        Ok(_) | Err(_) => Content::Other,
    })
}

fn is_at(path: &Path, opened: &Metadata) -> bool {
    std::fs::symlink_metadata(path)
        .is_ok_and(|there| there.dev() == opened.dev() && there.ino() == opened.ino())
}

/// Whether a process runs the same program as this one, with the same arguments: of the many programs
/// of an interpreter, the same one. A process that may not be inspected does not: it is another user's.
fn runs_our_program(pid: i32) -> bool {
    let program = |process: &str| {
        let path = std::fs::read_link(format!("/proc/{process}/exe")).ok()?;
        let path = path.into_os_string().into_string().ok()?;
        let arguments = std::fs::read(format!("/proc/{process}/cmdline")).ok()?;
        // The link reads like this after an update of the program.
        Some((path.trim_end_matches(" (deleted)").to_owned(), arguments))
    };
    match (program("self"), program(&pid.to_string())) {
        (Some(ours), Some(theirs)) => ours == theirs,
        // Without /proc, only its existence can be checked.
        (None, _) => process_exists(pid),
        (Some(_), None) => false,
    }
}

fn running(path: &Path, who: &str) -> Error {
    Error::new(Code::Running, format!("pid file {}: {who}", path.display()))
}

fn refused(path: &Path, why: &str) -> Error {
    Error::new(Code::PidFile, format!("pid file {}: {why}", path.display()))
}

fn failed(path: &Path, call: &str, error: &io::Error) -> Error {
    let what = format!("pid file {}: {call}", path.display());
    Error::caused(
        Code::PidFile,
        what.trim_end_matches([':', ' ']),
        error.raw_os_error().unwrap_or(libc::EIO),
    )
}
