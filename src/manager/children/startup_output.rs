//! What a worker writes to standard error before it is ready: it passes through the manager, which
//! can then say why a start failed.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use crate::sys::fd::io;
use crate::sys::fd::pipe::Pipe;
use crate::sys::log::attempt::Attempt;
use crate::sys::log::stderr::{self, Room};
use crate::sys::process;

/// What is remembered of it.
const TAIL: usize = 2_048;

/// What of that a line of the log gets.
const LINES: usize = 5;
const LENGTH: usize = 600;

/// Descriptors that are left for other things.
const RESERVE: usize = 64;

/// The end of a worker's pipe that is read.
#[derive(Debug)]
pub(in crate::manager) struct Output {
    pipe: Option<OwnedFd>,
    /// What was read, and standard error has not taken yet.
    unsent: Vec<u8>,
    tail: Vec<u8>,
}

/// How passing on went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::manager) enum Passed {
    /// There is nothing more for now.
    Everything,
    /// Standard error takes nothing at present.
    Held,
    /// There is nothing more, and will not be.
    End,
}

impl Output {
    pub(in crate::manager) const fn new(pipe: OwnedFd) -> Self {
        Self {
            pipe: Some(pipe),
            unsent: Vec::new(),
            tail: Vec::new(),
        }
    }

    /// To be waited for; `None` after the end.
    pub(in crate::manager) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(|pipe| pipe.as_fd())
    }

    /// Passes on what is there. Bounded, since a writer that never stops must not hold the manager.
    pub(in crate::manager) fn pass_on(&mut self) -> Passed {
        let mut buffer = [0; 4_096];
        for _ in 0..16 {
            if stderr::room() == Room::None || !self.send() {
                return Passed::Held;
            }
            let Some(pipe) = &self.pipe else {
                return Passed::End;
            };
            match io::read(pipe.as_fd(), &mut buffer) {
                Ok(io::Received::Bytes(count)) => {
                    let bytes = &buffer[..count];
                    self.unsent.extend_from_slice(bytes);
                    self.remember(bytes);
                    if !self.send() {
                        return Passed::Held;
                    }
                }
                Ok(io::Received::Nothing) => return Passed::Everything,
                Ok(io::Received::End) | Err(_) => self.pipe = None,
            }
        }
        Passed::Everything
    }

    /// Its worker has ended: what it wrote last is remembered, also where standard error takes nothing.
    pub(in crate::manager) fn pass_on_rest(&mut self) {
        let mut buffer = [0; 4_096];
        if self.pass_on() != Passed::Held {
            return;
        }
        // A pipe holds so much.
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

    /// Whether standard error has taken everything, or takes nothing any more.
    fn send(&mut self) -> bool {
        if self.unsent.is_empty() {
            return true;
        }
        match stderr::pass_on(&self.unsent) {
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

    /// The last lines, as one.
    pub(in crate::manager) fn last_lines(&self) -> Option<String> {
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

/// Whether this pipe leaves descriptors enough for other things.
pub(in crate::manager) fn affordable(pipe: &Pipe) -> bool {
    let number = pipe.read.as_raw_fd().max(pipe.write.as_raw_fd());
    usize::try_from(number).is_ok_and(|number| number + RESERVE < process::descriptor_limit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fd::pipe;

    #[test]
    fn the_last_lines_are_told_and_no_more() {
        let pipe = pipe::pipe("test", true).unwrap();
        let mut output = Output::new(pipe.read);
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
        let told = output.last_lines().unwrap();
        assert!(told.len() <= LENGTH && told.chars().all(|c| c == '\u{fffd}'));
    }

    #[test]
    fn the_end_is_noticed() {
        let pipe = pipe::pipe("test", true).unwrap();
        let mut output = Output::new(pipe.read);
        assert_eq!(output.pass_on(), Passed::Everything);
        drop(pipe.write);
        assert_eq!(output.pass_on(), Passed::End);
        assert!(output.pipe().is_none());
    }
}
