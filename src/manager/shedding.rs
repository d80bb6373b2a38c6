//! Requests that waited too long in the listen queue are refused (`max_queue_age`).
//!
//! The workers may all be busy, so it is the manager who accepts them: only those of which
//! [`QueueAge`] says that they are certainly too old, and only far enough to answer OVERLOADED. One on which
//! nothing has arrived is closed. What turns out to be something else goes to the workers as it is.

use std::os::fd::AsFd as _;
use std::time::Duration;

use nix::errno::Errno;

use super::event::Event;
use super::shell::Shell;
use crate::error::{Code, Error, Result};
use crate::options::{Opt, Options};
use crate::pool::{Queue, QueueAge, SlotState};
use crate::server::supervision::{self, QUEUES, Total};
use crate::server::{self, Opening};
use crate::sys::listeners::Listener;
use crate::sys::worker_fd::HeldFd;
use crate::sys::{arrivals, listen};

/// Refused at most before the manager looks at other things again.
const AT_ONCE: usize = 64;

/// How often there is a line in the log at most.
const SAID: Duration = Duration::from_secs(1);

/// The listen queues, and what was refused.
#[derive(Debug)]
pub(super) struct Shedding {
    limit: Duration,
    queues: Vec<Counted>,
    refused: u64,
    /// Connections that were closed, because nothing had arrived on them.
    silent: u64,
    said: Duration,
    /// It was said that it can do nothing.
    said_idle: bool,
    /// A connection that is not too old, and for which there was no room in the hand-over queue. While there is
    /// one, nothing is accepted.
    held: Option<HeldFd>,
    failed: bool,
}

/// One listen queue.
#[derive(Debug)]
struct Counted {
    age: QueueAge,
    /// What workers that are gone had accepted, and this manager.
    accepted: u64,
    /// More were overdue than were refused at once.
    more: bool,
}

/// How a look at the workers went.
enum Accepting {
    /// Somebody accepts who does not count.
    Unknown(Option<i32>),
    /// So many may have accepted one more.
    AtMost(u64),
}

impl Shedding {
    /// For these sockets, if there is a limit.
    pub(super) fn new(options: &Options, listeners: &[Listener]) -> Result<Option<Self>> {
        let Some(limit) = options.seconds(Opt::MaxQueueAge) else {
            return Ok(None);
        };
        let bad = |why: &str| {
            let what = format!("option max_queue_age: {} s: {why}", limit.as_secs_f64());
            Error::new(Code::State, what)
        };
        if listeners.is_empty() {
            return Err(bad(
                "needs a listening socket that is open before the manager starts",
            ));
        }
        if let Some(one) = listeners
            .iter()
            .find(|one| arrivals::waiting(one.as_fd()).is_none())
        {
            let inode = one.inode;
            return Err(bad(&format!(
                "the kernel does not tell how many wait at the listening socket of inode {inode}"
            )));
        }
        if listeners.len() > QUEUES {
            return Err(bad(&format!("more than {QUEUES} listening sockets")));
        }
        let counted = |_: &Listener| Counted {
            age: QueueAge::new(limit),
            accepted: 0,
            more: false,
        };
        Ok(Some(Self {
            limit,
            queues: listeners.iter().map(counted).collect(),
            refused: 0,
            silent: 0,
            said: Duration::ZERO,
            said_idle: false,
            held: None,
            failed: false,
        }))
    }

    /// Without workers nobody could refuse anything.
    pub(super) fn refuse(options: &Options) -> Result<()> {
        match options.seconds(Opt::MaxQueueAge) {
            None => Ok(()),
            Some(limit) => Err(Error::new(
                Code::Value,
                format!(
                    "option max_queue_age: {} s: needs workers (n_processes), it is their manager who refuses",
                    limit.as_secs_f64()
                ),
            )),
        }
    }

    /// When there is something to do, in the pool's time.
    pub(super) fn look_at(&self) -> Option<Duration> {
        let at = |queue: &Counted| {
            if queue.more {
                Duration::ZERO
            } else {
                queue.age.look_at()
            }
        };
        self.queues.iter().map(at).min()
    }
}

