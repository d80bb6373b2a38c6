//! Requests that waited too long in the listen queue are refused (`max_queue_age`).
//!
//! All workers may be busy, so the manager starts a process that accepts them: only those that
//! certainly waited too long ([`QueueAge`](crate::pool::QueueAge)), and only to answer OVERLOADED. A
//! connection on which nothing has arrived is closed. Anything else goes to the workers unchanged.

mod queues;
mod refuser;
mod words;
mod work;

use std::time::Duration;

use self::queues::{Queues, Sample};
use self::refuser::{Heard, Refuser};
use self::words::{Fate, Order, Word};
use crate::error::{Code, Error, Result};
use crate::manager::event::Event;
use crate::manager::watch::{Source, Watch};
use crate::options::{Opt, Options};
use crate::sys::clock;
use crate::sys::fd::poll;
use crate::sys::process::disposable::Disposable;
use crate::sys::socket::listeners::Listener;
use crate::worker::{Page, QUEUES};

pub(crate) use self::queues::PoolView;

/// The maximum number of connections that one process refuses.
const BATCH: u64 = 64;

/// How long a stop waits for the process, in case it is held up.
const STOP_LIMIT: Duration = Duration::from_millis(100);

/// The minimum time between two reports of refused requests.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// The listen queues, and what was refused.
#[derive(Debug)]
pub(crate) struct Shedding {
    queues: Queues,
    /// While it exists, the queues are not sampled.
    refuser: Option<Running>,
    /// Refused since the last report.
    refused: u64,
    /// Closed since the last report, because they had sent nothing.
    silent: u64,
    reported_at: Duration,
    reported: Reported,
    /// A worker has shut down the hand-over queue: nothing can be refused any more.
    is_disabled: bool,
}

#[derive(Debug)]
struct Running {
    refuser: Refuser,
    has_accepted: bool,
}

/// What is in the log already.
#[derive(Debug, Default)]
struct Reported {
    /// A worker accepts without counting.
    uncounted: bool,
    /// The process could not be started, or could not accept.
    failure: bool,
}

/// What came of a step, for the event loop.
#[derive(Debug, Default)]
pub(crate) struct Shed {
    pub(crate) events: Vec<Event>,
    /// The hand-over queue may contain connections.
    pub(crate) has_handed_over: bool,
    /// A process that accepts no more. It may still wait for its clients.
    pub(crate) finished: Option<Disposable>,
}

