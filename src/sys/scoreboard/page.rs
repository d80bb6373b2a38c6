//! One worker's region: what the manager tells it, and what each of its request loops says of itself.

use std::hint;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::time::Duration;

use super::record::{BEGUN, Entry, Found, MID_RECORD, Record};
use super::{Activity, Order};
use crate::sys::scoreboard::offers::OfferList;

/// Request loops of one worker that can be told apart. Others go unreported.
pub const RECORDS: usize = 31;

/// Listen queues of which it is counted what is accepted from them.
pub const QUEUES: usize = 8;

/// Looks at a page that is being written, before it counts as unreadable.
const TRIES: usize = 8;

/// A request's number has the record's place above these bits.
const PLACE_SHIFT: u32 = 56;

/// No worker finishes more; what claims to have counts as this.
const REQUESTS_MAX: u64 = 1 << 53;

/// One worker's region.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct Page {
    manager: ManagerLine,
    counts: Counts,
    records: [Record; RECORDS],
    offers: OfferList,
}

/// What the manager writes for the worker.
#[derive(Debug)]
#[repr(C, align(256))]
struct ManagerLine {
    order: AtomicU32,
    pool_size: AtomicU32,
    request_limit: AtomicU64,
    notice: AtomicU64,
    /// The manager looks at the offers again by itself.
    polled: AtomicU32,
    /// Connections may wait in the hand-over queue for whoever accepts next.
    handover: AtomicU32,
    /// One of several kept connections is wanted elsewhere.
    share: AtomicU32,
    /// The inode numbers of the listening sockets whose queues are counted.
    queues: [AtomicU64; QUEUES],
    /// A process that outlives the manager would tell the worker of its end.
    guarded: AtomicU32,
    /// The manager has ended.
    orphaned: AtomicU32,
}

/// What all loops of the worker count together.
#[derive(Debug)]
#[repr(C, align(256))]
struct Counts {
    hung_up: AtomicU64,
    /// There has been something on the offers.
    offered: AtomicU64,
    /// Connections accepted, by the manager's queues.
    accepted: [AtomicU64; QUEUES],
}

const _: () = assert!(size_of::<Record>() == 512 && size_of::<Page>() == 20 * 1024);

/// What a worker says it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Of the busiest loop.
    pub activity: Activity,
    /// Tells this request from any other of the same worker, in whichever loop. Of a loop that is
    /// not busy, the last one; 0: none yet.
    pub request: u64,
    /// Finished ones, of all loops.
    pub requests: u64,
    /// Since when, on CLOCK_MONOTONIC: of several busy loops the one that has been longest.
    pub since: Duration,
    /// The place of that loop's record.
    pub record: usize,
}

/// What a worker says of the request that it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// The request's method, printable.
    pub method: String,
    /// Its URI, printable and cut.
    pub uri: String,
    /// The number that the connection has in the worker.
    pub fd: i32,
    /// The FastCGI request id.
    pub id: u16,
    /// Bytes of the response may have left.
    pub begun: bool,
    /// The last record that was sent may be incomplete.
    pub mid_record: bool,
}

/// The manager's side.
impl Page {
    /// Has something to say to a new worker. The region is empty.
    pub(super) fn begin(&self, pool_size: u32, request_limit: u64) {
        let line = &self.manager;
        line.order.store(Order::Serve as u32, Ordering::Relaxed);
        line.pool_size.store(pool_size, Ordering::Relaxed);
        line.request_limit.store(request_limit, Ordering::Relaxed);
        line.notice.store(0, Ordering::Release);
    }

    /// Has the worker look into the hand-over queue before it accepts again.
    pub fn set_handover_hint(&self) {
        self.manager.handover.store(1, Ordering::Release);
    }

    /// Has the worker hand a kept connection on before it accepts again, if it has several.
    pub fn request_rebalance(&self) {
        self.manager.share.store(1, Ordering::Release);
    }

    /// Has the worker count what it accepts from these listening sockets, given by inode number; 0: none.
    pub fn set_queues(&self, inodes: [u64; QUEUES]) {
        for (place, inode) in self.manager.queues.iter().zip(inodes) {
            place.store(inode, Ordering::Relaxed);
        }
    }

    /// Connections that the worker says it accepted from one of these queues.
    #[must_use]
    pub fn accepted(&self, queue: usize) -> u64 {
        self.counts.accepted[queue]
            .load(Ordering::Acquire)
            .min(REQUESTS_MAX)
    }

    /// How many loops of the worker may have accepted a connection that they have not counted.
    /// `None`: there may be loops that have no place here.
    #[must_use]
    pub fn accepting(&self) -> Option<u64> {
        let mut count = 0;
        for record in &self.records {
            let activity = match record.find() {
                // Places are taken from the front.
                Found::NeverUsed => return Some(count),
                Found::Unreadable => None,
                Found::Entry(entry) => entry.activity(),
            };
            count += match activity {
                Some(Activity::Idle | Activity::Leaving) | None => 1,
                // A loop that has not been, or is no more, says that it waits before it accepts.
                Some(
                    Activity::Reading | Activity::Busy | Activity::Finished | Activity::Starting,
                ) => 0,
            };
        }
        None
    }

