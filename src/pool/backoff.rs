//! How fast workers are replaced that die young, or exit by themselves soon after their start.

use std::time::Duration;

/// A worker that was ready and has lived this long is a healthy one.
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
    /// When the latest was made.
    latest: Duration,
    /// When the first replacement was made: only workers younger than that prove anything. The
    /// healthy rest of a pool says nothing about the one worker that keeps dying.
    replacing_since: Option<Duration>,
    announced: bool,
}

impl Backoff {
    /// Notes a fork that fills the pool for the first time, or that the load asked for. It is never held up, and counts, so that
    /// a small pool whose every worker dies at once makes no more than [`BURST`] forks; but it leaves
    /// one for the first death in a large pool.
    pub(super) fn first_fork(&mut self, now: Duration) {
        self.began.get_or_insert(now);
        self.spent = (self.spent + 1).min(BURST - 1).max(self.spent);
        self.latest = now;
    }

    /// Notes a replacement of a worker that died young.
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

    /// Whether so many had to be replaced that growth and successors must wait their turn, too: more
    /// of what dies young is no capacity.
    pub(super) fn is_spent(&self) -> bool {
        self.spent >= BURST
    }

    /// Whether a worker born then proves, by having matured, that workers live again.
    pub(super) fn is_proof(&self, born: Duration) -> bool {
        self.began.is_some() && self.replacing_since.is_none_or(|since| born >= since)
    }

    /// A worker has proved it.
    pub(super) fn refill(&mut self) {
        *self = Self::default();
    }

    /// Whether to tell the world that forks are held up: once until [`refill`](Self::refill).
    pub(super) fn announce(&mut self) -> bool {
        !std::mem::replace(&mut self.announced, true)
    }
}

/// Workers that served and then exited by themselves are replaced at once, up to so many a second.
/// Honest ones exit no faster than requests come. Whether a worker has served is its own word, so
/// without a limit a hostile one could make the manager fork all the time.
const DEPARTURES_PER_SECOND: u32 = 100;

/// Pause between the announcements that this limit is reached.
const ANNOUNCE_AGAIN: Duration = Duration::from_secs(60);

/// After [`DEPARTURES_PER_SECOND`] at once, replacements are evenly spaced.
#[derive(Debug, Default)]
pub(super) struct Departures {
    /// When all of them so far would have been made at an even pace.
    even: Duration,
    /// Nothing is announced before this time.
    quiet_until: Duration,
}

impl Departures {
    /// The most replacements a second.
    pub(super) const LIMIT: u32 = DEPARTURES_PER_SECOND;
    const APART: Duration = Duration::from_millis(1_000 / DEPARTURES_PER_SECOND as u64);

    /// Notes the replacement of a worker that exited by itself.
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
