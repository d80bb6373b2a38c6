//! Whether a program can be executed, and if not, why. execve(2) does not say: it returns ENOENT
//! for a script that exists if its interpreter does not.
//!
//! The result is a prediction and an explanation; the kernel decides.

use std::env;
use std::ffi::{CString, OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, faccessat};

use crate::error::{Code, Error, Result};

/// How much of a file the kernel reads to recognise its type (BINPRM_BUF_SIZE).
const HEAD: usize = 256;

/// Interpreters that are scripts themselves; beyond this number the kernel returns ELOOP.
const NESTED: usize = 5;

/// Why a program cannot be executed.
struct Obstacle {
    errno: Errno,
    why: String,
}

impl Obstacle {
    fn new(errno: Errno, why: impl Into<String>) -> Self {
        Self {
            errno,
            why: why.into(),
        }
    }
}

/// Whether this process could execute a program, which is searched for as by execvp(3).
///
/// # Errors
/// [`Code::Value`], with the errno of execve(2).
pub(crate) fn check(program: &OsStr) -> Result<()> {
    look_up(program).map_err(|obstacle| refused(program, &obstacle.why, obstacle.errno))
}

/// The error of a program that could not be executed, with the cause if one is found.
pub(crate) fn explain(program: &OsStr, errno: Errno) -> Error {
    match look_up(program) {
        Err(obstacle) => refused(program, &obstacle.why, obstacle.errno),
        Ok(()) => refused(program, errno.desc(), errno),
    }
}

/// Whether trying again later may help, because the cause is not the program.
pub(crate) fn is_transient(errno: i32) -> bool {
    matches!(
        Errno::from_raw(errno),
        Errno::EAGAIN
            | Errno::ENOMEM
            | Errno::EMFILE
            | Errno::ENFILE
            | Errno::ETXTBSY
            | Errno::EIO
            | Errno::EINTR
            | Errno::UnknownErrno
    )
}

/// The files that execvp(3) would try, in order.
pub(crate) fn candidates(program: &OsStr) -> Vec<CString> {
    let path = |bytes: Vec<u8>| CString::new(bytes).ok();
    if program.as_bytes().contains(&b'/') {
        return path(program.as_bytes().to_vec()).into_iter().collect();
    }
    let folders = env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let folders = folders.as_bytes().split(|byte| *byte == b':');
    let joined = folders.filter_map(|folder| match folder {
        // The working directory. A name without a slash would be searched for again.
        [] => path([b"./", program.as_bytes()].concat()),
        folder => path([folder, b"/", program.as_bytes()].concat()),
    });
    joined.collect()
}

/// Whether a file that the kernel cannot execute is a script for sh(1). execvp(3) assumes it of
/// every file, and then sh prints a misleading message.
pub(crate) fn is_text(path: &Path) -> bool {
    head_of(path).is_some_and(|(_, head)| !head.is_empty() && !head.contains(&0))
}

fn refused(program: &OsStr, why: &str, errno: Errno) -> Error {
    let program = Path::new(program).display();
    Error::relayed(
        Code::Value,
        errno as i32,
        format!("cannot execute '{program}': {why}"),
    )
}

fn look_up(program: &OsStr) -> std::result::Result<(), Obstacle> {
    if program.is_empty() {
        return Err(Obstacle::new(Errno::ENOENT, "the program name is empty"));
    }
    let is_searched = !program.as_bytes().contains(&b'/');
    // The first one that exists is the one that was meant.
    let mut found = None;
    for candidate in candidates(program) {
        let path = Path::new(OsStr::from_bytes(candidate.as_bytes()));
        let Err(mut obstacle) = executable(path, 0) else {
            return Ok(());
        };
        let is_absent = matches!(obstacle.errno, Errno::ENOENT | Errno::ENOTDIR)
            && std::fs::symlink_metadata(path).is_err();
        if !is_searched {
            return Err(obstacle);
        }
        if !is_absent && found.is_none() {
            obstacle.why = format!("'{}': {}", path.display(), obstacle.why);
            found = Some(obstacle);
        }
    }
    Err(found.unwrap_or_else(|| {
        let path = env::var_os("PATH").unwrap_or_default();
        let why = format!(
            "there is no such program in PATH ({})",
            Path::new(&path).display()
        );
        Obstacle::new(Errno::ENOENT, why)
    }))
}

