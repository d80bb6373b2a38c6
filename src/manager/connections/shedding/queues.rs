//! The age of what waits in each listen queue, by the counts of the workers.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::manager::children::Children;
use crate::manager::pool_clock::PoolClock;
use crate::pool::{Pool, Queue, QueueAge, SlotState};
use crate::sys::socket::listeners::Listener;
use crate::worker::{Page, Scoreboard};

/// The parts of the manager that shedding reads.
#[derive(Clone, Copy)]
pub(crate) struct PoolView<'a> {
    pub(crate) clock: PoolClock,
    pub(crate) pool: &'a Pool,
    pub(crate) children: &'a Children,
    pub(crate) scoreboard: &'a Scoreboard,
    pub(crate) listeners: &'a [Listener],
    /// The end of the hand-over queue to which connections are sent.
    pub(crate) handover: BorrowedFd<'a>,
    /// The workers execute a program.
    pub(crate) are_programs: bool,
}

/// How many workers may have accepted a connection that they have not counted.
enum Accepting {
    AtMost(u64),
    /// A worker accepts without counting; its pid, if it is ready or counts wrongly.
    Unknown(Option<i32>),
}

/// The result of a sample.
pub(super) enum Sample {
    /// This many are overdue.
    Overdue(u64),
    /// A worker, with this pid if that is to be reported, accepts without counting.
    Uncounted(Option<i32>),
}

/// The listen queues, by place.
#[derive(Debug)]
pub(super) struct Queues {
    limit: Duration,
    queues: Vec<Counted>,
}

#[derive(Debug)]
struct Counted {
    age: QueueAge,
    /// What former workers and this manager have accepted.
    accepted: u64,
    /// More were overdue than one process refuses.
    has_rest: bool,
}

impl PoolView<'_> {
    pub(super) fn is_stopping(&self) -> bool {
        self.pool.is_stopping()
    }

    /// Accepted by the current workers, as far as they have counted.
    fn accepted(&self, place: usize) -> impl Iterator<Item = u64> + '_ {
        let children = self.children.iter();
        children.map(move |(slot, _)| self.scoreboard.page(slot).accepted(place))
    }

    fn accepting(&self) -> Accepting {
        let mut count = 0;
        for (slot, child) in self.children.iter() {
            let page = self.scoreboard.page(slot);
            let state = self.pool.state(slot);
            if !page.has_reported() {
                if !self.are_programs && state == SlotState::Starting {
                    continue;
                }
                let is_ready = state == SlotState::Ready;
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

impl Queues {
    pub(super) fn new(limit: Duration, count: usize) -> Self {
        let counted = |_| Counted {
            age: QueueAge::new(limit),
            accepted: 0,
            has_rest: false,
        };
        Self {
            limit,
            queues: (0..count).map(counted).collect(),
        }
    }

    pub(super) const fn limit(&self) -> Duration {
        self.limit
    }

    pub(super) fn len(&self) -> usize {
        self.queues.len()
    }

    /// When a queue is to be sampled.
    pub(super) fn sample_at(&self) -> Option<Duration> {
        let at = |queue: &Counted| match queue.has_rest {
            true => Duration::ZERO,
            false => queue.age.sample_at(),
        };
        self.queues.iter().map(at).min()
    }

    pub(super) fn sample(&mut self, pool: PoolView<'_>, place: usize) -> Sample {
        let age = &mut self.queues[place].age;
        let uncounted = match pool.accepting() {
            Accepting::AtMost(uncounted) => uncounted,
            Accepting::Unknown(worker) => {
                age.begin_again(pool.clock.now());
                return Sample::Uncounted(worker);
            }
        };
        let accepted = self.accepted(pool, place);
        let waiting = pool.listeners[place].waiting();
        let age = &mut self.queues[place].age;
        // If no worker has accepted from this socket, other processes may do so without counting.
        let Some(waiting) = waiting.filter(|_| accepted > 0) else {
            age.begin_again(pool.clock.now());
            return Sample::Overdue(0);
        };
        // Read last: what arrived while this process waited for a processor has arrived by this time.
        let now = pool.clock.now();
        let waiting = waiting as u64;
        let queue = Queue {
            accepted,
            uncounted,
            waiting,
        };
        age.observe(now, queue);
        Sample::Overdue(age.overdue(accepted, uncounted).min(waiting))
    }

    /// Whether a connection that was just accepted, and not counted yet, is certainly overdue.
    pub(super) fn is_overdue(&self, pool: PoolView<'_>, place: usize) -> bool {
        let uncounted = match pool.accepting() {
            Accepting::AtMost(uncounted) => uncounted,
            Accepting::Unknown(_) => u64::MAX,
        };
        let accepted = self.accepted(pool, place);
        self.queues[place].age.overdue(accepted, uncounted) > 0
    }

    /// Accepted in all, as far as it was counted.
    fn accepted(&self, pool: PoolView<'_>, place: usize) -> u64 {
        let former = self.queues[place].accepted;
        pool.accepted(place).fold(former, u64::saturating_add)
    }

    /// The manager, or its process, has accepted a connection.
    pub(super) fn count(&mut self, place: usize) {
        if let Some(queue) = self.queues.get_mut(place) {
            queue.accepted += 1;
        }
    }

    /// Adds the counts of a worker that has exited. A worker that was killed may have accepted a
    /// connection that it had not counted.
    pub(super) fn inherit_counts(&mut self, page: &Page, was_killed: bool) {
        for (place, queue) in self.queues.iter_mut().enumerate() {
            queue.accepted = queue.accepted.saturating_add(page.accepted(place));
            if was_killed && page.accepting() != Some(0) {
                queue.age.forget();
            }
        }
    }

    pub(super) fn forget(&mut self) {
        self.queues.iter_mut().for_each(|one| one.age.forget());
    }

    pub(super) fn set_rest(&mut self, place: usize, has_rest: bool) {
        self.queues[place].has_rest = has_rest;
    }

    /// What else is overdue waits for the next regular sample.
    pub(super) fn defer_rest(&mut self) {
        self.queues.iter_mut().for_each(|one| one.has_rest = false);
    }
}
