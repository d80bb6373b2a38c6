//! The worker's side of a region: it reads the manager's line, and has the records of its loops.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{Page, TRIES};
use crate::sys::scoreboard::record::{Entry, Found, Record};
use crate::sys::scoreboard::status::{Activity, Order};
use crate::sys::scoreboard::version::PLACE_SHIFT;

#[inline]
fn take(flag: &AtomicU32) -> bool {
    flag.load(Ordering::Relaxed) != 0 && flag.swap(0, Ordering::Acquire) != 0
}

impl Page {
    /// The manager's order.
    #[must_use]
    pub fn order(&self) -> Order {
        match self.manager.order.load(Ordering::Acquire) {
            1 => Order::Retire,
            2 => Order::RetireLast,
            _ => Order::Serve,
        }
    }

    /// Whether a guardian will notify the worker of the manager's end.
    #[inline]
    pub(crate) fn is_guarded(&self) -> bool {
        self.manager.guarded.load(Ordering::Acquire) != 0
    }

    /// Whether the manager has ended.
    #[inline]
    pub(crate) fn is_orphaned(&self) -> bool {
        self.manager.orphaned.load(Ordering::Acquire) != 0
    }

    /// Whether the worker should check the hand-over queue. Resets the hint.
    #[inline]
    pub(crate) fn take_handover_hint(&self) -> bool {
        take(&self.manager.handover)
    }

    /// Whether the worker should hand over a keep-alive connection. Resets the request.
    #[inline]
    pub(crate) fn take_rebalance_request(&self) -> bool {
        take(&self.manager.rebalance)
    }

    /// Whether the worker should fork a template. Resets the request.
    #[inline]
    pub(crate) fn take_template_request(&self) -> bool {
        take(&self.manager.template)
    }

    /// How many workers there are.
    #[must_use]
    pub fn pool_size(&self) -> u32 {
        self.manager.pool_size.load(Ordering::Relaxed)
    }

    /// Whether the manager polls the offers, and need not be notified.
    #[must_use]
    pub fn is_polled(&self) -> bool {
        self.manager.polled.load(Ordering::SeqCst) != 0
    }

    /// Where to ask for the status of the pool.
    pub(crate) fn status_key(&self) -> Option<[u64; 2]> {
        let words = self.manager.status_key.each_ref();
        let key = words.map(|word| word.load(Ordering::Relaxed));
        Some(key).filter(|key| *key != [0; 2])
    }

    /// After how many requests the worker notifies the manager; 0: never.
    pub(crate) fn request_limit(&self) -> u64 {
        self.manager.request_limit.load(Ordering::Relaxed)
    }

    /// Whether the manager gave notice of a request that still runs. Async-signal-safe.
    pub(crate) fn notice_given(&self) -> bool {
        self.running(self.manager.notice.load(Ordering::Acquire))
            .is_some()
    }

    /// The request of whose connection the manager wants a copy, and its descriptor, if the request still
    /// runs. Resets the request for it. Async-signal-safe.
    pub(in crate::sys) fn take_copy_request(&self) -> Option<(u64, i32)> {
        let copy = &self.manager.copy;
        if copy.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let request = copy.swap(0, Ordering::Acquire);
        Some((request, self.running(request)?.descriptor()))
    }

    /// The entry of a request that runs. Async-signal-safe.
    fn running(&self, request: u64) -> Option<Entry> {
        let place = usize::try_from(request >> PLACE_SHIFT).ok()?;
        let record = self.records.get(place).filter(|_| request != 0)?;
        (0..TRIES).find_map(|_| match record.find() {
            Found::Entry(entry) => (entry.number == request
                && entry.activity() == Some(Activity::Busy))
            .then_some(entry),
            Found::NeverUsed | Found::Unreadable => None,
        })
    }

    /// Whether any queue is counted.
    pub(crate) fn counts_queues(&self) -> bool {
        self.manager.queues[0].load(Ordering::Relaxed) != 0
    }

    /// The place of the listening socket with this inode among the counted queues.
    pub(crate) fn queue_of(&self, inode: u64) -> Option<usize> {
        let queues = &self.manager.queues;
        queues
            .iter()
            .position(|queue| inode != 0 && queue.load(Ordering::Relaxed) == inode)
    }

    /// One more connection was accepted.
    pub(crate) fn count_accepted(&self, queue: usize) {
        self.counts.accepted[queue].fetch_add(1, Ordering::Release);
    }

    /// The worker is about to offer connections.
    #[inline]
    pub(crate) fn note_offer(&self) {
        self.counts.offered.store(1, Ordering::Relaxed);
    }

    /// One more request was not run, because its client had disconnected.
    pub(crate) fn count_disconnected(&self) {
        self.counts.disconnected.fetch_add(1, Ordering::Relaxed);
    }

    /// Reports that this worker will use its page, before any of its loops does.
    pub(crate) fn announce(&self, now: Duration) {
        if let Some((record, mut entry)) = self.record(0) {
            if !self.has_reported() {
                entry.set_activity(Activity::Starting, now);
                record.publish(&mut entry);
            }
        }
    }

    /// Finished requests of all loops.
    pub(crate) fn requests(&self) -> u64 {
        self.snapshot().map_or(0, |snapshot| snapshot.requests)
    }

    /// The record at a place, and its current entry.
    pub(crate) fn record(&self, place: usize) -> Option<(&Record, Entry)> {
        let record = self.records.get(place)?;
        let entry = match record.find() {
            Found::Entry(entry) => entry,
            Found::NeverUsed | Found::Unreadable => {
                record.reset_tally();
                Entry {
                    number: (place as u64) << PLACE_SHIFT,
                    ..Entry::default()
                }
            }
        };
        Some((record, entry))
    }
}
