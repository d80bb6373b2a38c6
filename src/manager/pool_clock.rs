//! The pool's time.

use std::time::Duration;

use crate::sys::clock;

/// A clock that begins when the manager is set up.
#[derive(Clone, Copy, Debug)]
pub(super) struct PoolClock {
    origin: Duration,
}

impl PoolClock {
    pub(super) fn start() -> Self {
        Self {
            origin: clock::now(),
        }
    }

    pub(super) fn now(self) -> Duration {
        self.at(clock::now())
    }

    /// A time of the monotonic clock.
    pub(super) fn at(self, time: Duration) -> Duration {
        time.saturating_sub(self.origin)
    }
}
