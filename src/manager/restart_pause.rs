//! The pauses before a process that runs beside the manager is started again: doubled each time, and
//! short again after one that has run for long, which was not the problem.

use std::time::Duration;

use crate::manager::event::Event;

const PAUSE: Duration = Duration::from_secs(1);
/// The longest one, and how long a process has to run for the shortest one.
const PAUSE_MAX: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(super) struct RestartPause {
    /// When the process was started, or is to be started.
    at: Duration,
    /// The next pause.
    pause: Duration,
}

impl Default for RestartPause {
    /// It is to be started now.
    fn default() -> Self {
        Self {
            at: Duration::ZERO,
            pause: PAUSE,
        }
    }
}

impl RestartPause {
    /// When the process is to be started.
    pub(super) const fn due(&self) -> Duration {
        self.at
    }

    /// The process was started.
    pub(super) fn started(&mut self, now: Duration) {
        self.at = now;
    }

    /// The process has ended, as this says.
    pub(super) fn ended(&mut self, how: &str, now: Duration) -> Event {
        if now.saturating_sub(self.at) >= PAUSE_MAX {
            self.pause = PAUSE;
        }
        self.again(how, now)
    }

    /// The process does not run, as this says.
    pub(super) fn again(&mut self, how: &str, now: Duration) -> Event {
        let pause = self.pause;
        self.pause = (2 * pause).min(PAUSE_MAX);
        self.at = now + pause;
        Event::warning(format!(
            "{how}; it is started again in {} s",
            pause.as_secs()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_until_a_process_has_run_for_long() {
        let mut restart = RestartPause::default();
        let mut now = Duration::from_secs(1_000);
        restart.started(now);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            restart.ended("it has ended", now);
            assert_eq!(restart.due(), now + Duration::from_secs(seconds));
            now = restart.due();
            restart.started(now);
        }
        now += PAUSE_MAX;
        restart.ended("it has ended", now);
        assert_eq!(restart.due(), now + PAUSE);
    }

    #[test]
    fn one_that_was_not_started_has_not_run() {
        let mut restart = RestartPause::default();
        let now = 2 * PAUSE_MAX;
        restart.again("it was not started", now);
        restart.again("it was not started", now + PAUSE_MAX);
        assert_eq!(restart.due(), now + PAUSE_MAX + 2 * PAUSE);
    }
}
