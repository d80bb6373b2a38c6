//! The title of a process, as ps(1) shows it.

use std::ffi::CString;

/// Sets it: in the memory that the kernel shows as the command line, truncated to its size, and as
/// the thread's name (15 bytes).
pub(crate) fn set(title: &str) {
    if let Some((start, end)) = arguments() {
        let size = end - start;
        // The last byte stays NUL: otherwise the kernel continues into the environment.
        let length = title.len().min(size.saturating_sub(1));
        // SAFETY: the kernel reports that it stored this process's arguments at start..end, in its
        // writable stack; nothing in this library refers to them. A host that reads its argv later
        // reads the title, as after any setproctitle.
        unsafe {
            let area = std::ptr::with_exposed_provenance_mut::<u8>(start);
            std::ptr::copy_nonoverlapping(title.as_ptr(), area, length);
            std::ptr::write_bytes(area.add(length), 0, size - length);
        }
    }
    if let Ok(name) = CString::new(title) {
        // prctl truncates it to 15 bytes.
        let _ = nix::sys::prctl::set_name(&name);
    }
}

/// The start and the end of the arguments: fields 48 and 49 of /proc/self/stat (proc(5)).
fn arguments() -> Option<(usize, usize)> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses, and may contain parentheses itself.
    let fields = &stat[stat.rfind(')')? + 1..];
    let mut fields = fields.split_ascii_whitespace().skip(48 - 3);
    let start: usize = fields.next()?.parse().ok()?;
    let end: usize = fields.next()?.parse().ok()?;
    (start != 0 && end > start).then_some((start, end))
}
