//! What the manager performs of what the pool decides.

use std::os::fd::AsFd as _;
use std::time::Duration;

use crate::error::Error;
use crate::manager::event::Event;
use crate::manager::event_loop::{EventLoop, Measured, Worker};
use crate::pool::{self, Action, Notice, Overdue, SlotState, WorkerEvent};
use crate::server::listen;
use crate::sys::fd::poll;
use crate::sys::process::inspect;
use crate::sys::signal::wakeup;
use crate::worker::{Activity, Order};

/// Pages that were shared with other processes become private without a sign: then all is measured again.
const MEASURED_AGAIN: Duration = Duration::from_secs(10);

/// A reload of many workers must not wake all for each that leaves.
pub(in crate::manager) const HANDOVER_PAUSE: Duration = Duration::from_millis(20);

/// As long as nobody takes what waits there, all are woken again, more and more seldom.
const HANDOVER_PAUSE_MAX: Duration = Duration::from_secs(1);

impl EventLoop {
    pub(in crate::manager) fn report(&mut self, slot: usize, event: WorkerEvent) {
        self.settle(pool::Event::Worker { slot, event });
    }

    /// Tells the pool, performs what it answers, and returns the slot it wants a worker in.
    pub(in crate::manager) fn settle(&mut self, event: pool::Event) -> Option<usize> {
        if event == pool::Event::Stop && !self.pool.is_stopping() {
            self.settle_for_stop();
        }
        let mut actions = std::mem::take(&mut self.actions);
        self.pool.handle(self.now(), event, &mut actions);
        let mut fork = None;
        let mut measured = Vec::new();
        for action in actions.drain(..) {
            match action {
                Action::Fork { slot } => fork = Some(slot),
                Action::Retire { slot, last } => {
                    let order = if last {
                        Order::RetireLast
                    } else {
                        Order::Retire
                    };
                    self.page(slot).give_order(order);
                    self.workers[slot].snapshot = None;
                }
                Action::Wake { slot } => self.wake(slot),
                // Its first Accept may have come since the pool was told.
                Action::Terminate { slot } => match self.page(slot).activity() {
                    Some(
                        Activity::Idle | Activity::Reading | Activity::Busy | Activity::Finished,
                    ) => {
                        self.wake(slot);
                    }
                    Some(Activity::Starting | Activity::Leaving) | None => {
                        self.signal(slot, self.settings.stop_signal);
                    }
                },
                Action::GiveNotice { slot } => self.give_notice(slot),
                Action::Kill { slot, rescue } => {
                    if rescue {
                        self.claim_offers(slot);
                        self.begin_rescue(slot);
                    }
                    self.kill(slot);
                }
                Action::ClaimOffers { slot } => self.claim_offers(slot),
                Action::Rebalance { slot } => {
                    self.page(slot).request_rebalance();
                    self.asked_to_share = true;
                }
                Action::Measure { slot } => measured.push(slot),
                Action::Notice(notice) => {
                    // Before anybody is told: a worker that leaves has seen the queue's end.
                    if notice == Notice::Stopping {
                        self.has_stopped_arrivals |= listen::stop_arrivals();
                    }
                    self.notice(notice);
                }
                Action::Stopped => self.stopped = true,
            }
        }
        self.actions = actions;
        for slot in measured {
            if let Some(bytes) = self.private_memory(slot) {
                self.report(slot, WorkerEvent::Memory { bytes });
            }
        }
        fork
    }

    fn kill(&self, slot: usize) {
        match &self.workers[slot].child {
            Some(child) if self.settings.process_group => child.kill_group(),
            Some(child) => child.signal(libc::SIGKILL),
            None => {}
        }
    }

    /// A worker's private memory, or what it is at most if that is below the limit: to measure takes a walk through all of
    /// its pages, and what it may have grown by is known without.
    fn private_memory(&mut self, slot: usize) -> Option<u64> {
        let (now, limit) = (self.now(), self.settings.pool.max_memory);
        let worker = &mut self.workers[slot];
        let resident = inspect::resident_memory(worker.pid)?;
        if resident <= limit {
            return Some(resident);
        }
        if let Some(measured) = &worker.measured
            && now < measured.at + MEASURED_AGAIN
        {
            let grown = resident.saturating_sub(measured.resident);
            let most = measured.private.saturating_add(grown);
            if most <= limit {
                return Some(most);
            }
        }
        let private = inspect::private_memory(worker.pid)?;
        worker.measured = Some(Measured {
            at: now,
            private,
            resident,
        });
        Some(private)
    }

    fn signal(&self, slot: usize, signal: i32) {
        if let Some(child) = &self.workers[slot].child {
            child.signal(signal);
        }
    }

    /// Interrupts a worker's wait. One that only serves requests looks at its order behind each of them, and a signal
    /// would end the application's own select(2), which is never restarted (signal(7)).
    fn wake(&self, slot: usize) {
        if !self.page(slot).only_serves() {
            self.signal(slot, wakeup::WAKE_SIGNAL);
        }
    }

