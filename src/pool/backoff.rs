//! How fast workers that die young are replaced.

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
