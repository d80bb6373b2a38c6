//! The minimum time that the head of a listen queue has certainly waited.
//!
//! No kernel reports the age of a connection in the queue of a unix socket. But a queue is first in,
//! first out. If N connections had arrived at some time, counted since the beginning, then the
//! connection that is accepted next had arrived by then, if its number is not above N. Arrived
//! connections are those that were accepted and those that wait. What is uncertain is counted so that
//! the age comes out lower.

use std::collections::VecDeque;
use std::time::Duration;

/// Samples per limit: no connection waits longer than the limit and one of these parts of it.
const PARTS: u32 = 8;

/// Samples are at least this far apart.
const APART: Duration = Duration::from_millis(10);

/// One sample of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Connections that were accepted since the beginning, as far as they were counted. Read before
    /// `waiting`.
    pub accepted: u64,
    /// Connections that may have been accepted and not counted: a worker counts after its accept.
    pub uncounted: u64,
    /// Connections in the queue.
    pub waiting: u64,
}

/// One queue and its limit.
#[derive(Clone, Debug)]
pub struct QueueAge {
    limit: Duration,
    /// When, and how many connections had arrived by then.
    samples: VecDeque<(Duration, u64)>,
    /// The number of connections that had arrived a limit before the latest sample.
    overdue: u64,
}

impl QueueAge {
    /// A queue of which nothing is known.
    #[must_use]
    pub const fn new(limit: Duration) -> Self {
        Self {
            limit,
            samples: VecDeque::new(),
            overdue: 0,
        }
    }

    /// When the next sample is due.
    #[must_use]
    pub fn sample_at(&self) -> Duration {
        let apart = (self.limit / PARTS).max(APART);
        self.samples
            .back()
            .map_or(Duration::ZERO, |(at, _)| *at + apart)
    }

    /// A process accepts without counting: what was known is no longer valid.
    pub fn forget(&mut self) {
        self.samples.clear();
        self.overdue = 0;
    }

    /// The same, and the next sample is due at the usual time.
    pub fn begin_again(&mut self, now: Duration) {
        self.forget();
        // As if nothing had ever arrived, which makes no connection older.
        self.samples.push_back((now, 0));
    }

    /// Notes a sample.
    pub fn observe(&mut self, now: Duration, queue: Queue) {
        let arrived = queue.accepted.saturating_add(queue.waiting);
        if let Some((_, before)) = self.samples.back() {
            if arrived.saturating_add(queue.uncounted) < *before {
                self.forget();
            }
        }
        if self.sample_at() <= now {
            self.samples.push_back((now, arrived));
        }
        while let Some((at, arrived)) = self.samples.front() {
            if at.saturating_add(self.limit) > now {
                break;
            }
            self.overdue = *arrived;
            self.samples.pop_front();
        }
    }

    /// How many connections at the head of the queue have certainly waited longer than the limit, if
    /// this many were accepted before.
    #[must_use]
    pub fn overdue(&self, accepted: u64, uncounted: u64) -> u64 {
        self.overdue
            .saturating_sub(accepted.saturating_add(uncounted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(800);

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn queue(accepted: u64, waiting: u64) -> Queue {
        Queue {
            accepted,
            uncounted: 0,
            waiting,
        }
    }

    #[test]
    fn what_waited_at_a_sample_is_overdue_a_limit_later() {
        let mut age = QueueAge::new(LIMIT);
        assert_eq!(age.sample_at(), ms(0));
        age.observe(ms(1_000), queue(5, 3));
        assert_eq!(age.sample_at(), ms(1_100));
        age.observe(ms(1_100), queue(5, 9));
        age.observe(ms(1_799), queue(6, 8));
        assert_eq!(age.overdue(6, 0), 0, "not quite yet");
        age.observe(ms(1_800), queue(6, 8));
        assert_eq!(age.overdue(6, 0), 2, "5 had been accepted, and 3 waited");
        assert_eq!(age.overdue(6, 1), 1, "one more may have been accepted");
        assert_eq!(age.overdue(8, 0), 0);
        assert_eq!(age.overdue(7, 0), 1);
        assert_eq!(age.overdue(7, 1), 0);
        age.observe(ms(1_900), queue(8, 6));
        assert_eq!(age.overdue(8, 0), 6);
    }

    #[test]
    fn a_process_that_accepts_without_counting_is_detected() {
        let mut age = QueueAge::new(LIMIT);
        age.observe(ms(0), queue(0, 5));
        age.observe(ms(100), queue(0, 2));
        age.observe(ms(850), queue(0, 2));
        assert_eq!(
            age.overdue(0, 0),
            0,
            "the first sample does not count any more"
        );
        age.observe(ms(900), queue(0, 2));
        assert_eq!(age.overdue(0, 0), 2, "the second one does");
    }

    /// A queue with a clock. A connection that counts as overdue is overdue. One that is overdue by more
    /// than a part of the limit counts as overdue, once no worker is in the middle of an accept.
    #[test]
    fn no_connection_is_refused_too_early_and_none_waits_much_longer() {
        let mut state = 88_172_645_463_325_252_u64;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let (mut refused, mut served) = (0, 0);
        for _ in 0..200 {
            let mut age = QueueAge::new(LIMIT);
            let mut waiting: VecDeque<Duration> = VecDeque::new();
            let (mut accepted, mut lagging) = (0_u64, 0_u64);
            let mut now = ms(0);
            for _ in 0..2_000 {
                now += Duration::from_micros(random(20_000));
                match random(8) {
                    0..4 => waiting.push_back(now),
                    4 if waiting.pop_front().is_some() => {
                        served += 1;
                        lagging += 1;
                    }
                    5 => {
                        accepted += lagging;
                        lagging = 0;
                    }
                    _ => {}
                }
                // The manager is stopped for a while.
                if random(500) == 0 {
                    now += ms(random(3_000));
                }
                if now < age.sample_at() {
                    continue;
                }
                age.observe(
                    now,
                    Queue {
                        accepted,
                        uncounted: lagging,
                        waiting: waiting.len() as u64,
                    },
                );
                while age.overdue(accepted, lagging) > 0 {
                    let arrived = waiting.pop_front().unwrap();
                    accepted += 1;
                    assert!(now - arrived >= LIMIT, "{:?}", now - arrived);
                    refused += 1;
                }
                if lagging == 0 {
                    if let Some(arrived) = waiting.front() {
                        assert!(
                            now - *arrived < 2 * LIMIT + ms(3_000),
                            "{:?}",
                            now - *arrived
                        );
                    }
                }
            }
        }
        assert!(refused > 10_000 && served > 10_000, "{refused}, {served}");
    }
}
