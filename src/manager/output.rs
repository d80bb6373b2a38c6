//! What a worker writes to standard error before it is ready: it passes through the manager, which
//! can then say why a start failed.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use crate::sys::channel::Pipe;
use crate::sys::stderr::{self, Room};
use crate::sys::{io, process};

/// What is remembered of it.
const TAIL: usize = 2_048;

/// What of that a line of the log gets.
const LINES: usize = 5;
const LENGTH: usize = 600;

/// Descriptors that are left for other things.
const RESERVE: usize = 64;

/// The end of a worker's pipe that is read.
#[derive(Debug)]
pub(super) struct Output {
    pipe: Option<OwnedFd>,
    tail: Vec<u8>,
}

/// How passing on went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passed {
    /// There is nothing more for now.
    Everything,
    /// Standard error takes nothing at present.
    Held,
    /// There is nothing more, and will not be.
    End,
}

impl Output {
    pub(super) const fn new(pipe: OwnedFd) -> Self {
        Self {
            pipe: Some(pipe),
            tail: Vec::new(),
        }
    }

    /// To be waited for; `None` after the end.
    pub(super) fn pipe(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(|pipe| pipe.as_fd())
    }

    /// Passes on what is there. Bounded, since a writer that never stops must not hold the manager.
    pub(super) fn pass_on(&mut self) -> Passed {
        let mut buffer = [0; 4_096];
        for _ in 0..16 {
            let Some(pipe) = &self.pipe else {
                return Passed::End;
            };
            let room = stderr::room();
            if room == Room::None {
                return Passed::Held;
            }
            match io::read(pipe.as_fd(), &mut buffer) {
                Ok(io::Received::Bytes(count)) => {
                    let bytes = &buffer[..count];
                    if room == Room::Some {
                        stderr::pass_on(bytes);
                    }
                    self.remember(bytes);
                }
                Ok(io::Received::Nothing) => return Passed::Everything,
                Ok(io::Received::End) | Err(_) => self.pipe = None,
            }
        }
        Passed::Everything
    }

    fn remember(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        let excess = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..excess);
    }

    /// The last lines, as one.
    pub(super) fn last_lines(&self) -> Option<String> {
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
pub(super) fn affordable(pipe: &Pipe) -> bool {
    let number = pipe.read.as_raw_fd().max(pipe.write.as_raw_fd());
    usize::try_from(number).is_ok_and(|number| number + RESERVE < process::descriptor_limit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::channel;

    #[test]
    fn the_last_lines_are_told_and_no_more() {
        let pipe = channel::pipe("test", true).unwrap();
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
        let pipe = channel::pipe("test", true).unwrap();
        let mut output = Output::new(pipe.read);
        assert_eq!(output.pass_on(), Passed::Everything);
        drop(pipe.write);
        assert_eq!(output.pass_on(), Passed::End);
        assert!(output.pipe().is_none());
    }
}