impl Shedding {
    /// For these sockets, if there is a limit.
    pub(crate) fn new(options: &Options, listeners: &[Listener]) -> Result<Option<Self>> {
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
                "the kernel does not report how many connections wait at the listening socket of inode {inode}"
            )));
        }
        if listeners.len() > QUEUES {
            return Err(bad(&format!("more than {QUEUES} listening sockets")));
        }
        Ok(Some(Self {
            queues: Queues::new(limit, listeners.len()),
            refuser: None,
            refused: 0,
            silent: 0,
            reported_at: Duration::ZERO,
            reported: Reported::default(),
            is_disabled: false,
        }))
    }

    /// Refuses the option where there are no workers, and so no manager.
    pub(crate) fn refuse(options: &Options) -> Result<()> {
        match options.seconds(Opt::MaxQueueAge) {
            None => Ok(()),
            Some(limit) => Err(Error::new(
                Code::Value,
                format!(
                    "option max_queue_age: {} s: needs workers (n_processes): their manager refuses the requests",
                    limit.as_secs_f64()
                ),
            )),
        }
    }

    /// When the queues are to be sampled.
    pub(crate) fn sample_at(&self) -> Option<Duration> {
        let is_active = self.refuser.is_none() && !self.is_disabled;
        self.queues.sample_at().filter(|_| is_active)
    }

    pub(crate) fn watch<'a>(&'a self, watch: &mut Watch<'a>) {
        if let Some(running) = &self.refuser {
            watch.add(Source::Refuser, running.refuser.words());
        }
    }

    /// A worker has exited, with what it had counted.
    pub(crate) fn inherit_counts(&mut self, page: &Page, was_killed: bool) {
        self.queues.inherit_counts(page, was_killed);
    }

    /// A worker is about to be started.
    pub(crate) fn worker_starts(&self) {
        if let Some(running) = &self.refuser {
            running.refuser.order(Order::Settle);
        }
    }

    /// Reads what the process reports. If `is_due`, samples the queues, and starts a process for what
    /// is overdue; `may_wait`: it may wait for its clients.
    pub(crate) fn step(
        &mut self,
        pool: PoolView<'_>,
        now: Duration,
        is_due: bool,
        may_wait: bool,
    ) -> Shed {
        let mut shed = Shed::default();
        self.read_words(&mut shed);
        if is_due {
            self.sample_queues(pool, may_wait, &mut shed);
        }
        let is_time = now.saturating_sub(self.reported_at) >= REPORT_INTERVAL || pool.is_stopping();
        if (self.refused, self.silent) != (0, 0) && is_time {
            self.reported_at = now;
            let limit = self.queues.limit();
            let refused = std::mem::take(&mut self.refused);
            let silent = std::mem::take(&mut self.silent);
            if refused > 0 {
                shed.events.push(Event::overloaded(refused, limit));
            }
            if silent > 0 {
                shed.events.push(Event::silent_closed(silent, limit));
            }
        }
        shed
    }

    /// The workers are about to be asked to exit: nothing may be handed over to them after that. Waits
    /// until the process has accepted the last connection, unless it is held up.
    pub(crate) fn stop(&mut self) -> Shed {
        let mut shed = Shed::default();
        let until = clock::now() + STOP_LIMIT;
        if let Some(running) = &self.refuser {
            running.refuser.order(Order::Stop);
        }
        while let Some(running) = &self.refuser {
            let left = until.saturating_sub(clock::now());
            if left.is_zero() {
                break;
            }
            let words = std::iter::once(running.refuser.words());
            poll::wait(words, Some(left), &mut Vec::new());
            self.read_words(&mut shed);
        }
        shed
    }

    /// Samples each queue, and starts a process that refuses what is overdue.
    fn sample_queues(&mut self, pool: PoolView<'_>, may_wait: bool, shed: &mut Shed) {
        let mut shares: Vec<_> = (0..self.queues.len())
            .map(|place| (place, self.sample_queue(pool, place, shed)))
            .filter(|(_, overdue)| *overdue > 0)
            .collect();
        self.queues.defer_rest();
        if shares.is_empty() {
            return;
        }
        let room = (BATCH / shares.len() as u64).max(1);
        for (place, share) in &mut shares {
            self.queues.set_rest(*place, *share > room);
            *share = room.min(*share);
        }
        match Refuser::start(pool, &mut self.queues, &shares, may_wait) {
            Ok(refuser) => {
                self.refuser = Some(Running {
                    refuser,
                    has_accepted: false,
                });
            }
            Err(error) => self.report_failure(&error, shed),
        }
    }

    /// How many connections in a queue are overdue.
    fn sample_queue(&mut self, pool: PoolView<'_>, place: usize, shed: &mut Shed) -> u64 {
        match self.queues.sample(pool, place) {
            Sample::Overdue(count) => count,
            Sample::Uncounted(worker) => {
                if let Some(pid) = worker {
                    if !std::mem::replace(&mut self.reported.uncounted, true) {
                        shed.events.push(Event::warning(format!(
                            "max_queue_age has no effect: worker (pid {pid}) does not use this \
                             library's Accept, or uses it in more than 30 threads"
                        )));
                    }
                }
                0
            }
        }
    }

    fn read_words(&mut self, shed: &mut Shed) {
        while let Some(running) = &mut self.refuser {
            match running.refuser.next_word() {
                Heard::Nothing => return,
                Heard::Word(Word::Done) => {
                    self.reported.failure &= !running.has_accepted;
                    self.finish(shed);
                }
                Heard::Word(Word::Accepted(place, fate)) => {
                    running.has_accepted = true;
                    self.queues.count(place);
                    self.note(fate, shed);
                }
                Heard::Word(Word::Failed(errno)) => {
                    let error = Error::system("accept of the process that refuses", errno);
                    self.report_failure(&error, shed);
                }
                Heard::End => {
                    // It was killed, and how many connections it has accepted is unknown.
                    self.queues.forget();
                    shed.has_handed_over = true;
                    self.finish(shed);
                }
            }
        }
    }

    fn note(&mut self, fate: Fate, shed: &mut Shed) {
        match fate {
            Fate::Refused => self.refused += 1,
            Fate::Silent => self.silent += 1,
            Fate::Closed => {}
            Fate::HandedOver => shed.has_handed_over = true,
            Fate::Lost => self.disable(shed),
        }
    }

    /// It accepts no more. It may still wait for peers to read their answers.
    fn finish(&mut self, shed: &mut Shed) {
        let Some(running) = self.refuser.take() else {
            return;
        };
        // If it accepted nothing, another one would not, either: the next sample decides.
        if !running.has_accepted {
            self.queues.defer_rest();
        }
        shed.finished = Some(running.refuser.into_process());
    }

    fn report_failure(&mut self, error: &Error, shed: &mut Shed) {
        self.queues.defer_rest();
        if !std::mem::replace(&mut self.reported.failure, true) {
            shed.events
                .push(Event::warning(format!("max_queue_age: {error}")));
        }
    }

    fn disable(&mut self, shed: &mut Shed) {
        if !std::mem::replace(&mut self.is_disabled, true) {
            shed.events.push(Event::warning(
                "max_queue_age no longer has an effect: a worker has shut down the hand-over queue",
            ));
        }
    }
}
