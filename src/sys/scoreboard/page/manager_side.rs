//! The manager's side of a region: it writes the first line, and reads what the worker reports.

use std::hint;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use super::{Page, QUEUES, REQUESTS_MAX, TRIES};
use crate::sys::scoreboard::offers::OfferList;
use crate::sys::scoreboard::record::{BEGUN, Found, MID_RECORD};
use crate::sys::scoreboard::status::{Activity, Details, Order, Snapshot};
use crate::sys::scoreboard::tally::Tallies;
use crate::sys::scoreboard::version::PLACE_SHIFT;

impl Page {
    /// Writes the first line for a new worker. The region is empty.
    pub(in crate::sys::scoreboard) fn begin(&self, pool_size: u32, request_limit: u64) {
        let line = &self.manager;
        line.order.store(Order::Serve as u32, Ordering::Relaxed);
        line.pool_size.store(pool_size, Ordering::Relaxed);
        line.request_limit.store(request_limit, Ordering::Relaxed);
        line.notice.store(0, Ordering::Release);
    }

    /// Makes the worker check the hand-over queue before it accepts again.
    pub fn set_handover_hint(&self) {
        self.manager.handover.store(1, Ordering::Release);
    }

    /// Makes the worker hand over a keep-alive connection before it accepts again, if it has
    /// several.
    pub fn request_rebalance(&self) {
        self.manager.rebalance.store(1, Ordering::Release);
    }

    /// Makes the worker fork a template before it accepts again. A wake-up must follow.
    pub fn request_template(&self) {
        self.manager.template.store(1, Ordering::Release);
        fence(Ordering::SeqCst);
    }

    /// After how many requests the worker notifies the manager; 0: never.
    pub fn set_request_limit(&self, limit: u64) {
        self.manager.request_limit.store(limit, Ordering::Relaxed);
    }

    /// Makes the worker count what it accepts from these listening sockets, given by inode number;
    /// 0: none.
    pub fn set_queues(&self, inodes: [u64; QUEUES]) {
        for (place, inode) in self.manager.queues.iter().zip(inodes) {
            place.store(inode, Ordering::Relaxed);
        }
    }

    /// Sets where the worker asks for the status of the pool; zeroes: nowhere.
    pub fn set_status_key(&self, key: [u64; 2]) {
        for (word, part) in self.manager.status_key.iter().zip(key) {
            word.store(part, Ordering::Relaxed);
        }
    }

    /// Connections that the worker reports as accepted from one of these queues.
    #[must_use]
    pub fn accepted(&self, queue: usize) -> u64 {
        self.counts.accepted[queue]
            .load(Ordering::Acquire)
            .min(REQUESTS_MAX)
    }

    /// How many loops of the worker may have accepted a connection that they have not counted yet.
    /// `None`: there may be loops without a record.
    #[must_use]
    pub fn accepting(&self) -> Option<u64> {
        let mut count = 0;
        for record in &self.records {
            let activity = match record.find() {
                // Records are taken in order.
                Found::NeverUsed => return Some(count),
                Found::Unreadable => None,
                Found::Entry(entry) => entry.activity(),
            };
            count += match activity {
                Some(Activity::Idle | Activity::Exiting) | None => 1,
                // A loop that has not begun, or has ended, reports that it waits before it accepts.
                Some(
                    Activity::Reading | Activity::Busy | Activity::Finished | Activity::Starting,
                ) => 0,
            };
        }
        None
    }

    /// Gives an order. The worker sees it at its next check, so a wake-up must follow.
    pub fn give_order(&self, order: Order) {
        self.manager.order.store(order as u32, Ordering::Release);
        // Either the worker sees it before it waits, or `only_serves` sees that it is about to
        // wait.
        fence(Ordering::SeqCst);
    }

    /// Publishes whether a guardian will notify the worker of the manager's end.
    pub fn set_guarded(&self, is_guarded: bool) {
        self.manager
            .guarded
            .store(u32::from(is_guarded), Ordering::Release);
    }

    /// Publishes that the manager has ended. A wake-up must follow, as with an order.
    pub fn orphan(&self) {
        self.manager.orphaned.store(1, Ordering::Release);
        fence(Ordering::SeqCst);
    }

    /// The connections that the worker offers.
    #[must_use]
    pub fn offers(&self) -> &OfferList {
        &self.offers
    }

    /// Publishes whether the manager polls the worker's offers.
    pub fn set_polled(&self, polled: bool) {
        self.manager
            .polled
            .store(u32::from(polled), Ordering::SeqCst);
    }

    /// Publishes how many workers there are.
    pub fn set_pool_size(&self, pool_size: u32) {
        self.manager.pool_size.store(pool_size, Ordering::Relaxed);
    }