    /// Gives an order. It takes effect at the worker's next look, so a wake-up follows.
    pub fn give_order(&self, order: Order) {
        self.manager.order.store(order as u32, Ordering::Release);
        // Either the worker sees it before it waits, or `only_serves` sees that the worker is about to wait.
        fence(Ordering::SeqCst);
    }

    /// Tells the worker whether somebody other than the kernel would tell it of the manager's end.
    pub fn set_guarded(&self, is_guarded: bool) {
        self.manager
            .guarded
            .store(u32::from(is_guarded), Ordering::Release);
    }

    /// Tells the worker that the manager has ended. A wake-up follows, as with an order.
    pub fn orphan(&self) {
        self.manager.orphaned.store(1, Ordering::Release);
        fence(Ordering::SeqCst);
    }

    /// The connections that the worker offers.
    #[must_use]
    pub fn offers(&self) -> &OfferList {
        &self.offers
    }

    /// Tells the worker whether its offers are looked for.
    pub fn set_polled(&self, polled: bool) {
        self.manager
            .polled
            .store(u32::from(polled), Ordering::SeqCst);
    }

    /// Tells the worker how many workers there are.
    pub fn set_pool_size(&self, pool_size: u32) {
        self.manager.pool_size.store(pool_size, Ordering::Relaxed);
    }

    /// Tells the worker that this request ([`Snapshot::request`]) has run for too long.
    pub fn give_notice(&self, request: u64) {
        self.manager.notice.store(request, Ordering::Release);
    }

    /// What the worker says it does. `None`: what stands there means nothing, or could not be read
    /// this time.
    #[must_use]
    pub fn look(&self) -> Option<Snapshot> {
        (0..TRIES).find_map(|_| {
            let look = self.look_once();
            if look.is_none() {
                hint::spin_loop();
            }
            look
        })
    }

    /// The activity alone.
    #[must_use]
    pub fn activity(&self) -> Option<Activity> {
        self.look().map(|look| look.activity)
    }

    /// Whether some loop of the worker runs the application for a request, and none waits.
    #[must_use]
    pub fn only_serves(&self) -> bool {
        let mut serves = false;
        for record in &self.records {
            let activity = match record.find() {
                // Places are taken from the front.
                Found::NeverUsed => break,
                Found::Unreadable => None,
                Found::Entry(entry) => entry.activity(),
            };
            match activity {
                Some(Activity::Busy) => serves = true,
                Some(Activity::Finished | Activity::Leaving | Activity::Starting) => {}
                Some(Activity::Idle | Activity::Reading) | None => return false,
            }
        }
        serves
    }

    /// Requests that the worker did not run, because their clients had disconnected.
    #[must_use]
    pub fn hung_up(&self) -> u64 {
        self.counts
            .hung_up
            .load(Ordering::Relaxed)
            .min(REQUESTS_MAX)
    }

    /// Whether the worker has ever offered a connection.
    #[must_use]
    pub fn has_offered(&self) -> bool {
        self.counts.offered.load(Ordering::Relaxed) != 0
    }

    /// Whether the worker has said anything at all.
    #[must_use]
    pub fn has_spoken(&self) -> bool {
        match self.records[0].find() {
            Found::NeverUsed => false,
            Found::Unreadable | Found::Entry(_) => true,
        }
    }

    /// More about the request that a look showed. `None`: it is no longer the one that runs.
    #[must_use]
    pub fn details(&self, look: &Snapshot) -> Option<Details> {
        let record = self.records.get(look.record)?;
        let (method, uri) = (record.method.printable(), record.uri.printable());
        // The text was written before the line, and is written anew only after another line was.
        fence(Ordering::Acquire);
        let entry = (0..TRIES).find_map(|_| match record.find() {
            Found::Entry(entry) => Some(entry),
            Found::NeverUsed | Found::Unreadable => None,
        })?;
        if entry.activity()? != Activity::Busy || entry.number != look.request {
            return None;
        }
        Some(Details {
            method,
            uri,
            fd: (entry.state >> 32) as u32 as i32,
            id: (entry.state >> 16) as u16,
            begun: entry.state & BEGUN != 0,
            mid_record: entry.state & MID_RECORD != 0,
        })
    }

    fn look_once(&self) -> Option<Snapshot> {
        let mut seen = Snapshot {
            activity: Activity::Starting,
            request: 0,
            requests: 0,
            since: Duration::ZERO,
            record: 0,
        };
        for (place, record) in self.records.iter().enumerate() {
            let entry = match record.find() {
                // Places are taken from the front.
                Found::NeverUsed => break,
                Found::Unreadable => return None,
                Found::Entry(entry) => entry,
            };
            if entry.number >> PLACE_SHIFT != place as u64 {
                return None;
            }
            let activity = entry.activity()?;
            let requests = seen.requests.saturating_add(entry.finished);
            let look = Snapshot {
                activity,
                request: entry.number,
                requests: 0,
                since: Duration::from_micros(entry.since),
                record: place,
            };
            if place == 0 || look.shows_more_than(&seen) {
                seen = look;
            }
            seen.requests = requests.min(REQUESTS_MAX);
        }
        Some(seen)
    }
}

