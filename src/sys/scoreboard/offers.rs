//! The parked connections of a worker that runs the application. The manager may claim copies of
//! them for workers that are idle.
//!
//! The worker offers them, and reclaims them before it uses any of them again. In between, the
//! manager may take them. One word decides who has them:
//!
//! | state | offer | begin taking | end taking | reclaim |
//! |---|---|---|---|---|
//! | closed | → offered | | | |
//! | offered | | → taking | | → closed: all are still the worker's |
//! | taking | | | → taken | waits; → closed if the taker no longer exists |
//! | taken | | | | → closed: without those that were claimed |
//!
//! As everywhere here, a worker may write anything. So the manager uses the numbers only to look up
//! descriptors of that worker.

use std::sync::atomic::{AtomicU32, Ordering};

/// Connections beyond this are not offered.
const PLACES: usize = 1_000;

const CLOSED: u32 = 0;
const OFFERED: u32 = 1;
const TAKING: u32 = 2;
const TAKEN: u32 = 3;

/// A bit of a place: no data has arrived on this connection.
const SILENT: u32 = 1 << 30;
/// A bit of a place: the connection is another worker's now.
const CLAIMED: u32 = 1 << 31;

/// The list, in shared memory.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct OfferList {
    state: AtomicU32,
    /// Counts the offers, so that one between two polls is noticed.
    made: AtomicU32,
    count: AtomicU32,
    places: [AtomicU32; PLACES],
}

/// One connection on offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offered {
    place: usize,
    /// Its number in the worker.
    pub fd: i32,
    /// No data has arrived on it.
    pub silent: bool,
}

/// The worker's side.
impl OfferList {
    /// Offers connections: their descriptors, and whether no data has arrived on them. False: there
    /// are none.
    pub fn offer(&self, connections: impl Iterator<Item = (i32, bool)>) -> bool {
        let mut count = 0;
        for (place, (fd, silent)) in self.places.iter().zip(connections) {
            let silent = if silent { SILENT } else { 0 };
            place.store(fd as u32 & !(SILENT | CLAIMED) | silent, Ordering::Relaxed);
            count += 1;
        }
        if count == 0 {
            return false;
        }
        self.count.store(count, Ordering::Relaxed);
        self.state.store(OFFERED, Ordering::Release);
        self.made.fetch_add(1, Ordering::SeqCst);
        true
    }

    /// Takes back what was offered. While the manager is taking, `wait` is called; it returns
    /// whether the taker still exists. The result is, in the order of the offer, whether another
    /// worker has each connection; `None`: all are still this worker's.
    pub fn reclaim(
        &self,
        mut wait: impl FnMut() -> bool,
    ) -> Option<impl Iterator<Item = bool> + '_> {
        loop {
            let from = self.state.load(Ordering::Acquire);
            if from == TAKING && wait() {
                continue;
            }
            let closed =
                self.state
                    .compare_exchange(from, CLOSED, Ordering::Acquire, Ordering::Relaxed);
            match (closed, from) {
                (Ok(_), TAKEN | TAKING) => break,
                // Nothing was taken; or the word has an invalid value.
                (Ok(_), _) => return None,
                // The manager has just begun or ended to take.
                (Err(_), _) => {}
            }
        }
        let places = self.places.iter();
        Some(places.map(|place| place.load(Ordering::Relaxed) & CLAIMED != 0))
    }
}

/// The manager's side.
impl OfferList {
    /// Whether something is on offer.
    #[must_use]
    pub fn is_offered(&self) -> bool {
        self.state.load(Ordering::Relaxed) == OFFERED
    }

    /// How many offers were made so far.
    #[must_use]
    pub fn made(&self) -> u32 {
        self.made.load(Ordering::SeqCst)
    }

