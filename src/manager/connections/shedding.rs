//! Requests that waited too long in the listen queue are refused (`max_queue_age`).
//!
//! The workers may all be busy, so the manager has a process accept them ([`refusing`](crate::manager::connections::refusing)): only those
//! of which [`QueueAge`] says that they are certainly too old, and only far enough to answer OVERLOADED. One on which
//! nothing has arrived is closed. What turns out to be something else goes to the workers as it is.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::error::{Code, Error, Result};
use crate::manager::connections::refusing::{Fate, Heard, Order, Refuser, Word};
use crate::manager::event::Event;
use crate::manager::event_loop::EventLoop;
use crate::options::{Opt, Options};
use crate::pool::{Queue, QueueAge, SlotState};
use crate::sys::clock;
use crate::sys::fd::poll;
use crate::sys::socket::listeners::Listener;
use crate::worker::QUEUES;

/// Refused at most by one process.
const AT_ONCE: u64 = 64;

/// How long a stop waits for the process, if somebody holds it up.
const SETTLING: Duration = Duration::from_millis(100);

/// How often there is a line in the log at most.
const SAID: Duration = Duration::from_secs(1);

/// The listen queues, and what was refused.
#[derive(Debug)]
pub(in crate::manager) struct Shedding {
    limit: Duration,
    queues: Vec<Counted>,
    refused: u64,
    /// Connections that were closed, because nothing had arrived on them.
    silent: u64,
    said: Duration,
    /// It was said that it can do nothing.
    said_idle: bool,
    /// While there is one, the queues are not looked at.
    refuser: Option<Refuser>,
    /// It has accepted something.
    progress: bool,
    /// What failed was reported.
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
    pub(in crate::manager) fn new(
        options: &Options,
        listeners: &[Listener],
    ) -> Result<Option<Self>> {
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
        if let Some(one) = listeners.iter().find(|one| one.waiting().is_none()) {
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
            refuser: None,
            progress: false,
            failed: false,
        }))
    }

    /// Without workers nobody could refuse anything.
    pub(in crate::manager) fn refuse(options: &Options) -> Result<()> {
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
    pub(in crate::manager) fn look_at(&self) -> Option<Duration> {
        if self.refuser.is_some() {
            return None;
        }
        let at = |queue: &Counted| {
            if queue.more {
                Duration::ZERO
            } else {
                queue.age.sample_at()
            }
        };
        self.queues.iter().map(at).min()
    }

    pub(in crate::manager) const fn limit(&self) -> Duration {
        self.limit
    }

    /// What becomes readable when the process that refuses has something to tell.
    pub(in crate::manager) fn watched(&self) -> Option<BorrowedFd<'_>> {
        self.refuser.as_ref().map(Refuser::words)
    }

    /// What is overdue as well is for the next look.
    fn leave_rest(&mut self) {
        self.queues.iter_mut().for_each(|one| one.more = false);
    }

    /// The manager, or a process of its, has accepted a connection.
    pub(in crate::manager) fn count(&mut self, place: usize) {
        self.progress = true;
        if let Some(queue) = self.queues.get_mut(place) {
            queue.accepted += 1;
        }
    }
}

impl EventLoop {
    /// When a queue is to be looked at. Whoever stops answers what waits.
    pub(in crate::manager) fn shedding_at(&self) -> Option<Duration> {
        let shedding = self.shedding.as_ref()?;
        let goes_on = !self.has_no_queue && !self.pool.is_stopping();
        shedding.look_at().filter(|_| goes_on)
    }