impl Shell {
    /// When a queue is to be looked at. Whoever stops answers what waits.
    pub(super) fn shedding_at(&self) -> Option<Duration> {
        let shedding = self.shedding.as_ref()?;
        let goes_on = !self.has_no_queue && !self.pool.is_stopping();
        shedding.look_at().filter(|_| goes_on)
    }

    /// What a worker is to count.
    pub(super) fn counted_queues(&self) -> [u64; QUEUES] {
        let mut inodes = [0; QUEUES];
        if self.shedding.is_some() {
            for (inode, listener) in inodes.iter_mut().zip(&self.parts.listeners) {
                *inode = listener.inode;
            }
        }
        inodes
    }

    /// A worker is gone, with what it had counted, and perhaps with what it had not: whoever was killed may have
    /// just accepted.
    pub(super) fn inherit_counts(&mut self, slot: usize, killed: bool) {
        let Some(shedding) = &mut self.shedding else {
            return;
        };
        let page = self.parts.scoreboard.page(slot);
        for (place, queue) in shedding.queues.iter_mut().enumerate() {
            queue.accepted = queue.accepted.saturating_add(page.accepted(place));
            if killed && page.accepting() != Some(0) {
                queue.age.forget();
            }
        }
    }

    /// Looks at the queues when it is time, and refuses what has waited too long.
    pub(super) fn shed(&mut self) {
        let now = self.now();
        let due = self.shedding_at().is_some_and(|at| at <= now);
        let Some(mut shedding) = self.shedding.take() else {
            return;
        };
        if let Some(connection) = shedding.held.take() {
            shedding.held = self.deliver(connection).err();
        }
        if due {
            for place in 0..shedding.queues.len() {
                self.look_at_queue(&mut shedding, place);
            }
        }
        let is_time = now.saturating_sub(shedding.said) >= SAID || self.pool.is_stopping();
        if (shedding.refused, shedding.silent) != (0, 0) && is_time {
            shedding.said = now;
            let (refused, silent) = (shedding.refused, shedding.silent);
            (shedding.refused, shedding.silent) = (0, 0);
            if refused > 0 {
                self.publish(Event::overloaded(refused, shedding.limit));
            }
            if silent > 0 {
                let limit = shedding.limit.as_secs_f64();
                self.publish(Event::notice(format!(
                    "overload: connections closed that sent nothing within max_queue_age = {limit} s: {silent}"
                )));
            }
        }
        self.shedding = Some(shedding);
    }

    fn look_at_queue(&mut self, shedding: &mut Shedding, place: usize) {
        let uncounted = match self.accepting() {
            Accepting::AtMost(uncounted) => uncounted,
            Accepting::Unknown(who) => {
                if let Some(pid) = who
                    && !std::mem::replace(&mut shedding.said_idle, true)
                {
                    self.publish(Event::notice(format!(
                        "max_queue_age has no effect: worker (pid {pid}) does not use this library's Accept, or in more than 30 threads"
                    )));
                }
                shedding.queues[place].age.begin_again(self.now());
                return;
            }
        };
        let accepted = self.accepted(&shedding.queues[place], place);
        let waiting = arrivals::waiting(self.parts.listeners[place].as_fd());
        // From a socket that no worker has accepted from somebody else may accept who does not count.
        let Some(waiting) = waiting.filter(|_| accepted > 0) else {
            shedding.queues[place].age.begin_again(self.now());
            return;
        };
        // What arrived while this manager had to wait for its turn has arrived by now, not before.
        let now = self.now();
        let queue = &mut shedding.queues[place];
        let waiting = waiting as u64;
        let look = Queue {
            accepted,
            uncounted,
            waiting,
        };
        queue.age.observe(now, look);
        let overdue = queue.age.overdue(accepted, uncounted).min(waiting);
        queue.more = overdue > AT_ONCE as u64 && shedding.held.is_none();
        for _ in 0..overdue.min(AT_ONCE as u64) {
            if shedding.held.is_some() || self.has_no_queue || !self.refuse_next(shedding, place) {
                shedding.queues[place].more = false;
                break;
            }
        }
    }

