//! What a thread has used (getrusage(2)).

use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// Processor time of the calling thread, and the maximum resident memory of its process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ThreadUsage {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
    /// In bytes.
    pub(crate) memory_max: u64,
}

impl ThreadUsage {
    pub(crate) fn now() -> Self {
        let Ok(usage) = getrusage(UsageWho::RUSAGE_THREAD) else {
            return Self::default();
        };
        Self {
            user: duration(usage.user_time()),
            system: duration(usage.system_time()),
            memory_max: u64::try_from(usage.max_rss()).unwrap_or(0) * 1_024,
        }
    }

    /// The processor time since another reading.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
            memory_max: self.memory_max,
        }
    }
}

fn duration(time: TimeVal) -> Duration {
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec()).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_uses_processor_time() {
        let before = ThreadUsage::now();
        let mut used = Duration::ZERO;
        while used < Duration::from_millis(20) {
            let usage = ThreadUsage::now().since(&before);
            used = usage.user + usage.system;
        }
        assert!(before.memory_max > 1 << 20);
    }
}
