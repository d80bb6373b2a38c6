//! What a request loop counts of the requests that it has finished, and their sum over loops and workers.
//!
//! Only the loop itself writes its counters, so it adds without a locked instruction. The sealed line of
//! its record has the number of finished requests: the counters are believed only if their durations
//! add up to it. So random bytes count as nothing, and a false line can claim only what a worker can
//! have done in the time that it has existed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets of durations and waits. There is one more bucket, for longer ones.
pub const DURATION_BOUNDS: [Duration; 13] = [
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_millis(1_000),
    Duration::from_millis(2_500),
    Duration::from_millis(5_000),
    Duration::from_millis(10_000),
    Duration::from_millis(30_000),
    Duration::from_millis(60_000),
];

/// The classes of responses: those without a valid status, then 2xx to 5xx.
pub const CLASSES: usize = 5;

const BOUNDS_IN_MICROS: [u64; DURATION_BOUNDS.len()] = {
    let mut micros = [0; DURATION_BOUNDS.len()];
    let mut place = 0;
    while place < micros.len() {
        micros[place] = DURATION_BOUNDS[place].as_micros() as u64;
        place += 1;
    }
    micros
};

const BUCKETS: usize = DURATION_BOUNDS.len() + 1;

/// A wait that is longer was not measured, but invented.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(3_600);

/// Bytes that a worker can have transferred in a microsecond.
const BYTES_PER_MICRO: u64 = 1 << 17;

/// A request that was finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// The status of the response; 0: none.
    pub status: u16,
    /// Bytes of input that arrived.
    pub received: u64,
    /// Bytes of the response that were passed to the kernel.
    pub sent: u64,
    /// The web server aborted the request, or closed the connection before the end of the response.
    pub aborted: bool,
    /// How long it waited since the web server received it, at most an hour. `None`: not known.
    pub queue_wait: Option<Duration>,
}

/// The counters of one loop.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Tally {
    durations: [AtomicU64; BUCKETS],
    /// In microseconds.
    duration: AtomicU64,
    responses: [AtomicU64; CLASSES],
    received: AtomicU64,
    sent: AtomicU64,
    aborted: AtomicU64,
    waits: [AtomicU64; BUCKETS],
    /// In microseconds.
    wait: AtomicU64,
}

/// A sum of counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tallies {
    /// Requests by duration, each in one bucket.
    pub durations: [u64; BUCKETS],
    /// The sum of the durations, in microseconds.
    pub duration: u64,
    /// Requests by class of the response.
    pub responses: [u64; CLASSES],
    /// Bytes of input.
    pub received: u64,
    /// Bytes of responses.
    pub sent: u64,
    /// Requests that the web server aborted.
    pub aborted: u64,
    /// Requests by the time that they waited for a worker, as far as that is known.
    pub waits: [u64; BUCKETS],
    /// The sum of these times, in microseconds.
    pub wait: u64,
}

/// Requests that a worker can have finished in this time.
#[must_use]
pub fn possible_requests(age: Duration) -> u64 {
    u64::try_from(age.as_micros()).unwrap_or(u64::MAX)
}

impl Tally {
    /// Adds a request.
    #[inline]
    pub(super) fn add(&self, micros: u64, served: &Served) {
        add(&self.durations, bucket_of(micros), 1);
        increase(&self.duration, micros);
        add(&self.responses, class_of(served.status), 1);
        increase(&self.received, served.received);
        increase(&self.sent, served.sent);
        if served.aborted {
            increase(&self.aborted, 1);
        }
        if let Some(wait) = served.queue_wait {
            let micros = wait.as_micros() as u64;
            add(&self.waits, bucket_of(micros), 1);
            increase(&self.wait, micros);
        }
    }

