//! How long the head of a listen queue has waited, for certain.
//!
//! No kernel tells the age of what waits in the queue of a unix socket. But a queue is first in, first out:
//! if at some time so many connections had arrived, counted since the beginning, then the one that is
//! accepted next, if its number is not above that, had arrived by then. Arrived are those that were accepted
//! and those that wait. What is not known for certain is put so that the age comes out lower.

use std::collections::VecDeque;
use std::time::Duration;

/// Looks within the limit: nobody waits longer than the limit and one of these parts of it.
const PARTS: u32 = 8;

/// Looks are at least so far apart.
const APART: Duration = Duration::from_millis(10);

/// What one look at a queue found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Connections that were accepted since the beginning, as far as they were counted, in a look before
    /// the one at `waiting`.
    pub accepted: u64,
    /// Connections that were accepted and may not have been counted: who is about to accept counts
    /// afterwards.
    pub uncounted: u64,
    /// Connections in the queue.
    pub waiting: u64,
}

/// One queue and its limit.
#[derive(Clone, Debug)]
pub struct QueueAge {
    limit: Duration,
    /// When so many had arrived.
    looks: VecDeque<(Duration, u64)>,
    /// Those that had arrived when the limit began, by the latest look.
    overdue: u64,
}

impl QueueAge {
    /// A queue that nothing is known of.
    #[must_use]
    pub const fn new(limit: Duration) -> Self {
        Self {
            limit,
            looks: VecDeque::new(),
            overdue: 0,
        }
    }

    /// When it wants to be looked at again.
    #[must_use]
    pub fn look_at(&self) -> Duration {
        let apart = (self.limit / PARTS).max(APART);
        self.looks
            .back()
            .map_or(Duration::ZERO, |(at, _)| *at + apart)
    }

    /// Somebody accepts who does not count: nothing of what is known holds.
    pub fn forget(&mut self) {
        self.looks.clear();
        self.overdue = 0;
    }

    /// The same, and wants to be looked at again when it is time.
    pub fn begin_again(&mut self, now: Duration) {
        self.forget();
        // As if nothing had ever arrived, which makes nobody older.
        self.looks.push_back((now, 0));
    }

    /// Takes a look in.
    pub fn observe(&mut self, now: Duration, queue: Queue) {
        let arrived = queue.accepted.saturating_add(queue.waiting);
        if let Some((_, before)) = self.looks.back()
            && arrived.saturating_add(queue.uncounted) < *before
        {
            self.forget();
        }
        if self.look_at() <= now {
            self.looks.push_back((now, arrived));
        }
        while let Some((at, arrived)) = self.looks.front()
            && at.saturating_add(self.limit) <= now
        {
            self.overdue = *arrived;
            self.looks.pop_front();
        }
    }

    /// How many at the head of the queue have certainly waited for longer than the limit, if so many were
    /// accepted before.
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
    fn what_waited_at_a_look_is_overdue_a_limit_later() {
        let mut age = QueueAge::new(LIMIT);
        assert_eq!(age.look_at(), ms(0));
        age.observe(ms(1_000), queue(5, 3));
        assert_eq!(age.look_at(), ms(1_100));
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
    fn somebody_who_does_not_count_is_found_out() {
        let mut age = QueueAge::new(LIMIT);
        age.observe(ms(0), queue(0, 5));
        age.observe(ms(100), queue(0, 2));
        age.observe(ms(850), queue(0, 2));
        assert_eq!(
            age.overdue(0, 0),
            0,
            "the first look does not count any more"
        );
        age.observe(ms(900), queue(0, 2));
        assert_eq!(age.overdue(0, 0), 2, "the second one does");
    }

    /// A queue with a clock: whoever is taken for overdue is, and whoever is overdue by more than a part of the
    /// limit is taken for it, once nobody is in the middle of accepting.
    #[test]
    fn nobody_is_refused_too_early_and_nobody_waits_much_longer() {
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
                // A crash of all workers, and then one of the manager that looks away.
                if random(500) == 0 {
                    now += ms(random(3_000));
                }
                if now < age.look_at() {
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
                if lagging == 0
                    && let Some(arrived) = waiting.front()
                {
                    assert!(
                        now - *arrived < 2 * LIMIT + ms(3_000),
                        "{:?}",
                        now - *arrived
                    );
                }
            }
        }
        assert!(refused > 10_000 && served > 10_000, "{refused}, {served}");
    }
}
