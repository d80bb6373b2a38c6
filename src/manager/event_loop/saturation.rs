//! A warning when every worker is busy, connections wait, and no more workers may be started.
//!
//! The manager watches the listening socket, but pauses after each check. So traffic seldom wakes it,
//! and an unused pool never does.

use std::time::Duration;

use crate::manager::children::Children;
use crate::manager::event::Event;
use crate::pool::{Pool, SlotState};
use crate::sys::socket::listeners::Listener;
use crate::worker::{Activity, Scoreboard, Total};

/// The listening socket is not watched for this long after a check.
const PAUSE: Duration = Duration::from_millis(500);

/// The number of checks in a row that must find the pool saturated: a single burst does not count.
const CHECKS: u32 = 3;

/// The minimum time between two warnings.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub(super) struct Saturation {
    check_at: Duration,
    /// Checks in a row that found every worker busy.
    checks: u32,
    /// There is no warning before this time.
    quiet_until: Duration,
}

impl Saturation {
    /// From when on the listening socket is to be watched. Not while the pool may still grow.
    pub(super) fn check_at(&self, pool: &Pool) -> Option<Duration> {
        let is_at_limit = pool.watch_listener().is_none() && !pool.is_stopping();
        is_at_limit.then_some(self.check_at)
    }

    /// A connection waits to be accepted. Returns a warning if the pool is saturated.
    pub(super) fn check(
        &mut self,
        now: Duration,
        pool: &Pool,
        children: &Children,
        scoreboard: &Scoreboard,
        listeners: &[Listener],
    ) -> Option<Event> {
        // The last check was too long ago.
        if now > self.check_at + PAUSE {
            self.checks = 0;
        }
        self.check_at = now + PAUSE;
        let busy = all_busy(pool, children, scoreboard);
        if busy == 0 {
            self.checks = 0;
            return None;
        }
        self.checks += 1;
        if self.checks == CHECKS {
            scoreboard.header().add(Total::Saturated, 1);
        }
        if self.checks < CHECKS || now < self.quiet_until {
            return None;
        }
        let waiting = listeners.iter().filter_map(Listener::waiting);
        let waiting: usize = waiting.sum();
        if waiting == 0 {
            return None;
        }
        self.quiet_until = now + WARNING_INTERVAL;
        Some(Event::saturated(busy, waiting))
    }
}

/// The number of ready workers if each of them reports that it serves a request; otherwise 0.
fn all_busy(pool: &Pool, children: &Children, scoreboard: &Scoreboard) -> usize {
    let mut busy = 0;
    for (slot, _) in children.iter() {
        match pool.state(slot) {
            SlotState::Ready => {}
            // It will serve soon.
            SlotState::Starting => return 0,
            SlotState::Empty | SlotState::Retiring | SlotState::Killed => continue,
        }
        match scoreboard.page(slot).activity() {
            Some(Activity::Reading | Activity::Busy | Activity::Finished) => busy += 1,
            // A worker that reports nothing may be waiting for a request.
            Some(Activity::Idle | Activity::Starting | Activity::Exiting) | None => return 0,
        }
    }
    busy
}