    /// Tells a worker that its request has been running for too long. Only one that handles the signal
    /// gets it: by default it would kill.
    fn give_notice(&self, slot: usize) {
        let worker = &self.workers[slot];
        if let Some(look) = &worker.snapshot {
            self.page(slot).give_notice(look.request);
        }
        if let Some(signal) = self.settings.notice_signal
            && inspect::catches(worker.pid, signal)
        {
            self.signal(slot, signal);
        }
    }

    /// Has every worker look at the hand-over queue, those that wait at once, if something is in it. Not when a
    /// worker is told to leave: only when it has looked at that order can anything be there.
    pub(in crate::manager) fn wake_for_handover(&mut self) {
        if !self.handed_over || self.now() < self.handover_gate {
            return;
        }
        self.handed_over = false;
        let mut queued = Vec::new();
        let queue = std::iter::once(self.parts.handover.1.as_fd());
        poll::wait(queue, Some(Duration::ZERO), &mut queued);
        if queued.is_empty() {
            self.handover_pause = HANDOVER_PAUSE;
            return;
        }
        // A worker without a free descriptor leaves it to the others.
        self.handed_over = true;
        self.handover_gate = self.now() + self.handover_pause;
        self.handover_pause = HANDOVER_PAUSE_MAX.min(self.handover_pause * 2);
        let mut is_anybody_idle = false;
        for (slot, child) in self.children() {
            if self.pool.state(slot) == SlotState::Ready
                && self.page(slot).activity() == Some(Activity::Idle)
            {
                child.signal(wakeup::WAKE_SIGNAL);
                is_anybody_idle = true;
            }
        }
        // Under load nobody may be, nor ever find the listen queue empty and look elsewhere.
        if !is_anybody_idle {
            for (slot, _) in self.children() {
                self.page(slot).set_handover_hint();
            }
        }
    }

    fn notice(&mut self, notice: Notice) {
        let config = &self.settings.pool;
        let pid = |slot: usize| self.workers[slot].pid;
        let event = match notice {
            Notice::Started { slot } => Event::started(pid(slot)),
            Notice::Ready { slot } => Event::ready(pid(slot)),
            Notice::Exited { slot, exit } => {
                Event::exited(pid(slot), self.workers[slot].status, exit)
            }
            Notice::ReloadBegun => Event::reload_begun(),
            Notice::ReloadQueued => Event::notice("a reload is going on; another one follows"),
            Notice::ReloadRolled { old } => Event::reload_rolled(old),
            Notice::ReloadDone => Event::reload_done(),
            Notice::ReloadFailed { slot, cause } => {
                // Where none could be forked, there is nobody in the slot.
                let worker = self.workers.get(slot);
                Event::reload_failed(
                    worker.map_or(0, |worker| worker.pid),
                    cause,
                    config.start_timeout,
                    worker.and_then(Worker::stderr_tail),
                )
            }
            Notice::Killing { slot, overdue } => {
                let limit = match overdue {
                    Overdue::Start => config.start_timeout,
                    Overdue::Exit => config.die_timeout,
                    Overdue::Request => Some(config.request_timeout_grace),
                };
                Event::killing(pid(slot), overdue, limit, &self.request_of(slot))
            }
            Notice::Slow { slot, age } => Event::slow(pid(slot), age, &self.request_of(slot)),
            Notice::Overdue { slot, age } => {
                Event::timed_out(pid(slot), age, &self.request_of(slot))
            }
            Notice::Recycling { slot, why } => Event::recycling(pid(slot), why),
            Notice::BackingOff { pause } => Event::notice(format!(
                "workers die soon after their start; the next one is started in {:.1} s",
                pause.as_secs_f64()
            )),
            Notice::DeparturesLimited { limit } => Event::notice(format!(
                "workers exit with status 0 soon after their start, more than {limit} a second; \
                 their replacements are limited to {limit} a second"
            )),
            Notice::ForkFailed { errno, pause } => {
                let error = Error::system("fork of a worker", errno);
                Event::notice(format!("{error}; tried again in {pause:?}"))
            }
            Notice::Resized { wanted } => {
                self.tell_size(wanted);
                Event::resized(wanted)
            }
            Notice::Sized { wanted, up: _ } => {
                self.tell_size(wanted);
                Event::sized()
            }
            Notice::Emptied => Event::emergency(),
            Notice::Recovered => Event::recovered(),
            Notice::Stopping => Event::stopping(self.children().count()),
        };
        self.publish_notice(notice, &event);
        self.publish(event);
    }

    /// Workers tell their peers how many there are.
    fn tell_size(&self, wanted: usize) {
        let size = u32::try_from(wanted).unwrap_or(u32::MAX);
        self.children()
            .for_each(|(slot, _)| self.page(slot).set_pool_size(size));
    }

    /// What a worker's request is, for a line of the log.
    fn request_of(&self, slot: usize) -> String {
        let Some((_, details)) = self.request_in(slot) else {
            return match self.page(slot).activity() {
                Some(Activity::Reading) => ": its parameters have not arrived".to_owned(),
                _ => String::new(),
            };
        };
        match (details.method.as_str(), details.uri.as_str()) {
            ("", "") => String::new(),
            (method, uri) => format!(": {method} {uri}"),
        }
    }
}
