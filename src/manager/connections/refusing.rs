//! A disposable process that accepts what has waited too long in the listen queue, and refuses it.
//!
//! The manager must not accept: whoever shares the listening socket can clear O_NONBLOCK, or lock the socket, between
//! two of its calls. So a process of its own accepts, and judges each connection when it has it: a worker may have been
//! faster, and then it is one that is younger. That one goes to the workers by the hand-over queue; where there is no
//! room, the process keeps it until there is, or until it is too old itself. Nothing that it accepted is lost if
//! the manager dies meanwhile.
//!
//! It tells the manager each step in a word. If it ends without [`Word::Done`], nobody knows how many it has accepted.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::poll;
use nix::sys::socket::{MsgFlags, send};

use crate::manager::connections::closing;
use crate::manager::connections::shedding::Shedding;
use crate::manager::event_loop::EventLoop;
use crate::server::{self, FirstRecord};
use crate::sys::clock;
use crate::sys::fd::worker_fd::HeldFd;
use crate::sys::fd::{io, pipe};
use crate::sys::process::disposable::{self, Disposable, Prepared};
use crate::sys::socket::listen;
use crate::worker::Total;
use crate::{error, worker};

/// How long a call that was made to block holds the process, if the kernel lets signals end it.
const BLOCKED: Duration = Duration::from_millis(50);

/// How long the process may take before it begins to accept, and for the ends of the responses.
const LIMIT: Duration = Duration::from_secs(2);

/// How often the process tries again to hand over a connection for which there is no room.
const RETRY: Duration = Duration::from_millis(20);

/// What the manager tells the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(in crate::manager) enum Order {
    /// A worker is being started. The process does not see what that one accepts, so it takes no connection for
    /// overdue any more.
    Settle = b'S',
    /// The pool stops. Nothing more goes to the workers.
    Stop = b'T',
}

/// What comes from the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::manager) enum Heard {
    Word(Word),
    /// Nothing at this moment.
    Nothing,
    /// It has ended.
    End,
}

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::manager) enum Fate {
    /// It was refused.
    Refused = b'R',
    /// It was closed: it had sent nothing.
    Silent = b'S',
    /// It had been closed by its client.
    Closed = b'C',
    /// It is in the hand-over queue.
    Passed = b'P',
    /// It was closed, because a worker has shut down the hand-over queue.
    Lost = b'L',
}

const FATES: [Fate; 5] = [
    Fate::Refused,
    Fate::Silent,
    Fate::Closed,
    Fate::Passed,
    Fate::Lost,
];

/// What the process tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::manager) enum Word {
    /// It has accepted a connection from the queue at this place.
    Accepted(usize, Fate),
    /// accept(2) failed with this errno.
    Failed(i32),
    /// It accepts no more.
    Done,
}

/// The bytes of a word: what it is, and a number.
const WORD: usize = 4;

impl Word {
    fn encode(self) -> [u8; WORD] {
        let (kind, number) = match self {
            Self::Accepted(place, fate) => (fate as u8, i32::try_from(place).unwrap_or(i32::MAX)),
            Self::Failed(errno) => (b'F', errno),
            Self::Done => (b'D', 0),
        };
        let [_, high, middle, low] = number.to_be_bytes();
        [kind, high, middle, low]
    }

    fn decode([kind, high, middle, low]: [u8; WORD]) -> Option<Self> {
        let number = i32::from_be_bytes([0, high, middle, low]);
        match kind {
            b'F' => Some(Self::Failed(number)),
            b'D' => Some(Self::Done),
            _ => {
                let fate = FATES.into_iter().find(|fate| *fate as u8 == kind)?;
                Some(Self::Accepted(usize::try_from(number).ok()?, fate))
            }
        }
    }
}

/// What the process is to accept at most: so many, from the queue at this place.
pub(in crate::manager) type Share = (usize, u64);

/// The process, as long as it accepts.
#[derive(Debug)]
pub(in crate::manager) struct Refuser {
    process: Disposable,
    words: OwnedFd,
}