    /// Keeps the worker from reclaiming what it offered, until [`end_taking`](Self::end_taking).
    /// False: nothing is offered any more.
    #[must_use]
    pub fn begin_taking(&self) -> bool {
        self.state
            .compare_exchange(OFFERED, TAKING, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// What is on offer.
    pub fn offered(&self) -> impl Iterator<Item = Offered> + '_ {
        let count = self.count.load(Ordering::Relaxed) as usize;
        let places = self.places.iter().take(count).enumerate();
        places.map(|(place, bits)| {
            let bits = bits.load(Ordering::Relaxed);
            Offered {
                place,
                fd: (bits & !(SILENT | CLAIMED)) as i32,
                silent: bits & SILENT != 0,
            }
        })
    }

    /// Gives one of them to another worker.
    pub fn claim(&self, offered: Offered) {
        if let Some(place) = self.places.get(offered.place) {
            place.fetch_or(CLAIMED, Ordering::Relaxed);
        }
    }

    /// The process that was taking has exited, perhaps before it was done: the worker may continue.
    pub fn abort_taking(&self) {
        let aborted =
            self.state
                .compare_exchange(TAKING, TAKEN, Ordering::Release, Ordering::Relaxed);
        // It fails if taking had ended.
        let _ = aborted;
    }

    /// The worker may continue.
    pub fn end_taking(&self) {
        self.state.store(TAKEN, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> Box<OfferList> {
        Box::new(OfferList {
            state: AtomicU32::new(0),
            made: AtomicU32::new(0),
            count: AtomicU32::new(0),
            places: [const { AtomicU32::new(0) }; PLACES],
        })
    }

    fn never() -> bool {
        panic!("the manager is not taking")
    }

    #[test]
    fn what_was_not_taken_is_reclaimed() {
        let list = list();
        assert!(!list.offer([].into_iter()));
        assert!(!list.begin_taking());
        assert!(list.offer([(7, false)].into_iter()));
        assert!(list.is_offered());
        assert!(list.reclaim(never).is_none());
        assert!(!list.is_offered() && !list.begin_taking());
        assert_eq!(list.made(), 1);
    }

    #[test]
    fn reclaim_reports_what_was_claimed() {
        let list = list();
        assert!(list.offer([(7, false), (8, true), (9, false)].into_iter()));
        assert!(list.begin_taking());
        let offered: Vec<_> = list.offered().collect();
        let seen: Vec<_> = offered.iter().map(|one| (one.fd, one.silent)).collect();
        assert_eq!(seen, [(7, false), (8, true), (9, false)]);
        list.claim(offered[1]);
        list.end_taking();
        let claimed: Vec<_> = list.reclaim(never).unwrap().take(3).collect();
        assert_eq!(claimed, [false, true, false]);
        // The next offer begins without claims.
        assert!(list.offer([(8, false)].into_iter()));
        assert!(list.begin_taking());
        assert_eq!(
            list.offered().next().map(|one| (one.fd, one.silent)),
            Some((8, false))
        );
        list.end_taking();
        assert_eq!(list.reclaim(never).unwrap().next(), Some(false));
    }

    #[test]
    fn reclaim_waits_for_the_taker_until_it_has_exited() {
        let list = list();
        assert!(list.offer([(7, false)].into_iter()));
        assert!(list.begin_taking());
        let mut calls = 0;
        let wait = || {
            calls += 1;
            if calls == 3 {
                list.end_taking();
            }
            true
        };
        assert_eq!(list.reclaim(wait).unwrap().next(), Some(false));
        assert_eq!(calls, 3);
        assert!(list.offer([(7, false)].into_iter()));
        assert!(list.begin_taking());
        assert_eq!(list.reclaim(|| false).unwrap().next(), Some(false));
    }

    #[test]
    fn reclaim_does_not_wait_on_an_invalid_state() {
        let list = list();
        assert!(list.offer([(7, false)].into_iter()));
        list.state.store(77, Ordering::Relaxed);
        assert!(!list.begin_taking());
        assert!(list.reclaim(never).is_none());
        assert_eq!(list.state.load(Ordering::Relaxed), CLOSED);
    }

    #[test]
    fn false_counts_and_long_offers_are_truncated() {
        let list = list();
        list.count.store(u32::MAX, Ordering::Relaxed);
        list.state.store(OFFERED, Ordering::Relaxed);
        assert!(list.begin_taking());
        assert_eq!(list.offered().count(), PLACES);
        list.state.store(CLOSED, Ordering::Relaxed);
        assert!(list.offer((0..5_000).map(|fd| (fd, false))));
        assert!(list.begin_taking());
        assert_eq!(list.offered().count(), PLACES);
    }
}
