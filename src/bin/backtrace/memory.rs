//! The memory of another process. Everything in it is hostile.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// The longest text that is read.
const TEXT_MAX: usize = 256;

/// A process's memory, as it was mapped when this was opened: it has no other if the process executes a
/// program, or if another process gets its pid.
///
/// This is /proc/PID/mem and not process_vm_readv(2), which some filters of system calls forbid.
#[derive(Debug)]
pub(super) struct Memory {
    file: File,
}

impl Memory {
    pub(super) fn open(pid: i32) -> io::Result<Self> {
        let file = File::open(format!("/proc/{pid}/mem"))?;
        Ok(Self { file })
    }

    /// Fills the buffer, or fails.
    pub(super) fn read(&self, address: u64, buffer: &mut [u8]) -> Option<()> {
        self.file.read_exact_at(buffer, address).ok()
    }

    /// What can be read from there on, at most `limit` bytes.
    pub(super) fn read_up_to(&self, address: u64, limit: usize) -> Vec<u8> {
        const PAGE: usize = 4096;
        let mut bytes = Vec::new();
        while bytes.len() < limit {
            let Some(from) = address.checked_add(bytes.len() as u64) else {
                break;
            };
            let mut part = vec![0; (limit - bytes.len()).min(64 * PAGE)];
            match self.file.read_at(&mut part, from) {
                Ok(0) | Err(_) => break,
                Ok(length) => bytes.extend_from_slice(&part[..length.min(part.len())]),
            }
        }
        bytes
    }

    pub(super) fn u64(&self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes)?;
        Some(u64::from_ne_bytes(bytes))
    }

    pub(super) fn u32(&self, address: u64) -> Option<u32> {
        let mut bytes = [0; 4];
        self.read(address, &mut bytes)?;
        Some(u32::from_ne_bytes(bytes))
    }

    /// Text up to a NUL, or its beginning.
    pub(super) fn text(&self, address: u64) -> Option<String> {
        let bytes = self.read_up_to(address, TEXT_MAX);
        let end = bytes.iter().position(|byte| *byte == 0);
        let text = &bytes[..end.unwrap_or(bytes.len())];
        (!text.is_empty()).then(|| printable(text))
    }

    /// Text of this length, or its beginning.
    pub(super) fn text_of(&self, address: u64, length: usize) -> Option<String> {
        let mut bytes = vec![0; length.min(TEXT_MAX)];
        self.read(address, &mut bytes)?;
        Some(printable(&bytes))
    }
}

/// Text without control characters and the like, on one line.
pub(super) fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\'' | '"' | '\\' => shown.push(character),
            other => shown.extend(other.escape_debug()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_made_printable() {
        assert_eq!(printable(b"main'x \"y\""), "main'x \"y\"");
        assert_eq!(printable(b"a\nb\x1b[0m\xff"), "a\\nb\\u{1b}[0m\u{fffd}");
        assert_eq!(printable("\u{202e}".as_bytes()), "\\u{202e}");
    }
}
