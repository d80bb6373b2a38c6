//! The hand-over queue: idle connections of retiring workers, and parked connections of workers that
//! are busy or about to be killed, on their way to other workers.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::closing::{Claimant, ClosingSet};
use crate::error::Result;
use crate::manager::children::Children;
use crate::manager::pool_clock::PoolClock;
use crate::pool::{Offers, Pool, SlotState};
use crate::sys::fd::{pipe, poll};
use crate::sys::process::disposable::{self, Disposable, Prepared};
use crate::sys::signal::wakeup;
use crate::sys::socket::listeners::Listener;
use crate::worker::{self, Activity, Offered, Page, Scoreboard};

/// The maximum number of connections that are claimed from a worker at a time: all of them are open
/// here for a moment.
const CLAIMS_MAX: usize = 256;

/// How long the worker may have to wait for connections that are being claimed. Only a hostile worker or
/// a very busy machine makes this longer than a moment.
const CLAIM_LIMIT: Duration = Duration::from_secs(2);

/// How long the queue is kept open after the end of the manager, if it contains connections.
const KEEP_LIMIT: Duration = Duration::from_secs(2);

/// The time between two wake-ups for the queue: a reload of many workers must not wake all workers for
/// each one that exits. It doubles as long as connections stay in the queue.
const PAUSE: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Handover {
    /// What is sent to the first is received from the second.
    queue: (OwnedFd, OwnedFd),
    /// The queue may contain connections.
    is_pending: bool,
    /// A worker was asked to hand over a connection, and will notify the manager when it has.
    is_rebalancing: bool,
    /// No worker is woken before this time.
    paused_until: Duration,
    pause: Duration,
}

