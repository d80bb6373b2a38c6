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
const PASSED: u32 = 1 << 31;

/// See above.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct Shelf {
    state: AtomicU32,
    /// Counts the offers, so that one between two looks is noticed.
    offers: AtomicU32,
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
impl Shelf {
    /// Offers connections: their numbers, and whether nothing has arrived on them. False: there are none.
    pub fn offer(&self, connections: impl Iterator<Item = (i32, bool)>) -> bool {
        let mut count = 0;
        for (place, (fd, silent)) in self.places.iter().zip(connections) {
            let silent = if silent { SILENT } else { 0 };
            place.store(fd as u32 & !(SILENT | PASSED) | silent, Ordering::Relaxed);
            count += 1;
        }
        if count == 0 {
            return false;
        }
        self.count.store(count, Ordering::Relaxed);
        self.state.store(OFFERED, Ordering::Release);
        self.offers.fetch_add(1, Ordering::SeqCst);
        true
    }

    /// Takes back what was offered. `wait` is called while the manager is at it, and says whether it still is there. The
    /// result tells for each, in the order of the offer, whether another worker has it; `None`: none has.
    pub fn take_back(
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
        Some(places.map(|place| place.load(Ordering::Relaxed) & PASSED != 0))
    }
}

/// The manager's side.
impl Shelf {
    /// Whether something is on offer.
    #[must_use]
    pub fn is_offered(&self) -> bool {
        self.state.load(Ordering::Relaxed) == OFFERED
    }

    /// How many offers were made so far.
    #[must_use]
    pub fn offers(&self) -> u32 {
        self.offers.load(Ordering::SeqCst)
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
                fd: (bits & !(SILENT | PASSED)) as i32,
                silent: bits & SILENT != 0,
            }
        })
    }

    /// Another worker will have it.
    pub fn pass(&self, offered: Offered) {
        if let Some(place) = self.places.get(offered.place) {
            place.fetch_or(PASSED, Ordering::Relaxed);
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

    fn shelf() -> Box<Shelf> {
        Box::new(Shelf {
            state: AtomicU32::new(0),
            offers: AtomicU32::new(0),
            count: AtomicU32::new(0),
            places: [const { AtomicU32::new(0) }; PLACES],
        })
    }

    fn never() -> bool {
        panic!("nobody is at it")
    }

    #[test]
    fn what_nobody_took_is_taken_back() {
        let shelf = shelf();
        assert!(!shelf.offer([].into_iter()));
        assert!(!shelf.begin_taking());
        assert!(shelf.offer([(7, false)].into_iter()));
        assert!(shelf.is_offered());
        assert!(shelf.take_back(never).is_none());
        assert!(!shelf.is_offered() && !shelf.begin_taking());
        assert_eq!(shelf.offers(), 1);
    }

    #[test]
    fn what_was_passed_on_is_told() {
        let shelf = shelf();
        assert!(shelf.offer([(7, false), (8, true), (9, false)].into_iter()));
        assert!(shelf.begin_taking());
        let offered: Vec<_> = shelf.offered().collect();
        let seen: Vec<_> = offered.iter().map(|one| (one.fd, one.silent)).collect();
        assert_eq!(seen, [(7, false), (8, true), (9, false)]);
        shelf.pass(offered[1]);
        shelf.end_taking();
        let passed: Vec<_> = shelf.take_back(never).unwrap().take(3).collect();
        assert_eq!(passed, [false, true, false]);
        // The next offer has no trace of it.
        assert!(shelf.offer([(8, false)].into_iter()));
        assert!(shelf.begin_taking());
        assert_eq!(
            shelf.offered().next().map(|one| (one.fd, one.silent)),
            Some((8, false))
        );
        shelf.end_taking();
        assert_eq!(shelf.take_back(never).unwrap().next(), Some(false));
    }

    #[test]
    fn whoever_takes_is_waited_for_until_it_is_gone() {
        let shelf = shelf();
        assert!(shelf.offer([(7, false)].into_iter()));
        assert!(shelf.begin_taking());
        let mut looks = 0;
        let wait = || {
            looks += 1;
            if looks == 3 {
                shelf.end_taking();
            }
            true
        };
        assert_eq!(shelf.take_back(wait).unwrap().next(), Some(false));
        assert_eq!(looks, 3);
        assert!(shelf.offer([(7, false)].into_iter()));
        assert!(shelf.begin_taking());
        assert_eq!(shelf.take_back(|| false).unwrap().next(), Some(false));
    }

    #[test]
    fn a_state_that_is_none_is_waited_for_by_nobody() {
        let shelf = shelf();
        assert!(shelf.offer([(7, false)].into_iter()));
        shelf.state.store(77, Ordering::Relaxed);
        assert!(!shelf.begin_taking());
        assert!(shelf.take_back(never).is_none());
        assert_eq!(shelf.state.load(Ordering::Relaxed), CLOSED);
    }

    #[test]
    fn a_count_that_is_a_lie_and_more_than_fits_are_cut() {
        let shelf = shelf();
        shelf.count.store(u32::MAX, Ordering::Relaxed);
        shelf.state.store(OFFERED, Ordering::Relaxed);
        assert!(shelf.begin_taking());
        assert_eq!(shelf.offered().count(), PLACES);
        shelf.state.store(CLOSED, Ordering::Relaxed);
        assert!(shelf.offer((0..5_000).map(|fd| (fd, false))));
        assert!(shelf.begin_taking());
        assert_eq!(shelf.offered().count(), PLACES);
    }
}