#[inline]
fn take(flag: &AtomicU32) -> bool {
    flag.load(Ordering::Relaxed) != 0 && flag.swap(0, Ordering::Acquire) != 0
}

impl Snapshot {
    /// Whether the worker says that it has run the application for any request.
    #[must_use]
    pub fn has_taken_a_request(&self) -> bool {
        self.requests > 0 || self.request << (u64::BITS - PLACE_SHIFT) != 0
    }

    fn shows_more_than(&self, other: &Self) -> bool {
        let rank = |activity| match activity {
            Activity::Starting => 0,
            Activity::Leaving => 1,
            Activity::Idle => 2,
            Activity::Finished => 3,
            Activity::Reading => 4,
            Activity::Busy => 5,
        };
        match rank(self.activity).cmp(&rank(other.activity)) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Greater => true,
            // The worker is idle only since the last of its loops is.
            std::cmp::Ordering::Equal => match self.activity {
                Activity::Idle | Activity::Leaving | Activity::Starting => self.since > other.since,
                Activity::Finished | Activity::Reading | Activity::Busy => self.since < other.since,
            },
        }
    }
}

/// The worker's side.
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

    /// Whether somebody other than the kernel would tell of the manager's end.
    #[inline]
    pub(crate) fn is_guarded(&self) -> bool {
        self.manager.guarded.load(Ordering::Acquire) != 0
    }

    /// Whether the manager has ended.
    #[inline]
    pub(crate) fn is_orphaned(&self) -> bool {
        self.manager.orphaned.load(Ordering::Acquire) != 0
    }

    /// Whether the worker is to look into the hand-over queue. That it is, is forgotten.
    #[inline]
    pub(crate) fn take_handover_hint(&self) -> bool {
        take(&self.manager.handover)
    }

    /// Whether the worker is to hand a kept connection on, likewise.
    #[inline]
    pub(crate) fn take_wish_to_share(&self) -> bool {
        take(&self.manager.share)
    }

    /// How many workers there are.
    #[must_use]
    pub fn pool_size(&self) -> u32 {
        self.manager.pool_size.load(Ordering::Relaxed)
    }

    /// Whether the manager looks for offers by itself.
    #[must_use]
    pub fn is_polled(&self) -> bool {
        self.manager.polled.load(Ordering::SeqCst) != 0
    }

    /// After how many requests the manager wants to be told; 0: never.
    pub(crate) fn request_limit(&self) -> u64 {
        self.manager.request_limit.load(Ordering::Relaxed)
    }

    /// Whether the manager gave notice of a request that still runs. Async-signal-safe.
    pub(crate) fn notice_given(&self) -> bool {
        let notice = self.manager.notice.load(Ordering::Acquire);
        let place = usize::try_from(notice >> PLACE_SHIFT).unwrap_or(usize::MAX);
        notice != 0
            && self.records.get(place).is_some_and(|record| {
                (0..TRIES).any(|_| match record.find() {
                    Found::Entry(entry) => {
                        entry.number == notice && entry.activity() == Some(Activity::Busy)
                    }
                    Found::NeverUsed | Found::Unreadable => false,
                })
            })
    }

    /// Whether any queue is counted.
    pub(crate) fn counts_queues(&self) -> bool {
        self.manager.queues[0].load(Ordering::Relaxed) != 0
    }

    /// The place of the listening socket of this inode among the queues that are counted.
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

    /// The offers is about to be used.
    #[inline]
    pub(crate) fn note_offer(&self) {
        self.counts.offered.store(1, Ordering::Relaxed);
    }

    /// One more request was not run, because its client had disconnected.
    pub(crate) fn count_hung_up(&self) {
        self.counts.hung_up.fetch_add(1, Ordering::Relaxed);
    }

    /// Says that this worker will speak, before any of its loops does.
    pub(crate) fn announce(&self, now: Duration) {
        if let Some((record, mut entry)) = self.record(0)
            && !self.has_spoken()
        {
            entry.turn_to(Activity::Starting, now);
            record.publish(&mut entry);
        }
    }

    /// Finished requests of all loops.
    pub(crate) fn requests(&self) -> u64 {
        self.look().map_or(0, |look| look.requests)
    }

    /// The record at a place, and what stands in it.
    pub(crate) fn record(&self, place: usize) -> Option<(&Record, Entry)> {
        let record = self.records.get(place)?;
        let entry = match record.find() {
            Found::Entry(entry) => entry,
            Found::NeverUsed | Found::Unreadable => Entry {
                number: (place as u64) << PLACE_SHIFT,
                ..Entry::default()
            },
        };
        Some((record, entry))
    }
}
