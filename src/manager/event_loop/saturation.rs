//! A warning when every worker is busy and connections wait, and no more workers may be started.
//!
//! The listening socket tells: it is watched, but after each look not for a while, so that traffic wakes the manager
//! seldom, and a pool that nobody uses never.

use std::time::Duration;

use crate::manager::event::Event;
use crate::manager::event_loop::EventLoop;
use crate::pool::SlotState;
use crate::worker::Activity;

/// The listening socket is left alone for this long after a look.
const PAUSE: Duration = Duration::from_millis(500);

/// So many looks in a row must find it so: one burst is no lack of workers.
const LOOKS: u32 = 3;

/// How often there is a line in the log at most.
const SAID: Duration = Duration::from_secs(60);

/// What was seen.
#[derive(Debug, Default)]
pub(in crate::manager) struct Saturation {
    /// From when on the listening socket is worth a look.
    look_at: Duration,
    /// Looks in a row that found every worker busy.
    looks: u32,
    /// Nothing is said before this time.
    quiet_until: Duration,
}

impl EventLoop {
    /// From when on the listening socket is to be watched for this: not while the pool may still grow.
    pub(in crate::manager) fn saturation_at(&self) -> Option<Duration> {
        let is_at_most = self.pool.watch_listener().is_none() && !self.pool.is_stopping();
        is_at_most.then_some(self.saturation.look_at)
    }

    /// A connection waits to be accepted.
    pub(in crate::manager) fn look_at_saturation(&mut self) {
        let now = self.now();
        // The looks before were not just before.
        if now > self.saturation.look_at + PAUSE {
            self.saturation.looks = 0;
        }
        self.saturation.look_at = now + PAUSE;
        let busy = self.all_busy();
        if busy == 0 {
            self.saturation.looks = 0;
            return;
        }
        self.saturation.looks += 1;
        if self.saturation.looks < LOOKS || now < self.saturation.quiet_until {
            return;
        }
        let listeners = self.parts.listeners.iter();
        let waiting = listeners.filter_map(|one| one.waiting());
        let waiting: usize = waiting.sum();
        if waiting == 0 {
            return;
        }
        self.saturation.quiet_until = now + SAID;
        self.publish(Event::saturated(busy, waiting));
    }

    /// How many workers are ready, if each of them says that it serves a request; else 0.
    fn all_busy(&self) -> usize {
        let mut busy = 0;
        for (slot, _) in self.children() {
            match self.pool.state(slot) {
                SlotState::Ready => {}
                // It is about to serve.
                SlotState::Starting => return 0,
                SlotState::Empty | SlotState::Retiring | SlotState::Gone => continue,
            }
            match self.page(slot).activity() {
                Some(Activity::Reading | Activity::Busy | Activity::Finished) => busy += 1,
                // One that says nothing of itself may wait for a request.
                Some(Activity::Idle | Activity::Starting | Activity::Leaving) | None => return 0,
            }
        }
        busy
    }
}