/// Whether a file can be executed; `depth`: the number of scripts that it is the interpreter of.
fn executable(path: &Path, depth: usize) -> std::result::Result<(), Obstacle> {
    if depth > NESTED {
        return Err(Obstacle::new(Errno::ELOOP, "too many nested interpreters"));
    }
    let stat = std::fs::metadata(path).map_err(|error| {
        let errno = Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO));
        if errno == Errno::ENOENT && std::fs::symlink_metadata(path).is_ok() {
            return Obstacle::new(errno, "it is a dangling symbolic link");
        }
        Obstacle::new(errno, errno.desc())
    })?;
    if stat.is_dir() {
        return Err(Obstacle::new(Errno::EACCES, "it is a directory"));
    }
    if !stat.is_file() {
        return Err(Obstacle::new(Errno::EACCES, "it is not a regular file"));
    }
    if let Err(errno) = faccessat(AT_FDCWD, path, AccessFlags::X_OK, AtFlags::AT_EACCESS) {
        return Err(Obstacle::new(errno, forbidden(path, &stat, errno)));
    }
    // An executable file need not be readable; then only the kernel can read it.
    let Some((file, head)) = head_of(path) else {
        return Ok(());
    };
    if head.is_empty() {
        return Err(Obstacle::new(Errno::ENOEXEC, "it is empty"));
    }
    if let Some(line) = head.strip_prefix(b"#!") {
        return interpreter_of_script(line, depth);
    }
    match loader(&file, &head) {
        Some(loader) if !Path::new(&loader).exists() => {
            let loader = Path::new(&loader).display();
            let why = format!("its dynamic loader '{loader}' does not exist");
            Err(Obstacle::new(Errno::ENOENT, why))
        }
        Some(_) | None => Ok(()),
    }
}

fn forbidden(path: &Path, stat: &std::fs::Metadata, errno: Errno) -> String {
    let mode = stat.mode() & 0o7777;
    if mode & 0o111 == 0 {
        return format!("it is not executable (its mode is {mode:04o})");
    }
    if statvfs(path).is_ok_and(|fs| fs.flags().contains(FsFlags::ST_NOEXEC)) {
        return "its file system is mounted with noexec".to_owned();
    }
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    format!(
        "{} (its mode is {mode:04o}, its owner {}:{}; the worker is {user}:{group})",
        errno.desc(),
        stat.uid(),
        stat.gid()
    )
}

/// The file, opened, and its first bytes; `None` if it is not readable.
fn head_of(path: &Path) -> Option<(File, Vec<u8>)> {
    // If it is a pipe by now, this does not block.
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .ok()?;
    let mut head = Vec::new();
    (&file).take(HEAD as u64).read_to_end(&mut head).ok()?;
    Some((file, head))
}

/// Checks the interpreter after `#!`, parsed as by the kernel.
fn interpreter_of_script(line: &[u8], depth: usize) -> std::result::Result<(), Obstacle> {
    let is_blank = |byte: &u8| matches!(*byte, b' ' | b'\t');
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let start = line.iter().position(|byte| !is_blank(byte));
    let name = start
        .and_then(|start| line.get(start..))
        .unwrap_or_default();
    let end = name.iter().position(|byte| is_blank(byte) || *byte == 0);
    let name = name.get(..end.unwrap_or(name.len())).unwrap_or_default();
    if name.is_empty() {
        let why = "its first line has no interpreter after '#!'";
        return Err(Obstacle::new(Errno::ENOEXEC, why));
    }
    executable(Path::new(OsStr::from_bytes(name)), depth + 1).map_err(|obstacle| {
        let shown = String::from_utf8_lossy(name).escape_debug().to_string();
        let why = match (obstacle.errno, name.ends_with(b"\r")) {
            (Errno::ENOENT, true) => format!(
                "its interpreter '{shown}' does not exist: its first line ends in a carriage return"
            ),
            (errno, _) if errno == Errno::ENOENT && obstacle.why == errno.desc() => {
                format!("its interpreter '{shown}' does not exist")
            }
            _ => format!("its interpreter '{shown}': {}", obstacle.why),
        };
        Obstacle::new(obstacle.errno, why)
    })
}

