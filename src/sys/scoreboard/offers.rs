//! The connections that stand aside in a worker while it runs the application: the manager may take copies
//! of them, and give them to workers that have nothing to do.
//!
//! The worker offers them, and takes them back before it looks at any of them again; the manager takes in
//! between. One word decides who has them. As with everything here, what a worker writes may be anything:
//! the numbers are looked up among that worker's own descriptors only.

use std::sync::atomic::{AtomicU32, Ordering};

/// Connections beyond this are not offered.
const PLACES: usize = 1_000;

const CLOSED: u32 = 0;
const OFFERED: u32 = 1;
const TAKING: u32 = 2;
const TAKEN: u32 = 3;

/// A bit of a place: nothing has arrived on this connection.
const SILENT: u32 = 1 << 30;
/// A bit of a place: another worker has it.
const CLAIMED: u32 = 1 << 31;

/// See above.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct OfferList {
    state: AtomicU32,
    /// Counts the offers, so that one between two looks is noticed.
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
    /// Nothing has arrived on it.
    pub silent: bool,
}

/// The worker's side.
impl OfferList {
    /// Offers connections: their numbers, and whether nothing has arrived on them. False: there are none.
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

    /// Takes back what was offered. `wait` is called while the manager is at it, and says whether it still is there. The
    /// result tells for each, in the order of the offer, whether another worker has it; `None`: none has.
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
                // Nobody came; or what stands here is nobody's word.
                (Ok(_), _) => return None,
                // Somebody came just now.
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

    /// Keeps the worker from taking back what it offered, until [`end_taking`](Self::end_taking). False: it has.
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

    /// Another worker will have it.
    pub fn claim(&self, offered: Offered) {
        if let Some(place) = self.places.get(offered.place) {
            place.fetch_or(CLAIMED, Ordering::Relaxed);
        }
    }

    /// Whoever was taking is gone, perhaps before the end: the worker may go on.
    pub fn give_up_taking(&self) {
        let given_up =
            self.state
                .compare_exchange(TAKING, TAKEN, Ordering::Release, Ordering::Relaxed);
        // It had ended.
        let _ = given_up;
    }

    /// The worker may go on.
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
        panic!("nobody is at it")
    }

    #[test]
    fn what_nobody_took_is_taken_back() {
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
    fn what_was_passed_on_is_told() {
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
        // The next offer has no trace of it.
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
    fn whoever_takes_is_waited_for_until_it_is_gone() {
        let list = list();
        assert!(list.offer([(7, false)].into_iter()));
        assert!(list.begin_taking());
        let mut looks = 0;
        let wait = || {
            looks += 1;
            if looks == 3 {
                list.end_taking();
            }
            true
        };
        assert_eq!(list.reclaim(wait).unwrap().next(), Some(false));
        assert_eq!(looks, 3);
        assert!(list.offer([(7, false)].into_iter()));
        assert!(list.begin_taking());
        assert_eq!(list.reclaim(|| false).unwrap().next(), Some(false));
    }

    #[test]
    fn a_state_that_is_none_is_waited_for_by_nobody() {
        let list = list();
        assert!(list.offer([(7, false)].into_iter()));
        list.state.store(77, Ordering::Relaxed);
        assert!(!list.begin_taking());
        assert!(list.reclaim(never).is_none());
        assert_eq!(list.state.load(Ordering::Relaxed), CLOSED);
    }

    #[test]
    fn a_count_that_is_a_lie_and_more_than_fits_are_cut() {
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
