//! Events of a world, and its end.

use fcgipm::pool::{Event, Exit, Resize, SlotState, WorkerEvent};

use crate::worker::Worker;
use crate::world::{Code, SECOND, World};

impl World {
    /// The manager is stopped for a while, and possibly the workers, too.
    fn absence(&mut self) {
        let away = self.random.millis(120_000);
        let workers_too = self.random.one_in(2);
        self.now += away;
        self.books.away(away);
        for worker in self.workers.values_mut() {
            worker.away(away, workers_too);
        }
        self.observe();
    }

    fn victim(&mut self) -> Option<&mut Worker> {
        let victim = self.random.below(8) as usize;
        self.workers.values_mut().nth(victim)
    }

    pub(crate) fn disturb(&mut self) {
        match self.random.below(48) {
            0 | 1 => self.handle(Event::Reload),
            2 => self.handle(Event::Resize(Resize::Up)),
            3 => self.handle(Event::Resize(Resize::Down)),
            47 if self.random.one_in(8) => {
                let most = self.random.below(12) as usize;
                self.handle(Event::Resize(Resize::To(most)));
            }
            4 if self.random.one_in(4) => self.absence(),
            5 => {
                let now = self.now;
                if let Some(worker) = self.victim() {
                    worker.exit_at = Some((now, Exit::Signal(9)));
                }
            }
            6 => {
                // A page becomes invalid, or valid again.
                let now = self.now;
                if let Some(worker) = self.victim() {
                    worker.set_invalid(now, !worker.mute);
                }
            }
            7 => {
                self.now += self.random.millis(900);
                self.books.late();
            }
            8 if self.random.one_in(4) => {
                self.code = match self.random.below(3) {
                    0 => Code::Good,
                    1 => Code::Mixed,
                    _ => Code::Broken,
                };
            }
            9 => {
                // An event of an empty slot, or one that does not apply to the worker.
                let slot = self.random.below(64) as usize;
                match self.pool.state(slot) {
                    SlotState::Empty | SlotState::Killed => {
                        self.report(slot, WorkerEvent::Memory { bytes: u64::MAX });
                        self.report(slot, WorkerEvent::Ready);
                    }
                    SlotState::Starting => {
                        self.report(slot, WorkerEvent::Memory { bytes: u64::MAX })
                    }
                    SlotState::Ready | SlotState::Retiring => self.poll(slot),
                }
            }
            10 if self.random.one_in(10) => self.handle(Event::Connection),
            _ => {}
        }
    }

    /// Until the stop begins. Meanwhile everything is as before.
    fn drain(&mut self) {
        let asked = self.now;
        self.handle(Event::Drain);
        let again = self
            .random
            .one_in(3)
            .then(|| asked + self.random.millis(5_000));
        while !self.books.stopping {
            let limit = asked + self.config.drain_delay;
            // A world may be late by almost a second.
            assert!(self.now <= limit + SECOND, "drained for too long");
            if self.random.one_in(20) && self.code != Code::CrashLoop {
                self.disturb();
            }
            match again {
                Some(at) if self.now < at && at < limit => {
                    self.advance_to(at);
                    if !self.books.stopping {
                        self.handle(Event::Drain);
                        let is_same = self.now < asked + SECOND;
                        assert_eq!(self.books.stopping, !is_same, "asked twice");
                        self.books.count("stop asked for twice");
                    }
                }
                _ => assert!(self.advance(), "nothing will end the wait"),
            }
        }
    }

    /// Until the pool has stopped. P4: TERM acts immediately, and always leads to the end.
    pub(crate) fn stop(&mut self) {
        if self.random.one_in(2) {
            self.handle(Event::Connection);
        }
        if self.random.one_in(2) {
            self.drain();
        } else {
            self.handle(Event::Stop);
        }
        self.be_quiet();
        for worker in self.workers.values() {
            assert!(worker.asked_at.is_some(), "not asked to exit");
        }
        let asked = self.now;
        while !self.books.stopped {
            let workers = &self.workers;
            assert!(
                self.now < asked + 1_000 * SECOND,
                "never stopped: {workers:?}"
            );
            assert!(self.advance(), "nothing will stop it: {:?}", self.workers);
        }
        assert!(self.pool.deadline().is_none());
    }

    /// Every worker behaves well, and as many requests arrive as before.
    pub(crate) fn be_good(&mut self) {
        self.code = Code::Good;
        self.liars = false;
        self.queue.clear();
    }

    /// No more requests arrive.
    pub(crate) fn be_quiet(&mut self) {
        self.gap = None;
        self.arrives = None;
    }

    /// With good code and limits, every reload ends, the pool is full, and no request waits.
    pub(crate) fn calm_down(&mut self) {
        if self.config.start_timeout.is_none() || self.config.die_timeout.is_none() {
            return;
        }
        self.code = Code::Good;
        self.be_quiet();
        self.liars = false;
        for takes in &mut self.queue {
            *takes = SECOND.min(*takes);
        }
        for worker in self.workers.values_mut() {
            worker.set_invalid(self.now, false);
            // A worker with false reports of a request has no deadline for it.
            if let Some(work) = worker.work.as_mut().filter(|_| worker.liar) {
                work.ends = work.ends.min(self.now + SECOND);
            }
        }
        let since = self.now;
        while self.now < since + 20_000 * SECOND {
            let full = self.ready() == self.pool.counts().wanted;
            if !self.pool.is_reloading() && full && self.queue.is_empty() {
                return;
            }
            if !self.advance() {
                break;
            }
        }
        panic!(
            "not calm: {:?}, reloading: {}, {} wait",
            self.pool.counts(),
            self.pool.is_reloading(),
            self.queue.len()
        );
    }
}