impl Refuser {
    /// Starts it.
    ///
    /// # Errors
    /// There is no channel, or no process.
    pub(in crate::manager) fn start(
        shell: &EventLoop,
        shedding: &mut Shedding,
        shares: &[Share],
        waits: bool,
    ) -> error::Result<Self> {
        let prepared = Prepared::new()?;
        let (words, its) = pipe::pair("channel of the process that refuses")?;
        let listeners = shell.parts.listeners.iter();
        let mut given: Vec<_> = listeners.map(|one| one.as_fd().as_raw_fd()).collect();
        given.extend([shell.parts.handover.0.as_raw_fd(), its.as_raw_fd()]);
        let most: u64 = shares.iter().map(|(_, share)| *share).sum();
        let refused = Vec::with_capacity(usize::try_from(most).unwrap_or_default());
        let started = prepared.start(LIMIT, given.clone(), its, |its| {
            // Otherwise a connection could land there, and need another descriptor.
            disposable::occupy_standard(its.as_fd());
            let mut work = Work {
                shell,
                shedding,
                words: its,
                order: None,
                is_alone: false,
                refused,
            };
            let limit = work.shedding.limit() + LIMIT;
            disposable::interrupting(BLOCKED, limit, || {
                work.run(shares);
                work.tell(Word::Done);
            });
            if waits {
                disposable::end_after(LIMIT);
                // A socket that listens must not outlive the pool.
                std::mem::forget(work.words);
                disposable::close_given(&given);
                closing::wait_for_ends(work.refused);
            }
        });
        match started {
            Ok(process) => {
                process.release();
                Ok(Self { process, words })
            }
            Err(_) => Err(error::Error::system(
                "fork of a process that refuses connections",
                Errno::last_raw(),
            )),
        }
    }

    /// Readable when there are words.
    pub(in crate::manager) fn words(&self) -> BorrowedFd<'_> {
        self.words.as_fd()
    }

    /// Tells it something.
    pub(in crate::manager) fn tell(&self, order: Order) {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let _ = send(self.words.as_raw_fd(), &[order as u8], flags);
    }

    /// The next word.
    pub(in crate::manager) fn next_word(&self) -> Heard {
        let mut word = [0; WORD];
        match io::read(self.words(), &mut word) {
            // Words are sent whole, and each of them has its length.
            Ok(io::Received::Bytes(_)) => Word::decode(word).map_or(Heard::End, Heard::Word),
            Ok(io::Received::Nothing) => Heard::Nothing,
            Ok(io::Received::End) | Err(_) => Heard::End,
        }
    }

    /// It accepts no more: what is left of it.
    pub(in crate::manager) fn into_process(self) -> Disposable {
        self.process
    }
}

/// In the process.
struct Work<'a> {
    shell: &'a EventLoop,
    shedding: &'a mut Shedding,
    words: OwnedFd,
    order: Option<Order>,
    /// The manager is gone, and the workers leave: nothing more goes to them.
    is_alone: bool,
    /// Connections that have their answer, and whose peers have not read it yet.
    refused: Vec<HeldFd>,
}

