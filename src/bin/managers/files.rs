//! The files that a manager and its workers run, and whether those on disk are others by now.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;

use serde::Serialize;

use super::maps::{self, Mapping};

/// A program or library.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct FileReport {
    pub(crate) path: String,
    /// Another file has this name now, or none.
    pub(crate) replaced: bool,
}

/// The program of a process, and the libraries of this project that it has mapped. `None`: /proc does not
/// show them.
pub(crate) fn of_process(pid: i32) -> BTreeSet<FileReport> {
    let exe = fs::read_link(format!("/proc/{pid}/exe"));
    let exe = exe.ok().and_then(|path| {
        let inode = fs::metadata(format!("/proc/{pid}/exe")).ok()?.ino();
        Some((path.to_str()?.to_owned(), inode))
    });
    let maps = maps::of_process(pid).unwrap_or_default();
    let libraries = maps.into_iter().filter_map(ours);
    exe.into_iter()
        .chain(libraries)
        .map(|(name, inode)| compared(pid, &name, inode))
        .collect()
}

/// The name and inode number of a library of this project.
fn ours(mapping: Mapping) -> Option<(String, u64)> {
    let (_, base) = mapping.path().rsplit_once('/')?;
    let is_ours = base.starts_with("libfcgipm.so") || base.starts_with("libfcgi.so");
    is_ours.then_some((mapping.name, mapping.inode))
}

/// Compares what runs with what has its name now, below the root directory of the process.
fn compared(pid: i32, name: &str, inode: u64) -> FileReport {
    let (path, is_deleted) = maps::path_of(name);
    let now = fs::metadata(format!("/proc/{pid}/root{path}"));
    let is_same = now.is_ok_and(|now| now.ino() == inode);
    FileReport {
        path: path.escape_debug().to_string(),
        replaced: is_deleted || !is_same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_of_this_project_are_found_in_maps() {
        let mapped = |line: &str| maps::parsed(line).and_then(ours);
        let line = "7f00-7f01 r-xp 00001000 08:01 4711                       /usr/lib/x y/libfcgipm.so.0.1.0";
        assert_eq!(
            mapped(line),
            Some(("/usr/lib/x y/libfcgipm.so.0.1.0".to_owned(), 4711))
        );
        let deleted = format!("{line} (deleted)");
        assert_eq!(mapped(&deleted).unwrap().1, 4711);
        for other in [
            "7f00-7f01 r-xp 00001000 08:01 4711                       /usr/lib/libc.so.6",
            "7f00-7f01 rw-p 00000000 00:00 0 ",
            "7f00-7f01 rw-s 00000000 00:01 9                          /memfd:fcgipm-scoreboard (deleted)",
            "",
        ] {
            assert_eq!(mapped(other), None, "{other}");
        }
    }
}
