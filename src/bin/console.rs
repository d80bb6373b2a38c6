//! Standard error: messages of the command, and the STDERR streams of applications.

use std::io::Write as _;

use fcgipm::log::{self, Level};

/// The maximum length of a line. Longer lines are split, so that a pipe accepts each with its label
/// in one write.
const MAX_LINE: usize = 3 * 1024;

/// Logs an error. The line is dropped and counted if writing it would block.
pub(crate) fn error(line: &str) {
    log::line(Level::Error, line);
}

/// Logs an event that is not an error, in the same way.
pub(crate) fn info(line: &str) {
    log::line(Level::Info, line);
}

/// Prints a line of a result.
pub(crate) fn print(line: &str) {
    // A closed standard output does not change the result.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Writes bytes of an application to standard error, and blocks until they are written: for a
/// command that makes a single request. Errors are ignored, because the response matters more.
pub(crate) fn write(bytes: &[u8]) {
    let _ = std::io::stderr().lock().write_all(bytes);
}

/// The STDERR stream of an application, split into lines. Each line is labelled with its request.
#[derive(Debug)]
pub(crate) struct ErrorLines {
    label: String,
    line: Vec<u8>,
}

impl ErrorLines {
    /// `label` precedes each line.
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
            // One write per line, so that lines of several processes do not mix.
            log::forward(&[self.label.as_bytes(), b": ", text, b"\n"].concat());
        }
        self.line.clear();
    }
}

impl Drop for ErrorLines {
    fn drop(&mut self) {
        self.flush();
    }
}