    pub(super) fn load(&self) -> Tallies {
        let number = |word: &AtomicU64| word.load(Ordering::Relaxed);
        Tallies {
            durations: self.durations.each_ref().map(number),
            duration: number(&self.duration),
            responses: self.responses.each_ref().map(number),
            received: number(&self.received),
            sent: number(&self.sent),
            aborted: number(&self.aborted),
            waits: self.waits.each_ref().map(number),
            wait: number(&self.wait),
        }
    }

    pub(super) fn store(&self, sums: &Tallies) {
        let all = |words: &[AtomicU64], numbers: &[u64]| {
            for (word, number) in words.iter().zip(numbers) {
                word.store(*number, Ordering::Relaxed);
            }
        };
        all(&self.durations, &sums.durations);
        all(&self.responses, &sums.responses);
        all(&self.waits, &sums.waits);
        self.wait.store(sums.wait, Ordering::Relaxed);
        self.duration.store(sums.duration, Ordering::Relaxed);
        self.received.store(sums.received, Ordering::Relaxed);
        self.sent.store(sums.sent, Ordering::Relaxed);
        self.aborted.store(sums.aborted, Ordering::Relaxed);
    }
}

#[inline]
fn add(words: &[AtomicU64], place: usize, more: u64) {
    if let Some(word) = words.get(place) {
        increase(word, more);
    }
}

/// Nobody else writes here.
#[inline]
fn increase(word: &AtomicU64, more: u64) {
    let sum = word.load(Ordering::Relaxed).wrapping_add(more);
    word.store(sum, Ordering::Relaxed);
}

#[inline]
fn bucket_of(micros: u64) -> usize {
    let bucket = BOUNDS_IN_MICROS.iter().position(|bound| micros <= *bound);
    bucket.unwrap_or(DURATION_BOUNDS.len())
}

#[inline]
fn class_of(status: u16) -> usize {
    match status {
        200..=599 => usize::from(status / 100) - 1,
        _ => 0,
    }
}

impl Tallies {
    /// The requests, by their durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        sum(&self.durations)
    }

    /// Adds counters, none of which overflows.
    pub fn add(&mut self, more: &Self) {
        self.merge(more, u64::saturating_add);
    }

    /// What was counted since an earlier reading. A counter that is lower now has counted nothing.
    #[must_use]
    pub fn since(mut self, earlier: &Self) -> Self {
        self.merge(earlier, u64::saturating_sub);
        self
    }

    /// The larger of each.
    pub fn raise_to(&mut self, other: &Self) {
        self.merge(other, u64::max);
    }

    /// What a loop can have counted that has finished `finished` requests, or one more, since its worker
    /// was forked. `None`: it has not counted them.
    pub(super) fn believed(mut self, finished: (u64, u64), age: Duration) -> Option<Self> {
        let (least, most) = finished;
        let count = self.count();
        if count < least || count > most.saturating_add(1) {
            return None;
        }
        let micros = possible_requests(age);
        let requests = count.min(micros);
        for number in self.durations.iter_mut().chain(&mut self.responses) {
            *number = (*number).min(requests);
        }
        self.aborted = self.aborted.min(requests);
        if sum(&self.waits) > count {
            (self.waits, self.wait) = Default::default();
        }
        self.wait = self
            .wait
            .min(requests.saturating_mul(WAIT_MAX.as_micros() as u64));
        self.duration = self.duration.min(micros);
        let bytes = micros.saturating_mul(BYTES_PER_MICRO);
        self.received = self.received.min(bytes);
        self.sent = self.sent.min(bytes);
        Some(self)
    }

    fn merge(&mut self, other: &Self, merged: impl Fn(u64, u64) -> u64) {
        let durations = self.durations.iter_mut().zip(&other.durations);
        let responses = self.responses.iter_mut().zip(&other.responses);
        let waits = self.waits.iter_mut().zip(&other.waits);
        for (number, more) in durations.chain(responses).chain(waits) {
            *number = merged(*number, *more);
        }
        self.wait = merged(self.wait, other.wait);
        self.duration = merged(self.duration, other.duration);
        self.received = merged(self.received, other.received);
        self.sent = merged(self.sent, other.sent);
        self.aborted = merged(self.aborted, other.aborted);
    }
}

