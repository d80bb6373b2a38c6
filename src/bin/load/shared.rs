//! The state that the threads of a run share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::plan::Limit;
use super::tally::Silence;

/// What the threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) started: Instant,
    begun: AtomicU64,
    /// When a request last became ok, in nanoseconds since the start.
    answered: AtomicU64,
}

impl Shared {
    pub(crate) fn new(started: Instant) -> Self {
        Self {
            started,
            begun: AtomicU64::new(0),
            answered: AtomicU64::new(0),
        }
    }

    /// Whether one more request may start; if so, it is counted.
    pub(crate) fn claim(&self, limit: Limit) -> bool {
        match limit {
            Limit::Requests(requests) => self.begun.fetch_add(1, Ordering::Relaxed) < requests,
            Limit::Time(_) => true,
        }
    }

    /// Whether no more requests may start.
    pub(crate) fn is_exhausted(&self, limit: Limit) -> bool {
        match limit {
            Limit::Requests(requests) => self.begun.load(Ordering::Relaxed) >= requests,
            Limit::Time(_) => false,
        }
    }

    /// A request became ok. Returns the silence that it ends, over all threads.
    pub(crate) fn answered(&self, now: Instant) -> Silence {
        let now = now.saturating_duration_since(self.started);
        let nanoseconds = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let before = self.answered.fetch_max(nanoseconds, Ordering::Relaxed);
        let began = Duration::from_nanos(before);
        Silence {
            length: now.saturating_sub(began),
            began,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silence_is_ended_by_any_thread() {
        let started = Instant::now();
        let shared = Shared::new(started);
        let at = |milliseconds| started + Duration::from_millis(milliseconds);
        assert_eq!(shared.answered(at(5)).length, Duration::from_millis(5));
        assert_eq!(shared.answered(at(9)).length, Duration::from_millis(4));
        // Another thread reports an earlier response late.
        assert_eq!(shared.answered(at(8)).length, Duration::ZERO);
        let silence = shared.answered(at(29));
        assert_eq!(silence.length, Duration::from_millis(20));
        assert_eq!(silence.began, Duration::from_millis(9));
    }

    #[test]
    fn no_more_requests_start_than_planned() {
        let shared = Shared::new(Instant::now());
        let limit = Limit::Requests(1000);
        let begun: usize = std::thread::scope(|scope| {
            let threads =
                [(); 4].map(|()| scope.spawn(|| (0..1000).filter(|_| shared.claim(limit)).count()));
            threads.map(|thread| thread.join().unwrap()).iter().sum()
        });
        assert_eq!(begun, 1000);
        assert!(shared.is_exhausted(limit));
    }
}
