//! What happens on its own in a world.

use std::time::Duration;

use fcgipm::pool::{Event, Exit};

use crate::world::{Code, SECOND, World};

impl World {
    /// What happens on its own: requests end, connections arrive and are accepted.
    pub(crate) fn work(&mut self) {
        let now = self.now;
        let mut reached = Vec::new();
        for (slot, worker) in &mut self.workers {
            if worker.work.is_some_and(|work| work.ends <= now) {
                worker.finish();
                if worker.asked_at.is_some() && !worker.stubborn && worker.exit_at.is_none() {
                    worker.exit_at = Some((now, Exit::Code(0)));
                }
                if worker.limit > 0 && worker.finished >= worker.limit {
                    reached.push(*slot);
                }
                if worker.departs && worker.finished > 0 && worker.exit_at.is_none() {
                    worker.exit_at = Some((now, Exit::Code(0)));
                }
            }
        }
        // A worker that has reached a limit wakes the manager.
        for slot in reached {
            self.poll(slot);
        }
        let is_due = |at: &Duration| *at <= now;
        while let (Some(_), Some(gap)) = (self.arrives.filter(is_due), self.gap) {
            let crowd = if self.random.one_in(10) {
                self.random.below(20)
            } else {
                0
            };
            for _ in 0..=crowd {
                let takes = self.takes();
                if self.queue.len() < 50 {
                    self.queue.push_back(takes);
                }
            }
            // Without the arrivals of the time in which everything was stopped.
            self.arrives = Some(now + self.random.millis(2 * gap.as_millis() as u64 + 1));
        }
        let waits = !self.queue.is_empty();
        if waits && self.pool.watch_listener().is_some_and(|at| at <= now) && !self.random.one_in(4)
        {
            self.handle(Event::Connection);
        }
        if self.code == Code::CrashLoop {
            return;
        }
        for worker in self.workers.values_mut() {
            if worker.takes(now) {
                if let Some(takes) = self.queue.pop_front() {
                    // Without a limit, nothing would end it.
                    let takes = if worker.silent {
                        takes.min(60 * SECOND)
                    } else {
                        takes
                    };
                    worker.accept(now, takes, &mut self.random);
                }
            }
        }
    }

    /// How long a request takes. It is endless only if a limit ends it.
    pub(crate) fn takes(&mut self) -> Duration {
        if self.short {
            return self.random.millis(900);
        }
        match self.random.below(12) {
            0 if self.config.die_timeout.is_some() && self.config.request_timeout.is_some() => {
                100_000 * SECOND
            }
            0 | 1 => self.random.millis(60_000),
            2..=4 => self.random.millis(4_000),
            _ => self.random.millis(60),
        }
    }
}