fn sum(numbers: &[u64]) -> u64 {
    numbers
        .iter()
        .fold(0, |sum, more| sum.saturating_add(*more))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn tally() -> Tally {
        Tally {
            durations: [const { AtomicU64::new(0) }; BUCKETS],
            duration: AtomicU64::new(0),
            responses: [const { AtomicU64::new(0) }; CLASSES],
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            aborted: AtomicU64::new(0),
            waits: [const { AtomicU64::new(0) }; BUCKETS],
            wait: AtomicU64::new(0),
        }
    }

    #[test]
    fn each_request_is_in_one_bucket_and_one_class() {
        let tally = tally();
        let statuses = [0, 199, 200, 204, 302, 404, 599, 600, u16::MAX];
        let millis = [0, 5, 6, 999, 1_000, 60_000, 60_001, 10_000_000, 1];
        for (status, millis) in statuses.into_iter().zip(millis) {
            let served = Served {
                status,
                received: 10,
                sent: 100,
                aborted: status == 404,
                queue_wait: (status < 300).then(|| Duration::from_millis(millis)),
            };
            tally.add(millis * 1_000, &served);
        }
        let sums = tally.load();
        assert_eq!(sums.count(), 9);
        assert_eq!(sums.durations, [3, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 2]);
        assert_eq!(sums.responses, [4, 2, 1, 1, 1]);
        assert_eq!((sums.received, sums.sent, sums.aborted), (90, 900, 1));
        assert_eq!(sums.duration, millis.iter().sum::<u64>() * 1_000);
        assert_eq!(sums.waits, [2, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(sums.wait, (5 + 6 + 999) * 1_000);
    }

    #[test]
    fn only_what_a_worker_can_have_done_is_believed() {
        let wild = Tallies {
            durations: [u64::MAX; BUCKETS],
            duration: u64::MAX,
            responses: [u64::MAX; CLASSES],
            received: u64::MAX,
            sent: u64::MAX,
            aborted: u64::MAX,
            waits: [u64::MAX; BUCKETS],
            wait: u64::MAX,
        };
        assert_eq!(wild.believed((0, 1 << 60), HOUR), None);
        assert_eq!(
            wild.believed((u64::MAX, u64::MAX), HOUR).unwrap().duration,
            3_600_000_000
        );
        let liar = Tallies {
            durations: [7; BUCKETS],
            ..wild
        };
        let seen = liar.believed((98, 98), Duration::from_millis(1)).unwrap();
        assert_eq!(seen.count(), 98);
        assert_eq!(seen.responses, [98; CLASSES]);
        assert_eq!(seen.duration, 1_000);
        assert_eq!((seen.received, seen.aborted), (BYTES_PER_MICRO * 1_000, 98));
        assert_eq!((seen.waits, seen.wait), ([0; BUCKETS], 0));
        let patient = Tallies {
            waits: [7; BUCKETS],
            ..liar
        };
        let seen = patient.believed((98, 98), HOUR).unwrap();
        assert_eq!(seen.waits, [7; BUCKETS]);
        assert_eq!(seen.wait, 98 * 3_600_000_000);
        // One request may be counted before the line says so, and any number between two readings.
        assert!(liar.believed((97, 97), HOUR).is_some());
        assert!(liar.believed((90, 200), HOUR).is_some());
        assert!(liar.believed((96, 96), HOUR).is_none());
        assert!(liar.believed((99, 99), HOUR).is_none());
        let mut sum = wild;
        sum.add(&wild);
        assert_eq!(sum, wild);
        assert_eq!(sum.since(&wild), Tallies::default());
        assert_eq!(Tallies::default().since(&wild), Tallies::default());
        assert_eq!(wild.since(&Tallies::default()), wild);
        let mut highest = seen;
        highest.raise_to(&Tallies::default());
        assert_eq!(highest, seen);
    }
}
