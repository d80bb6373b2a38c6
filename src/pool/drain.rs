//! The time from the request to stop to the stop, in which everything is still served
//! ([`Config::drain_delay`](super::Config::drain_delay)): a load balancer sends its requests elsewhere
//! meanwhile.
//!
//! The phase stays `Running`: workers are replaced, reloaded and sized as before.
//!
//! | drain | event | next |
//! |---|---|---|
//! | none | drain, with a delay | draining |
//! | none | drain, without one | the stop begins |
//! | draining | drain, within a second of the first | draining |
//! | draining | drain, later | the stop begins |
//! | draining | the delay has passed | the stop begins |
//! | any | stop | none |

use std::time::Duration;

use super::answer::{Action, Notice};
use super::machine::Pool;
use super::phase::{Drain, Phase};

/// Requests within this time count as one: some supervisors signal a process and then its group.
const ONCE: Duration = Duration::from_secs(1);

impl Pool {
    /// Whether the stop was requested, and everything is still served.
    #[must_use]
    pub const fn is_draining(&self) -> bool {
        self.drain.is_some()
    }

    pub(super) fn drain_requested(&mut self, now: Duration, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::New | Phase::Running => {}
            Phase::Stopping | Phase::Stopped => return,
        }
        let delay = self.config.drain_delay;
        match self.drain {
            None if delay.is_zero() => actions.push(Action::Stop),
            None => {
                let until = now.saturating_add(delay);
                self.drain = Some(Drain { since: now, until });
                actions.push(Action::Notice(Notice::Draining { delay }));
            }
            Some(drain) if now.saturating_sub(drain.since) < ONCE => {}
            Some(_) => actions.push(Action::Stop),
        }
    }

    pub(super) fn drain_ends_at(&self) -> Option<Duration> {
        self.drain.map(|drain| drain.until)
    }
}