    /// Gives notice that this request ([`Snapshot::request`]) has run for too long.
    pub fn give_notice(&self, request: u64) {
        self.manager.notice.store(request, Ordering::Release);
    }

    /// Asks for a copy of the connection with this request ([`Snapshot::request`]). A wake-up must
    /// follow.
    pub fn request_copy(&self, request: u64) {
        self.manager.copy.store(request, Ordering::Release);
    }

    /// What the worker reports. `None`: the report is invalid, or could not be read this time.
    #[must_use]
    pub fn snapshot(&self) -> Option<Snapshot> {
        (0..TRIES).find_map(|_| {
            let snapshot = self.try_snapshot();
            if snapshot.is_none() {
                hint::spin_loop();
            }
            snapshot
        })
    }

    /// The activity alone.
    #[must_use]
    pub fn activity(&self) -> Option<Activity> {
        self.snapshot().map(|snapshot| snapshot.activity)
    }

    /// Whether some loop of the worker runs the application for a request, and none waits.
    #[must_use]
    pub fn only_serves(&self) -> bool {
        let mut serves = false;
        for record in &self.records {
            let activity = match record.find() {
                // Records are taken in order.
                Found::NeverUsed => break,
                Found::Unreadable => None,
                Found::Entry(entry) => entry.activity(),
            };
            match activity {
                Some(Activity::Busy) => serves = true,
                Some(Activity::Finished | Activity::Exiting | Activity::Starting) => {}
                Some(Activity::Idle | Activity::Reading) | None => return false,
            }
        }
        serves
    }

    /// Requests that the worker did not run, because their clients had disconnected.
    #[must_use]
    pub fn disconnected(&self) -> u64 {
        self.counts
            .disconnected
            .load(Ordering::Relaxed)
            .min(REQUESTS_MAX)
    }

    /// What the worker has counted of its requests since it was forked, as far as that is possible in
    /// this time.
    #[must_use]
    pub fn tallies(&self, age: Duration) -> Tallies {
        let mut sums = Tallies::default();
        for record in &self.records {
            // Records are taken in order.
            if record.find() == Found::NeverUsed {
                break;
            }
            if let Some(more) = record.tallies(age) {
                sums.add(&more);
            }
        }
        sums
    }

    /// Whether the worker has ever offered a connection.
    #[must_use]
    pub fn has_offered(&self) -> bool {
        self.counts.offered.load(Ordering::Relaxed) != 0
    }

    /// Whether the worker has reported anything.
    #[must_use]
    pub fn has_reported(&self) -> bool {
        match self.records[0].find() {
            Found::NeverUsed => false,
            Found::Unreadable | Found::Entry(_) => true,
        }
    }

    /// More about the request in a snapshot. `None`: that request no longer runs.
    #[must_use]
    pub fn details(&self, snapshot: &Snapshot) -> Option<Details> {
        let record = self.records.get(snapshot.record)?;
        let (method, uri) = (record.method.printable(), record.uri.printable());
        let (request_id, trace_id) = (record.request_id.printable(), record.trace_id.printable());
        // The text was written before the line, and is overwritten only after another line was.
        fence(Ordering::Acquire);
        let entry = (0..TRIES).find_map(|_| match record.find() {
            Found::Entry(entry) => Some(entry),
            Found::NeverUsed | Found::Unreadable => None,
        })?;
        if entry.activity()? != Activity::Busy || entry.number != snapshot.request {
            return None;
        }
        Some(Details {
            method,
            uri,
            request_id,
            trace_id,
            fd: entry.descriptor(),
            id: (entry.state >> 16) as u16,
            begun: entry.state & BEGUN != 0,
            mid_record: entry.state & MID_RECORD != 0,
        })
    }

    fn try_snapshot(&self) -> Option<Snapshot> {
        let mut busiest = Snapshot {
            activity: Activity::Starting,
            request: 0,
            requests: 0,
            since: Duration::ZERO,
            record: 0,
        };
        for (place, record) in self.records.iter().enumerate() {
            let entry = match record.find() {
                // Records are taken in order.
                Found::NeverUsed => break,
                Found::Unreadable => return None,
                Found::Entry(entry) => entry,
            };
            if entry.number >> PLACE_SHIFT != place as u64 {
                return None;
            }
            let activity = entry.activity()?;
            let requests = busiest.requests.saturating_add(entry.finished);
            let snapshot = Snapshot {
                activity,
                request: entry.number,
                requests: 0,
                since: Duration::from_micros(entry.since),
                record: place,
            };
            if place == 0 || snapshot.shows_more_than(&busiest) {
                busiest = snapshot;
            }
            busiest.requests = requests.min(REQUESTS_MAX);
        }
        Some(busiest)
    }
}
