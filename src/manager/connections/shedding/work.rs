//! A disposable process that accepts what has waited too long in the listen queue, and refuses it.
//!
//! The manager must not accept: a worker that shares the listening socket can clear O_NONBLOCK, or lock
//! the socket, between two of the manager's calls. So a separate process accepts, and checks each
//! connection again when it has it: if a worker was faster, it is a younger one. That one goes to the
//! workers by the hand-over queue. If the queue is full, the process keeps it until there is room, or
//! until it is too old itself. So nothing that the process accepted is lost if the manager dies.
//!
//! It reports each step to the manager. If it ends without [`Word::Done`], the number of connections
//! that it has accepted is unknown.

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::poll;
use nix::sys::socket::{MsgFlags, send};

use super::queues::{PoolView, Queues};
use super::words::{Fate, Order, Word};
use crate::manager::connections::closing;
use crate::server::{self, FirstRecord};
use crate::sys::clock;
use crate::sys::fd::io;
use crate::sys::fd::worker_fd::HeldFd;
use crate::sys::process::disposable;
use crate::sys::socket::listen;
use crate::worker::{self, Total};

/// How long a call may block that another process made blocking, if the kernel lets signals end it.
const CALL_LIMIT: Duration = Duration::from_millis(50);

/// The maximum time before the process begins to accept, and for its clients to read their answers.
pub(super) const LIMIT: Duration = Duration::from_secs(2);

/// The time between two attempts to hand over a connection when the queue is full.
const RETRY: Duration = Duration::from_millis(20);

/// The maximum number of connections to accept from the queue at this place.
pub(super) type Share = (usize, u64);

struct Work<'a> {
    pool: PoolView<'a>,
    queues: &'a mut Queues,
    words: OwnedFd,
    order: Option<Order>,
    /// The manager has ended, and the workers exit: nothing more goes to them.
    is_orphaned: bool,
    /// Connections that have their answer, and whose peers have not read it yet.
    refused: Vec<HeldFd>,
}

/// The work is done.
pub(super) struct Done {
    words: Option<OwnedFd>,
    refused: Vec<HeldFd>,
}

pub(super) fn run(
    pool: PoolView<'_>,
    queues: &mut Queues,
    words: OwnedFd,
    refused: Vec<HeldFd>,
    shares: &[Share],
) -> Done {
    // Otherwise a connection could get one of these numbers, and need another descriptor.
    disposable::occupy_standard(words.as_fd());
    let limit = queues.limit() + LIMIT;
    let mut work = Work {
        pool,
        queues,
        words,
        order: None,
        is_orphaned: false,
        refused,
    };
    disposable::interrupting(CALL_LIMIT, limit, || {
        work.refuse_all(shares);
        work.report(Word::Done);
    });
    Done {
        words: Some(work.words),
        refused: work.refused,
    }
}

impl Done {
    /// Waits until the clients have read their answers.
    pub(super) fn wait_for_clients(mut self, given: &[RawFd]) {
        disposable::end_after(LIMIT);
        // A listening socket must not outlive the pool.
        std::mem::forget(self.words.take());
        disposable::close_given(given);
        closing::wait_for_ends(std::mem::take(&mut self.refused));
    }
}

impl Work<'_> {
    fn refuse_all(&mut self, shares: &[Share]) {
        for &(place, count) in shares {
            for _ in 0..count {
                if self.order().is_some() || !self.refuse_next(place) {
                    break;
                }
            }
        }
    }

    fn report(&self, word: Word) {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        // There is room for all words of one process, and a manager that has ended needs none.
        let _ = send(self.words.as_raw_fd(), &word.encode(), flags);
    }

    /// The order of the manager. If it has ended, the pool stops.
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
                    self.is_orphaned = true;
                    self.order = Some(Order::Stop);
                    break;
                }
            }
        }
        self.order
    }

    /// Takes the next connection from the listen queue, and refuses it if it is still overdue: a worker
    /// may have been faster. `false`: no other one is to be accepted.
    fn refuse_next(&mut self, place: usize) -> bool {
        let listener = self.pool.listeners[place].listen_fd();
        let accepted =
            listen::set_nonblocking(listener).and_then(|()| listen::accept(listener, false));
        let connection = match accepted {
            Ok((connection, _)) => HeldFd::new(connection),
            Err(errno) => {
                if !matches!(errno, Errno::EAGAIN | Errno::EINTR) {
                    self.report(Word::Failed(errno as i32));
                }
                return false;
            }
        };
        // It is not counted yet. The order is read last: a worker that was started meanwhile has
        // accepted nothing before this process got the order.
        let is_overdue = self.queues.is_overdue(self.pool, place) && self.order().is_none();
        self.queues.count(place);
        let first = FirstRecord::of(connection.as_fd());
        if is_overdue {
            self.end(place, connection, first);
        } else {
            self.hand_over(place, connection);
        }
        is_overdue
    }

    /// It is overdue.
    fn end(&mut self, place: usize, connection: HeldFd, first: FirstRecord) {
        match first {
            FirstRecord::Request(id) => {
                self.count_refused();
                if connection.send(&server::overloaded(id)) {
                    connection.shut_down();
                    self.refused.push(connection);
                } else {
                    connection.close();
                }
                self.report(Word::Accepted(place, Fate::Refused));
            }
            FirstRecord::End => {
                connection.close();
                self.report(Word::Accepted(place, Fate::Closed));
            }
            FirstRecord::Nothing => {
                connection.close();
                self.report(Word::Accepted(place, Fate::Silent));
            }
            FirstRecord::Other => {
                // If the queue is full, it is closed: more of its kind may follow.
                if let Err(connection) = self.forward(place, connection) {
                    self.close_begun(place, connection);
                }
            }
        }
    }

    /// It has sent something, and the queue is full.
    fn close_begun(&self, place: usize, connection: HeldFd) {
        self.count_refused();
        connection.close();
        self.report(Word::Accepted(place, Fate::Refused));
    }

    /// Before the client gets its answer. No other process writes to this total.
    fn count_refused(&self) {
        self.pool.scoreboard.header().add(Total::Overloaded, 1);
    }

    /// It belongs to the workers, until it is overdue as well.
    fn hand_over(&mut self, place: usize, mut connection: HeldFd) {
        let until = clock::now().saturating_add(self.queues.limit());
        loop {
            // A manager that stops waits for this process before it asks the workers to exit.
            let order = self.order();
            if self.is_orphaned {
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
            // What it has begun to send is for the workers.
            FirstRecord::Other => self.close_begun(place, connection),
            first => self.end(place, connection, first),
        }
    }

    /// Hands a connection to the workers. It comes back if the queue is full.
    fn forward(&self, place: usize, connection: HeldFd) -> Result<(), HeldFd> {
        let fate = match connection.forward(self.pool.handover, worker::SILENT) {
            Ok(true) => Fate::HandedOver,
            Ok(false) => return Err(connection),
            Err(_) => Fate::Lost,
        };
        // A worker may have it by now, so nothing else can be done with it without waiting for that one.
        drop(connection);
        self.report(Word::Accepted(place, fate));
        Ok(())
    }
}
