//! What a worker writes to standard error before it is ready. It passes through the manager, which can
//! then report why a start failed.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::sys::fd::io;
use crate::sys::fd::pipe::Pipe;
use crate::sys::log::attempt::Attempt;
use crate::sys::log::stderr::{self, Capacity};
use crate::sys::process;

/// How many bytes of the end are kept.
const TAIL: usize = 2_048;

/// How much of that a line of the log gets.
const LINES: usize = 5;
const LENGTH: usize = 600;

/// How long output is left alone when standard error does not accept more.
const BLOCKED_PAUSE: Duration = Duration::from_millis(100);

/// Descriptors that are left for other purposes.
const RESERVE: usize = 64;

/// The read end of the pipe that is a worker's standard error.
#[derive(Debug)]
pub(crate) struct StartupOutput {
    pipe: Option<OwnedFd>,
    /// What was read, and not written to standard error yet.
    unsent: Vec<u8>,
    tail: Vec<u8>,
}

/// The result of forwarding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forwarded {
    /// There is no more at present.
    Everything,
    /// Standard error accepts nothing at present.
    Blocked,
    /// All writers have closed the pipe.
    End,
}

/// A pause while standard error accepts nothing: pipes that nobody empties stay readable.
#[derive(Debug, Default)]
pub(crate) struct OutputPause {
    until: Duration,
}

impl OutputPause {
    /// When pipes are to be watched again.
    pub(crate) const fn end(&self) -> Duration {
        self.until
    }

    /// Notes the result of forwarding.
    pub(crate) fn note(&mut self, forwarded: Forwarded, now: Duration) {
        match forwarded {
            Forwarded::Blocked => self.until = now + BLOCKED_PAUSE,
            Forwarded::Everything | Forwarded::End => {}
        }
    }
}

impl StartupOutput {
    pub(crate) const fn new(pipe: OwnedFd) -> Self {
        Self {
            pipe: Some(pipe),
            unsent: Vec::new(),
            tail: Vec::new(),
        }
    }

    /// The pipe to wait for; `None` after its end.
    pub(crate) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(|pipe| pipe.as_fd())
    }

    /// Forwards what is available. The amount is limited: a writer that never stops must not hold up
    /// the manager.
    pub(crate) fn forward(&mut self) -> Forwarded {
        let mut buffer = [0; 4_096];
        for _ in 0..16 {
            if stderr::capacity() == Capacity::None || !self.send() {
                return Forwarded::Blocked;
            }
            let Some(pipe) = &self.pipe else {
                return Forwarded::End;
            };
            match io::read(pipe.as_fd(), &mut buffer) {
                Ok(io::Received::Bytes(count)) => {
                    let bytes = &buffer[..count];
                    self.unsent.extend_from_slice(bytes);
                    self.remember(bytes);
                    if !self.send() {
                        return Forwarded::Blocked;
                    }
                }
                Ok(io::Received::Nothing) => return Forwarded::Everything,
                Ok(io::Received::End) | Err(_) => self.pipe = None,
            }
        }
        Forwarded::Everything
    }

    /// Its worker has exited: keeps the end of its output even if standard error accepts nothing.
    pub(crate) fn forward_rest(&mut self) {
        let mut buffer = [0; 4_096];
        if self.forward() != Forwarded::Blocked {
            return;
        }
        // The size of a pipe.
        for _ in 0..16 {
            match self
                .pipe
                .as_ref()
                .map(|pipe| io::read(pipe.as_fd(), &mut buffer))
            {
                Some(Ok(io::Received::Bytes(count))) => {
                    self.unsent.extend_from_slice(&buffer[..count]);
                    self.remember(&buffer[..count]);
                }
                Some(Ok(io::Received::Nothing | io::Received::End) | Err(_)) | None => break,
            }
        }
        self.send();
    }

    /// Whether nothing is left to send. If standard error is closed, the output is dropped.
    fn send(&mut self) -> bool {
        if self.unsent.is_empty() {
            return true;
        }
        match stderr::forward(&self.unsent) {
            Attempt::Wrote(count) => drop(self.unsent.drain(..count)),
            Attempt::Full => {}
            Attempt::Failed => self.unsent.clear(),
        }
        self.unsent.is_empty()
    }

    fn remember(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        let excess = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..excess);
    }

    /// The last lines, as the end of a line of the log.
    pub(crate) fn tail(&self) -> Option<String> {
        let lines = self.last_lines()?;
        Some(format!("its last lines on standard error: {lines}"))
    }

    /// The last lines, joined to one.
    fn last_lines(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.tail);
        let lines: Vec<_> = text
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .collect();
        let last = lines[lines.len().saturating_sub(LINES)..].join(" | ");
        let start = last.len().saturating_sub(LENGTH);
        let start = (start..last.len()).find(|at| last.is_char_boundary(*at))?;
        Some(last[start..].to_owned())
    }
}

/// Whether this pipe leaves enough descriptors for other purposes.
pub(crate) fn is_affordable(pipe: &Pipe) -> bool {
    let number = pipe.read.as_raw_fd().max(pipe.write.as_raw_fd());
    usize::try_from(number).is_ok_and(|number| number + RESERVE < process::descriptor_limit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fd::pipe;

    #[test]
    fn only_the_last_lines_are_reported() {
        let pipe = pipe::pipe("test", true).unwrap();
        let mut output = StartupOutput::new(pipe.read);
        assert_eq!(output.last_lines(), None);
        for line in [
            "one\n",
            "\n",
            "two\n",
            "three  \n",
            "four\n",
            "five\n",
            "six",
        ] {
            output.remember(line.as_bytes());
        }
        assert_eq!(
            output.last_lines().unwrap(),
            "two | three | four | five | six"
        );
        output.remember(&[0xc3; 10_000]);
        assert!(output.tail.len() <= TAIL);
        let reported = output.last_lines().unwrap();
        assert!(reported.len() <= LENGTH && reported.chars().all(|c| c == '\u{fffd}'));
    }

    #[test]
    fn the_end_of_the_pipe_is_noticed() {
        let pipe = pipe::pipe("test", true).unwrap();
        let mut output = StartupOutput::new(pipe.read);
        assert_eq!(output.forward(), Forwarded::Everything);
        drop(pipe.write);
        assert_eq!(output.forward(), Forwarded::End);
        assert!(output.pipe().is_none());
    }
}