    /// What a worker is to count.
    pub(in crate::manager) fn counted_queues(&self) -> [u64; QUEUES] {
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
    pub(in crate::manager) fn inherit_counts(&mut self, slot: usize, killed: bool) {
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

    /// Looks at the queues when it is time, and has refused what has waited too long.
    pub(in crate::manager) fn shed(&mut self) {
        let now = self.now();
        let due = self.shedding_at().is_some_and(|at| at <= now);
        let Some(mut shedding) = self.shedding.take() else {
            return;
        };
        self.hear_refuser(&mut shedding);
        if due {
            self.look_at_queues(&mut shedding);
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

    /// A worker is about to be started.
    pub(in crate::manager) fn settle_for_start(&self) {
        if let Some(refuser) = self.shedding.as_ref().and_then(|one| one.refuser.as_ref()) {
            refuser.tell(Order::Settle);
        }
    }

    /// Looks at each queue, and has a process refuse what is overdue.
    fn look_at_queues(&mut self, shedding: &mut Shedding) {
        let mut shares: Vec<_> = (0..shedding.queues.len())
            .map(|place| (place, self.look_at_queue(shedding, place)))
            .filter(|(_, overdue)| *overdue > 0)
            .collect();
        shedding.leave_rest();
        if shares.is_empty() {
            return;
        }
        let room = (AT_ONCE / shares.len() as u64).max(1);
        for (place, share) in &mut shares {
            shedding.queues[*place].more = *share > room;
            *share = room.min(*share);
        }
        let waits = self.closing.has_room();
        shedding.progress = false;
        match Refuser::start(self, shedding, &shares, waits) {
            Ok(refuser) => shedding.refuser = Some(refuser),
            Err(error) => self.report_failure(shedding, &error),
        }
    }

    /// How many of a queue are overdue.
    fn look_at_queue(&mut self, shedding: &mut Shedding, place: usize) -> u64 {
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
                return 0;
            }
        };
        let accepted = self.accepted(&shedding.queues[place], place);
        let waiting = self.parts.listeners[place].waiting();
        // From a socket that no worker has accepted from somebody else may accept who does not count.
        let Some(waiting) = waiting.filter(|_| accepted > 0) else {
            shedding.queues[place].age.begin_again(self.now());
            return 0;
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
        queue.age.overdue(accepted, uncounted).min(waiting)
    }

    /// Whether the connection that was accepted last, and not counted yet, is certainly too old.
    pub(in crate::manager) fn is_overdue(&self, shedding: &Shedding, place: usize) -> bool {
        let uncounted = match self.accepting() {
            Accepting::AtMost(uncounted) => uncounted,
            Accepting::Unknown(_) => u64::MAX,
        };
        let queue = &shedding.queues[place];
        let accepted = self.accepted(queue, place);
        queue.age.overdue(accepted, uncounted) > 0
    }

    /// Takes in what the process that refuses has done.
    fn hear_refuser(&mut self, shedding: &mut Shedding) {
        loop {
            let Some(refuser) = &shedding.refuser else {
                return;
            };
            match refuser.next_word() {
                Heard::Nothing => return,
                Heard::Word(Word::Done) => {
                    shedding.failed &= !shedding.progress;
                    self.let_go(shedding);
                }
                Heard::Word(Word::Accepted(place, fate)) => self.take_in(shedding, place, fate),
                Heard::Word(Word::Failed(errno)) => {
                    let error = Error::system("accept of the process that refuses", errno);
                    self.report_failure(shedding, &error);
                }
                Heard::End => {
                    // Somebody has killed it, and nobody knows what it has accepted.
                    shedding.queues.iter_mut().for_each(|one| one.age.forget());
                    self.handed_over = true;
                    self.let_go(shedding);
                }
            }
        }
    }

    fn take_in(&mut self, shedding: &mut Shedding, place: usize, fate: Fate) {
        shedding.count(place);
        match fate {
            Fate::Refused => shedding.refused += 1,
            Fate::Silent => shedding.silent += 1,
            Fate::Closed => {}
            Fate::Passed => self.handed_over = true,
            Fate::Lost => self.queue_is_gone(),
        }
    }

    /// It accepts no more. It may still wait for peers to read their answers.
    fn let_go(&mut self, shedding: &mut Shedding) {
        // Where it accepted nothing, the next one would not either: it is for the next look.
        if !shedding.progress {
            shedding.leave_rest();
        }
        if let Some(refuser) = shedding.refuser.take() {
            self.closing.add(refuser.into_process(), None);
        }
    }

    /// The workers are about to be told to stop: nothing may be handed over to them after that. Waits until the
    /// process has accepted the last one, unless it is held up.
    pub(in crate::manager) fn settle_for_stop(&mut self) {
        let Some(mut shedding) = self.shedding.take() else {
            return;
        };
        let until = clock::now() + SETTLING;
        if let Some(refuser) = &shedding.refuser {
            refuser.tell(Order::Stop);
        }
        while let Some(words) = shedding.watched() {
            let left = until.saturating_sub(clock::now());
            if left.is_zero() {
                break;
            }
            poll::wait(std::iter::once(words), Some(left), &mut Vec::new());
            self.hear_refuser(&mut shedding);
        }
        self.shedding = Some(shedding);
    }

    fn report_failure(&mut self, shedding: &mut Shedding, error: &Error) {
        shedding.leave_rest();
        if !std::mem::replace(&mut shedding.failed, true) {
            self.publish(Event::notice(format!("max_queue_age: {error}")));
        }
    }

    fn queue_is_gone(&mut self) {
        if !std::mem::replace(&mut self.has_no_queue, true) {
            self.publish(Event::notice(
                "max_queue_age has no effect any more: a worker has shut down the queue on which connections are handed over"
                    .to_owned(),
            ));
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
            if !page.has_reported() {
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