impl Work<'_> {
    fn run(&mut self, shares: &[Share]) {
        for &(place, count) in shares {
            for _ in 0..count {
                if self.order().is_some() || !self.refuse_next(place) {
                    break;
                }
            }
        }
    }

    fn tell(&self, word: Word) {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        // There is room for the words of one process, and a manager that is gone needs none.
        let _ = send(self.words.as_raw_fd(), &word.encode(), flags);
    }

    /// What the manager has told. One that is gone stops the pool.
    fn order(&mut self) -> Option<Order> {
        let mut bytes = [0; 8];
        loop {
            match io::read(self.words.as_fd(), &mut bytes) {
                Ok(io::Received::Bytes(count)) => {
                    let stops = bytes[..count].contains(&(Order::Stop as u8));
                    let order = if stops { Order::Stop } else { Order::Settle };
                    self.order = self.order.max(Some(order));
                }
                Ok(io::Received::Nothing) => break,
                Ok(io::Received::End) | Err(_) => {
                    self.is_alone = true;
                    self.order = Some(Order::Stop);
                    break;
                }
            }
        }
        self.order
    }

    /// AcceptCounter the next one, and refuses it if it really is too old: a worker may have been faster. False: no other
    /// one is to be accepted.
    fn refuse_next(&mut self, place: usize) -> bool {
        let listener = self.shell.parts.listeners[place].as_fd();
        let accepted =
            listen::set_nonblocking(listener).and_then(|()| listen::accept(listener, false));
        let connection = match accepted {
            Ok((connection, _)) => HeldFd::new(connection),
            Err(errno) => {
                if !matches!(errno, Errno::EAGAIN | Errno::EINTR) {
                    self.tell(Word::Failed(errno as i32));
                }
                return false;
            }
        };
        // It is not yet among those that were accepted. The order is looked for last: a worker that was started since
        // has not accepted anything before it was told.
        let is_overdue = self.shell.is_overdue(self.shedding, place) && self.order().is_none();
        self.shedding.count(place);
        let opening = FirstRecord::of(connection.as_fd());
        if is_overdue {
            self.end(place, connection, opening);
        } else {
            self.keep(place, connection);
        }
        is_overdue
    }

    /// It is overdue.
    fn end(&mut self, place: usize, connection: HeldFd, opening: FirstRecord) {
        match opening {
            FirstRecord::Request(id) => {
                self.count_refused();
                if connection.send(&server::overloaded(id)) {
                    connection.shut_down();
                    self.refused.push(connection);
                } else {
                    connection.close();
                }
                self.tell(Word::Accepted(place, Fate::Refused));
            }
            FirstRecord::End => {
                connection.close();
                self.tell(Word::Accepted(place, Fate::Closed));
            }
            FirstRecord::Nothing => {
                connection.close();
                self.tell(Word::Accepted(place, Fate::Silent));
            }
            FirstRecord::Other => {
                // Where there is no room for it, it is closed: more of its kind may follow.
                if let Err(connection) = self.forward(place, connection) {
                    self.close_begun(place, connection);
                }
            }
        }
    }

    /// It has begun to say something, and there is no room for it.
    fn close_begun(&self, place: usize, connection: HeldFd) {
        self.count_refused();
        connection.close();
        self.tell(Word::Accepted(place, Fate::Refused));
    }

    /// Before the client knows. Nobody else writes to this total.
    fn count_refused(&self) {
        let header = self.shell.parts.scoreboard.header();
        header.add(Total::Overloaded, 1);
    }

    /// It is the workers', until it is overdue as well.
    fn keep(&mut self, place: usize, mut connection: HeldFd) {
        let until = clock::now().saturating_add(self.shedding.limit());
        loop {
            // A manager that stops waits for this process before the workers hear of it.
            let order = self.order();
            if self.is_alone {
                break;
            }
            match self.forward(place, connection) {
                Ok(()) => return,
                Err(back) => connection = back,
            }
            if order == Some(Order::Stop) || clock::now() >= until {
                break;
            }
            let _ = poll(&mut [], io::timeout(Some(RETRY)));
        }
        match FirstRecord::of(connection.as_fd()) {
            // What it has begun to say would go to the workers.
            FirstRecord::Other => self.close_begun(place, connection),
            opening => self.end(place, connection, opening),
        }
    }

    /// Hands a connection to the workers. It comes back where there is no room.
    fn forward(&self, place: usize, connection: HeldFd) -> Result<(), HeldFd> {
        let queue = self.shell.parts.handover.0.as_fd();
        let fate = match connection.forward(queue, worker::SILENT) {
            Ok(true) => Fate::Passed,
            Ok(false) => return Err(connection),
            Err(_) => Fate::Lost,
        };
        // A worker may have it by now, so there is nothing else that can be done to it without waiting for that one.
        drop(connection);
        self.tell(Word::Accepted(place, fate));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_the_same_at_the_other_end() {
        let accepted = FATES.map(|fate| [0, 1, 7].map(|place| Word::Accepted(place, fate)));
        let others = [Word::Failed(libc::ENFILE), Word::Done];
        for word in accepted.into_iter().flatten().chain(others) {
            assert_eq!(Word::decode(word.encode()), Some(word));
        }
        assert_eq!(Word::decode([0; WORD]), None);
    }
}
