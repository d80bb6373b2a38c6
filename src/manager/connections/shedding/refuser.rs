//! The manager's side of the process that refuses connections.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send};

use super::queues::{PoolView, Queues};
use super::words::{Order, WORD, Word};
use super::work::{self, LIMIT, Share};
use crate::error::{Error, Result};
use crate::sys::fd::{io, pipe};
use crate::sys::process::disposable::{Disposable, Prepared};

/// What comes from the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Word(Word),
    /// Nothing at present.
    Nothing,
    /// It has ended.
    End,
}

/// The process, as long as it accepts.
#[derive(Debug)]
pub(super) struct Refuser {
    process: Disposable,
    words: OwnedFd,
}

impl Refuser {
    /// Starts it.
    ///
    /// # Errors
    /// There is no channel, or no process.
    pub(super) fn start(
        pool: PoolView<'_>,
        queues: &mut Queues,
        shares: &[Share],
        may_wait: bool,
    ) -> Result<Self> {
        let prepared = Prepared::new()?;
        let (words, its) = pipe::pair("channel of the process that refuses")?;
        let listeners = pool.listeners.iter();
        let mut given: Vec<_> = listeners.map(|one| one.as_fd().as_raw_fd()).collect();
        given.extend([pool.handover.as_raw_fd(), its.as_raw_fd()]);
        let most: u64 = shares.iter().map(|(_, share)| *share).sum();
        // Its memory is allocated here: the process allocates nothing.
        let refused = Vec::with_capacity(usize::try_from(most).unwrap_or_default());
        let started = prepared.start(LIMIT, given.clone(), its, |its| {
            let served = work::run(pool, queues, its, refused, shares);
            if may_wait {
                served.wait_for_clients(&given);
            }
        });
        match started {
            Ok(process) => {
                process.release();
                Ok(Self { process, words })
            }
            Err(_) => Err(Error::system(
                "fork of a process that refuses connections",
                Errno::last_raw(),
            )),
        }
    }

    /// Readable when there are words.
    pub(super) fn words(&self) -> BorrowedFd<'_> {
        self.words.as_fd()
    }

    pub(super) fn order(&self, order: Order) {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let _ = send(self.words.as_raw_fd(), &[order as u8], flags);
    }

    pub(super) fn next_word(&self) -> Heard {
        let mut word = [0; WORD];
        match io::read(self.words(), &mut word) {
            // Words are sent whole, and all have this length.
            Ok(io::Received::Bytes(_)) => Word::decode(word).map_or(Heard::End, Heard::Word),
            Ok(io::Received::Nothing) => Heard::Nothing,
            Ok(io::Received::End) | Err(_) => Heard::End,
        }
    }

    /// It accepts no more: what is left of it.
    pub(super) fn into_process(self) -> Disposable {
        self.process
    }
}
