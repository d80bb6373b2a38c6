//! What a process has mapped, from /proc/PID/maps.

use std::fs::File;
use std::io::{self, Read as _};

/// What the kernel appends to the name of a file that has no name any more.
const DELETED: &str = " (deleted)";

/// A line of /proc/PID/maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) offset: u64,
    pub(crate) is_code: bool,
    pub(crate) inode: u64,
    /// Empty: anonymous memory.
    pub(crate) name: String,
}

impl Mapping {
    /// The path of the file, even if that was deleted.
    pub(crate) fn path(&self) -> &str {
        path_of(&self.name).0
    }
}

/// The path in the name of a file in /proc, and whether the file has no name any more.
pub(crate) fn path_of(name: &str) -> (&str, bool) {
    match name.strip_suffix(DELETED) {
        Some(path) => (path, true),
        None => (name, false),
    }
}

/// The mappings of a process.
pub(crate) fn of_process(pid: i32) -> io::Result<Vec<Mapping>> {
    /// More than the default of vm.max_map_count.
    const BYTES_MAX: u64 = 16 * 1024 * 1024;
    let mut bytes = Vec::new();
    let file = File::open(format!("/proc/{pid}/maps"))?;
    file.take(BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.lines().filter_map(parsed).collect())
}

/// A line of the file.
pub(crate) fn parsed(line: &str) -> Option<Mapping> {
    // address perms offset dev inode name; the name may have blanks.
    let mut fields = line.splitn(5, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let permissions = fields.next()?;
    let offset = fields.next()?;
    let rest = fields.nth(1)?;
    let (inode, name) = rest.split_once(' ').unwrap_or((rest, ""));
    let hex = |text| u64::from_str_radix(text, 16).ok();
    Some(Mapping {
        start: hex(start)?,
        end: hex(end)?,
        offset: hex(offset)?,
        is_code: permissions.contains('x'),
        inode: inode.parse().ok()?,
        name: name.trim_start().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_maps_is_read() {
        let line = "7f00-7f10 r-xp 00001000 fe:00 77      /lib/a b.so (deleted)";
        let read = parsed(line).unwrap();
        assert_eq!(
            (read.start, read.end, read.offset),
            (0x7f00, 0x7f10, 0x1000)
        );
        assert!(read.is_code && read.inode == 77);
        assert_eq!(read.name, "/lib/a b.so (deleted)");
        assert_eq!(parsed("7f00-7f10 rw-p 00000000 00:00 0 ").unwrap().name, "");
        assert_eq!(parsed("nonsense"), None);
    }

    #[test]
    fn the_path_of_a_deleted_file_is_known() {
        assert_eq!(path_of("/lib/a b.so"), ("/lib/a b.so", false));
        assert_eq!(path_of("/lib/a b.so (deleted)"), ("/lib/a b.so", true));
    }
}