impl Handover {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            queue: pipe::pair("hand-over queue of the manager")?,
            is_pending: false,
            is_rebalancing: false,
            paused_until: Duration::ZERO,
            pause: PAUSE,
        })
    }

    /// In a new worker.
    pub(crate) fn into_queue(self) -> (OwnedFd, OwnedFd) {
        self.queue
    }

    /// Both ends.
    pub(crate) const fn queue(&self) -> &(OwnedFd, OwnedFd) {
        &self.queue
    }

    /// The end to which connections are sent.
    pub(crate) fn sender(&self) -> BorrowedFd<'_> {
        self.queue.0.as_fd()
    }

    /// The queue may contain connections from now on.
    pub(crate) fn mark_pending(&mut self) {
        self.is_pending = true;
    }

    /// Workers have notified the manager. A rebalanced connection may be in the queue.
    pub(crate) fn worker_notified(&mut self) {
        self.is_pending |= std::mem::take(&mut self.is_rebalancing);
    }

    /// Asks a worker to hand over its latest keep-alive connection.
    pub(crate) fn request_rebalance(&mut self, page: &Page) {
        page.request_rebalance();
        self.is_rebalancing = true;
    }

    /// When workers are to be woken for the queue.
    pub(crate) fn wake_at(&self) -> Option<Duration> {
        self.is_pending.then_some(self.paused_until)
    }

    /// If the queue contains connections, wakes the idle workers, or directs all workers to it. That a
    /// worker is asked to exit is no reason: it hands over connections only when it has noticed.
    pub(crate) fn wake_workers(
        &mut self,
        clock: PoolClock,
        pool: &Pool,
        children: &Children,
        scoreboard: &Scoreboard,
    ) {
        if !self.is_pending || clock.now() < self.paused_until {
            return;
        }
        self.is_pending = false;
        if self.is_empty() {
            self.pause = PAUSE;
            return;
        }
        // A worker without a free descriptor leaves it to the others, so this is repeated.
        self.is_pending = true;
        self.paused_until = clock.now() + self.pause;
        self.pause = PAUSE_MAX.min(self.pause * 2);
        let mut is_any_idle = false;
        for (slot, child) in children.iter() {
            if pool.state(slot) == SlotState::Ready
                && scoreboard.page(slot).activity() == Some(Activity::Idle)
            {
                child.signal(wakeup::WAKE_SIGNAL);
                is_any_idle = true;
            }
        }
        // Under load no worker may be idle, nor ever find the listen queue empty and poll this one.
        if !is_any_idle {
            for (slot, _) in children.iter() {
                scoreboard.page(slot).set_handover_hint();
            }
        }
    }

    fn is_empty(&self) -> bool {
        let mut queued = Vec::new();
        let queue = std::iter::once(self.queue.1.as_fd());
        poll::wait(queue, Some(Duration::ZERO), &mut queued);
        queued.is_empty()
    }

    /// Keeps the queue open in a disposable process until the result is dropped: this process must not
    /// be the last one to close it while it contains connections.
    pub(crate) fn keep_open(&self) -> Option<Disposable> {
        if self.is_empty() {
            return None;
        }
        let keep = [self.queue.0.as_raw_fd(), self.queue.1.as_raw_fd()];
        let prepared = Prepared::new().ok()?;
        prepared.start(KEEP_LIMIT, keep, (), |()| ()).ok()
    }

    /// Puts copies of the connections that a worker offers into the queue. The worker chose their
    /// numbers, so a disposable process checks them: it takes only connections that a listening socket
    /// of the pool accepted.
    pub(crate) fn claim_offers(
        &self,
        slot: usize,
        children: &mut Children,
        page: &Page,
        listeners: &[Listener],
        closing: &mut ClosingSet,
    ) {
        let Some(prepared) = closing.prepare() else {
            return;
        };
        let offers = page.offers();
        if !offers.begin_taking() {
            return;
        }
        let offered: Vec<_> = offers.offered().take(CLAIMS_MAX).collect();
        let taken: Vec<_> = offered
            .into_iter()
            .filter_map(|offered| Some((offered, children.take_socket(slot, offered.fd)?)))
            .collect();
        if taken.is_empty() {
            offers.end_taking();
            // The kernel denies the access (ptrace(2), "Ptrace access mode checking").
            children.deny_fd_access(slot);
            return;
        }
        let queue = self.sender();
        let numbers = taken.iter().map(|(_, socket)| socket.number());
        let keep: Vec<_> = numbers.chain([queue.as_raw_fd()]).collect();
        let started = prepared.start(CLAIM_LIMIT, keep, taken, |taken| {
            for (offered, socket) in taken {
                if let Some(connection) = socket.accepted_by(listeners) {
                    // These two do not block, and must not be interrupted in between: two workers
                    // would have the connection.
                    let is_claimed = disposable::undisturbed(|| {
                        let is_queued = connection.forward(queue, byte_of(offered)) == Ok(true);
                        if is_queued {
                            offers.claim(offered);
                        }
                        is_queued
                    });
                    // It is closed when this process ends.
                    std::mem::forget(connection);
                    if !is_claimed {
                        // The queue is full: the others stay where they are.
                        break;
                    }
                }
            }
            offers.end_taking();
        });
        match started {
            Ok(process) => {
                let pid = children.pid(slot);
                closing.add(process, Some(Claimant { slot, pid }));
            }
            Err(taken) => {
                offers.end_taking();
                taken
                    .into_iter()
                    .for_each(|(_, socket)| socket.close_here());
            }
        }
    }
}

/// Whether a worker offers connections. It notifies the manager of an offer only if it is not polled. So
/// from its first offer on it is polled, until there was none for a whole polling interval.
pub(crate) fn offers_of(slot: usize, children: &mut Children, page: &Page) -> Offers {
    // A worker that never offered anything has no memory for it.
    if !page.has_offered() {
        return Offers::None;
    }
    let offers = page.offers();
    let before = children.offers(slot);
    let mut count = offers.made();
    if count == before && !offers.is_offered() {
        page.set_polled(false);
        // An offer may have been made before the worker could see that.
        count = offers.made();
    }
    children.set_offers(slot, count);
    if offers.is_offered() && !children.is_fd_access_denied(slot) {
        page.set_polled(true);
        Offers::Now
    } else if count != before {
        page.set_polled(true);
        Offers::Lately
    } else {
        Offers::None
    }
}

fn byte_of(offered: Offered) -> u8 {
    if offered.silent {
        worker::SILENT
    } else {
        worker::KEPT
    }
}
