//! How fast workers are replaced that die young, or exit on their own soon after their start.

use std::time::Duration;

/// A worker that was ready and has lived this long is healthy.
pub(super) const MATURE: Duration = Duration::from_secs(10);

/// Forks in the first [`WINDOW`].
const BURST: u32 = 10;
const WINDOW: Duration = Duration::from_secs(10);
/// Pause between forks after that.
const PACE: Duration = Duration::from_secs(1);

/// At most [`BURST`] forks in the first [`WINDOW`], then one per [`PACE`], until a worker forked
/// since has proved healthy.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    /// When the first fork that counts was made.
    began: Option<Duration>,
    spent: u32,
    /// When the latest fork was made.
    latest: Duration,
    /// When the first replacement was made: only younger workers prove anything. The healthy rest of a
    /// pool proves nothing about the one worker that keeps dying.
    replacing_since: Option<Duration>,
    announced: bool,
}

impl Backoff {
    /// Notes a fork that fills the pool for the first time, or that the load requires. It is never
    /// delayed, but it counts, so that a small pool in which every worker dies immediately makes no
    /// more than [`BURST`] forks. It leaves one fork for the first death in a large pool.
    pub(super) fn first_fork(&mut self, now: Duration) {
        self.began.get_or_insert(now);
        self.spent = (self.spent + 1).min(BURST - 1).max(self.spent);
        self.latest = now;
    }

    /// Notes the replacement of a worker that died young.
    pub(super) fn replacement(&mut self, now: Duration) {
        self.began.get_or_insert(now);
        self.replacing_since.get_or_insert(now);
        self.spent = self.spent.saturating_add(1);
        self.latest = now;
    }

    /// The earliest time for the next replacement.
    pub(super) fn earliest(&self, now: Duration) -> Duration {
        let Some(began) = self.began else { return now };
        let end = began + WINDOW;
        if self.spent < BURST && now < end {
            now
        } else {
            end.max(self.latest + PACE)
        }
    }

    /// Whether enough were replaced that growth and recycling are delayed, too: more workers that die
    /// young are no capacity.
    pub(super) fn is_spent(&self) -> bool {
        self.spent >= BURST
    }

    /// Whether a mature worker that was born then proves that workers survive again.
    pub(super) fn is_proof(&self, born: Duration) -> bool {
        self.began.is_some() && self.replacing_since.is_none_or(|since| born >= since)
    }

    /// A worker has proved it: the back-off ends.
    pub(super) fn refill(&mut self) {
        *self = Self::default();
    }

    /// Whether to report that forks are delayed: once until [`refill`](Self::refill).
    pub(super) fn announce(&mut self) -> bool {
        !std::mem::replace(&mut self.announced, true)
    }
}

/// Workers that served and then exited on their own are replaced immediately, up to this rate. They
/// normally exit no faster than requests arrive. But a worker may falsely report that it has served,
/// so without a limit a hostile one could make the manager fork all the time.
const DEPARTURES_PER_SECOND: u32 = 100;

/// Pause between two reports that this limit is reached.
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(60);

/// After a burst of [`DEPARTURES_PER_SECOND`], replacements are evenly spaced.
#[derive(Debug, Default)]
pub(super) struct Departures {
    /// When the last one would have been made at an even rate.
    even: Duration,
    /// Nothing is reported before this time.
    quiet_until: Duration,
}

impl Departures {
    /// The maximum number of replacements per second.
    pub(super) const LIMIT: u32 = DEPARTURES_PER_SECOND;
    const APART: Duration = Duration::from_millis(1_000 / DEPARTURES_PER_SECOND as u64);

    /// Notes the replacement of a worker that exited on its own.
    pub(super) fn replacement(&mut self, now: Duration) {
        self.even = self.even.max(now) + Self::APART;
    }

    /// The earliest time for the next one.
    pub(super) fn earliest(&self, now: Duration) -> Duration {
        let burst = Self::APART * (DEPARTURES_PER_SECOND - 1);
        self.even.saturating_sub(burst).max(now)
    }

    /// Whether to report that the limit is reached.
    pub(super) fn announce(&mut self, now: Duration) -> bool {
        let is_due = now >= self.quiet_until;
        if is_due {
            self.quiet_until = now + ANNOUNCE_AGAIN;
        }
        is_due
    }
}