    /// Accepts the next one, and refuses it if it really is too old: somebody may have been faster.
    fn refuse_next(&mut self, shedding: &mut Shedding, place: usize) -> bool {
        let listener = self.parts.listeners[place].as_fd();
        // Nobody must get stuck in accept, least of all the manager.
        let accepted =
            listen::set_nonblocking(listener).and_then(|()| listen::accept(listener, false));
        let connection = match accepted {
            Ok((connection, _)) => HeldFd::new(connection),
            Err(errno) => {
                if errno != Errno::EAGAIN && !std::mem::replace(&mut shedding.failed, true) {
                    let text = format!("max_queue_age: accept: {}", errno.desc());
                    self.publish(Event::notice(text));
                }
                return false;
            }
        };
        let uncounted = match self.accepting() {
            Accepting::AtMost(uncounted) => uncounted,
            Accepting::Unknown(_) => u64::MAX,
        };
        let accepted = self.accepted(&shedding.queues[place], place);
        let queue = &mut shedding.queues[place];
        // It is not yet among those that were accepted.
        let is_overdue = queue.age.overdue(accepted, uncounted) > 0;
        queue.accepted += 1;
        match Opening::of(connection.as_fd()) {
            Opening::Request(id) if is_overdue => {
                self.closing.end(connection, server::overloaded(id));
                shedding.refused += 1;
                self.parts.scoreboard.header().add(Total::Overloaded, 1);
            }
            Opening::End if is_overdue => self.closing.close(connection),
            Opening::Nothing if is_overdue => {
                self.closing.close(connection);
                shedding.silent += 1;
            }
            Opening::Other if is_overdue => {
                // Where there is no room for it, it is closed: more of its kind may follow.
                if let Err(connection) = self.deliver(connection) {
                    self.closing.close(connection);
                    shedding.refused += 1;
                    self.parts.scoreboard.header().add(Total::Overloaded, 1);
                }
            }
            Opening::Request(_) | Opening::End | Opening::Nothing | Opening::Other => {
                shedding.held = self.deliver(connection).err();
            }
        }
        is_overdue
    }

    /// Hands a connection to the workers; it comes back where there is no room.
    fn deliver(&mut self, connection: HeldFd) -> std::result::Result<(), HeldFd> {
        self.handed_over = true;
        let queue = self.parts.handover.0.as_fd();
        match connection.forward(queue, supervision::SILENT) {
            Ok(true) => {}
            Ok(false) => return Err(connection),
            // It is never there again. Nothing may be accepted any more that could turn out to be the workers'.
            Err(errno) => self.queue_is_gone(errno),
        }
        self.closing.close(connection);
        Ok(())
    }

    fn queue_is_gone(&mut self, errno: Errno) {
        if !std::mem::replace(&mut self.has_no_queue, true) {
            self.publish(Event::notice(format!(
                "max_queue_age has no effect any more: a worker has shut down the queue on which connections are handed over: {}",
                errno.desc()
            )));
        }
    }

    /// Accepted in all, as far as it was counted.
    fn accepted(&self, queue: &Counted, place: usize) -> u64 {
        let living = self
            .children()
            .map(|(slot, _)| self.page(slot).accepted(place));
        living.fold(queue.accepted, u64::saturating_add)
    }

    /// How many may have accepted a connection that they have not counted.
    fn accepting(&self) -> Accepting {
        let mut count = 0;
        for (slot, child) in self.children() {
            let page = self.page(slot);
            if !page.has_spoken() {
                if self.settings.program.is_none() && self.pool.state(slot) == SlotState::Starting {
                    continue;
                }
                let is_ready = self.pool.state(slot) == SlotState::Ready;
                return Accepting::Unknown(is_ready.then(|| child.pid()));
            }
            match page.accepting() {
                Some(more) => count += more,
                None => return Accepting::Unknown(Some(child.pid())),
            }
        }
        Accepting::AtMost(count)
    }
}
