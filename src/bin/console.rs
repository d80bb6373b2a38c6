//! Standard error: the command's own lines, and those of an application.

use std::io::Write as _;

use fcgipm::log::{self, Level};

/// A line is passed on in pieces of this size when its end does not come: a pipe takes as much at once,
/// with the label in front.
const MAX_LINE: usize = 3 * 1024;

/// Writes a line to standard error: what went wrong. It is dropped, and counted, where that would have
/// to wait.
pub(crate) fn error(line: &str) {
    log::line(Level::Error, line);
}

/// Writes an application's bytes to standard error, and waits for its reader: for a command that makes one
/// request, which nobody else waits for. Where it is closed, the response is what matters.
pub(crate) fn write(bytes: &[u8]) {
    let _ = std::io::stderr().lock().write_all(bytes);
}

/// An application's STDERR stream, cut into lines that each say which request they belong to.
#[derive(Debug)]
pub(crate) struct ErrorLines {
    label: String,
    line: Vec<u8>,
}

impl ErrorLines {
    /// `label` goes in front of each line.
    pub(crate) const fn new(label: String) -> Self {
        Self {
            label,
            line: Vec::new(),
        }
    }

    /// The next bytes of the stream.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            for part in piece.chunks(MAX_LINE) {
                if self.line.len() + part.len() > MAX_LINE + 1 {
                    self.flush();
                }
                self.line.extend_from_slice(part);
            }
            if piece.ends_with(b"\n") {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        let text = self.line.strip_suffix(b"\n").unwrap_or(&self.line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if !text.is_empty() {
            // One write per line, so that lines of several processes on one terminal do not mix.
            log::pass_on(&[self.label.as_bytes(), b": ", text, b"\n"].concat());
        }
        self.line.clear();
    }
}

impl Drop for ErrorLines {
    fn drop(&mut self) {
        self.flush();
    }
}