/// The dynamic loader of an ELF file (PT_INTERP). `None`: it has none, or has another byte order.
fn loader(file: &File, head: &[u8]) -> Option<OsString> {
    const PT_INTERP: u64 = 3;
    const LONGEST: usize = 4_096;
    let number = |bytes: &[u8], at: usize, size: usize| -> Option<u64> {
        let mut wide = [0; 8];
        let bytes = bytes.get(at..at.checked_add(size)?)?;
        if cfg!(target_endian = "little") {
            wide.get_mut(..size)?.copy_from_slice(bytes);
            Some(u64::from_le_bytes(wide))
        } else {
            wide.get_mut(8 - size..)?.copy_from_slice(bytes);
            Some(u64::from_be_bytes(wide))
        }
    };
    let order = if cfg!(target_endian = "little") { 1 } else { 2 };
    if !head.starts_with(b"\x7fELF") || head.get(5) != Some(&order) {
        return None;
    }
    // The offsets of the fields in the header, and in a program header (elf(5)).
    let (size, table_at, entry_at, offset_at, length_at) = match head.get(4)? {
        1 => (4, 28, 42, 4, 16),
        2 => (8, 32, 54, 8, 32),
        _ => return None,
    };
    let table = number(head, table_at, size)?;
    let entry = number(head, entry_at, 2)?;
    let count = number(head, entry_at + 2, 2)?;
    let mut bytes = vec![0; usize::try_from(entry).ok()?];
    for position in 0..count {
        let at = table.checked_add(position.checked_mul(entry)?)?;
        file.read_exact_at(&mut bytes, at).ok()?;
        if number(&bytes, 0, 4)? != PT_INTERP {
            continue;
        }
        let length = usize::try_from(number(&bytes, length_at, size)?).ok()?;
        if length > LONGEST {
            return None;
        }
        let mut name = vec![0; length];
        file.read_exact_at(&mut name, number(&bytes, offset_at, size)?)
            .ok()?;
        let end = name.iter().position(|byte| *byte == 0)?;
        name.truncate(end);
        return Some(OsString::from_vec(name));
    }
    None
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_cause_is_reported_and_not_only_the_errno() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &[u8], mode: u32| {
            fs::write(place(name), text).unwrap();
            fs::set_permissions(place(name), fs::Permissions::from_mode(mode)).unwrap();
        };
        fs::create_dir(place("folder")).unwrap();
        std::os::unix::fs::symlink("nothing", place("link")).unwrap();
        write("plain", b"#!/bin/sh\n", 0o644);
        write("empty", b"", 0o755);
        write("lost", b"#! /no/such/perl -T\n", 0o755);
        write("dos", b"#!/bin/sh\r\nexit\r\n", 0o755);
        write("bare", b"#!  \n", 0o755);
        let plain = place("plain").display().to_string();
        write("nested", format!("#!{plain}\n").as_bytes(), 0o755);
        let own = place("endless").display().to_string();
        write("endless", format!("#!{own}\n").as_bytes(), 0o755);
        for (name, errno, why) in [
            ("absent", Errno::ENOENT, "No such file or directory".to_owned()),
            ("link", Errno::ENOENT, "it is a dangling symbolic link".to_owned()),
            ("folder", Errno::EACCES, "it is a directory".to_owned()),
            ("plain/x", Errno::ENOTDIR, "Not a directory".to_owned()),
            ("plain", Errno::EACCES, "it is not executable (its mode is 0644)".to_owned()),
            ("empty", Errno::ENOEXEC, "it is empty".to_owned()),
            ("lost", Errno::ENOENT, "its interpreter '/no/such/perl' does not exist".to_owned()),
            (
                "dos",
                Errno::ENOENT,
                "its interpreter '/bin/sh\\r' does not exist: its first line ends in a carriage return"
                    .to_owned(),
            ),
            (
                "bare",
                Errno::ENOEXEC,
                "its first line has no interpreter after '#!'".to_owned(),
            ),
            (
                "nested",
                Errno::EACCES,
                format!("its interpreter '{plain}': it is not executable (its mode is 0644)"),
            ),
        ] {
            let path = place(name);
            let error = check(path.as_os_str()).unwrap_err();
            let wanted = format!("cannot execute '{}': {why}", path.display());
            assert_eq!((error.message(), error.errno()), (&*wanted, errno as i32));
        }
        let error = check(place("endless").as_os_str()).unwrap_err();
        assert_eq!(error.errno(), Errno::ELOOP as i32);
    }

    #[test]
    fn executable_files_are_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        // Text without '#!' is for sh, as with execvp(3).
        for text in ["#!/bin/sh -e", "#!\t/usr/bin/env perl\n", "exit 0\n"] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            check(path.as_os_str()).unwrap();
        }
        check(OsStr::new("sh")).unwrap();
        check(env::current_exe().unwrap().as_os_str()).unwrap();
        let error = check(OsStr::new("no-such-program")).unwrap_err();
        assert!(
            error.message().contains("there is no such program in PATH"),
            "{error}"
        );
    }

    #[test]
    fn a_missing_loader_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let own = fs::read(env::current_exe().unwrap()).unwrap();
        let file = File::open(env::current_exe().unwrap()).unwrap();
        let name = loader(&file, &own[..HEAD]).expect("a test is linked dynamically");
        let name = name.as_bytes();
        let at = own
            .windows(name.len())
            .position(|bytes| bytes == name)
            .unwrap();
        let mut changed = own;
        changed[at + 1] = b'?';
        fs::write(&path, &changed).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let error = check(path.as_os_str()).unwrap_err();
        assert!(
            error.message().contains("its dynamic loader '/?"),
            "{error}"
        );
        // A truncated or invalid ELF file is left to the kernel.
        for length in [5, 40, HEAD, at + 1] {
            fs::write(&path, &changed[..length]).unwrap();
            check(path.as_os_str()).unwrap();
        }
    }
}
