//! What the manager observes, and tells the pool.

use std::os::fd::AsFd as _;
use std::time::Duration;

use crate::manager::child_start::program::Failure;
use crate::manager::event::Event;
use crate::manager::event_loop::{EventLoop, Source};
use crate::pool::{self, Exit, Observation, Offers, Resize, SlotState, WorkerEvent};
use crate::server::listen;
use crate::sys::clock;
use crate::sys::fd::pipe::discard_pending;
use crate::sys::fd::{io, poll};
use crate::sys::process::adopted;
use crate::sys::process::child::Ended;
use crate::sys::signal::handlers;
use crate::sys::socket::listeners::Listener;
use crate::worker::{Activity, Snapshot};

impl EventLoop {
    /// Acts on the signals that came; whether any did.
    pub(in crate::manager) fn take_signals(&mut self) -> bool {
        discard_pending(&self.parts.signal_pipe);
        let mut any = handlers::take(libc::SIGCHLD) > 0;
        if any && let Some(ended) = &mut self.adopted {
            *ended = true;
        }
        for signal in handlers::MANAGED {
            let times = handlers::take(signal);
            if times > 0 {
                any = true;
                self.publish(Event::signal(signal));
            }
            let event = match signal {
                libc::SIGTERM | libc::SIGINT | libc::SIGQUIT => pool::Event::Stop,
                libc::SIGHUP => pool::Event::Reload,
                libc::SIGTTIN => pool::Event::Resize(Resize::Up),
                libc::SIGTTOU => pool::Event::Resize(Resize::Down),
                // The host's.
                _ => continue,
            };
            if times > 0 && event == pool::Event::Stop && self.leaves_somebody_waiting() {
                self.settle(pool::Event::Connection);
            }
            for _ in 0..times {
                if event == pool::Event::Resize(Resize::Up) && !self.may_grow_by_one() {
                    break;
                }
                self.settle(event);
            }
        }
        any
    }

    /// Ends what arrives, and says whether anything waits to be accepted. Where the kernel does not
    /// tell, what was readable before counts: a socket that was ended always is.
    fn leaves_somebody_waiting(&mut self) -> bool {
        let listeners = || self.parts.listeners.iter().map(Listener::as_fd);
        let mut readable = Vec::new();
        poll::wait(listeners(), Some(Duration::ZERO), &mut readable);
        self.has_stopped_arrivals |= listen::stop_arrivals();
        let mut listeners = self.parts.listeners.iter().enumerate();
        listeners.any(|(position, listener)| {
            let waiting = listener.waiting();
            waiting.map_or_else(|| readable.contains(&position), |count| count > 0)
        })
    }

    /// Workers that have become programs, or tell why they could not.
    pub(in crate::manager) fn hear_of_programs(&mut self, ready: &[Source]) {
        for source in ready {
            if let Source::Executed(slot) = source {
                self.read_exec_status(*slot);
            }
        }
    }

    fn read_exec_status(&mut self, slot: usize) {
        let mut words = [0; 1_024];
        let Some(worker) = self.workers.get_mut(slot) else {
            return;
        };
        let Some(pipe) = &worker.executing else {
            return;
        };
        match io::read(pipe.as_fd(), &mut words) {
            Ok(io::Received::Nothing) => {}
            Ok(io::Received::Bytes(count)) => {
                let failure = Failure::decode(&words[..count]);
                worker.executing = None;
                let line = format!("worker (pid {}): {}", worker.pid, failure.0);
                worker.failure = Some(failure.0.to_string());
                self.publish(Event::notice(line));
                // The first start: what never ran is a mistake of whoever named it. Later it may be a broken
                // deploy, which takes nothing down.
                if failure.is_lasting() && !self.has_executed && self.fatal.is_none() {
                    self.fatal = Some(failure.0);
                    self.settle(pool::Event::Stop);
                }
            }
            Ok(io::Received::End) | Err(_) => {
                worker.executing = None;
                self.has_executed = true;
                self.report(slot, WorkerEvent::Executed);
            }
        }
    }

    /// Waits for children that this process did not make. Those that it made are waited for first, one by one.
    pub(in crate::manager) fn reap_adopted(&mut self) {
        if self.adopted == Some(true) {
            let workers: Vec<_> = self.children().map(|(_, child)| child.pid()).collect();
            self.adopted = Some(!adopted::reap(|pid| workers.contains(&pid)));
        }
    }

    pub(in crate::manager) fn reap(&mut self, ready: &[Source]) {
        let mut gone = Vec::new();
        let mut ended = ready.iter().filter_map(|source| match source {
            Source::Child(slot) => Some(*slot),
            _ => None,
        });
        let mut next = ended.next();
        for (slot, child) in self.children() {
            // Whoever's descriptor says so, and whoever has none. Both go up.
            let told = next == Some(slot);
            if told {
                next = ended.next();
            }
            if (told || child.pidfd().is_none())
                && let Some(ended) = child.try_wait()
            {
                gone.push((slot, ended));
            }
        }
        for (slot, ended) in gone {
            let (status, exit) = match ended {
                Ended::Status(status) if libc::WIFSIGNALED(status) => {
                    (status, Exit::Signal(libc::WTERMSIG(status)))
                }
                Ended::Status(status) => (status, Exit::Code(libc::WEXITSTATUS(status))),
                Ended::Unknown => (0, Exit::Unknown),
            };
            // It may have handed connections on, whether or not it was told to leave.
            self.handed_over = true;
            self.end_rescue(slot);
            // Its last words come before the news of its death.
            self.read_exec_status(slot);
            let worker = &mut self.workers[slot];
            worker.child = None;
            worker.status = status;
            worker.executing = None;
            if let Some(output) = &mut worker.output {
                output.pass_on_rest();
            }
            self.take_final_look(slot);
            // The workers may have exited because of a signal to the whole group, before this process learnt of it, and
            // what arrived between the two is in the queue.
            if self.pool.is_stopping()
                && self.children().next().is_none()
                && self.has_stopped_arrivals
                && self
                    .parts
                    .listeners
                    .iter()
                    .any(|listener| listener.waiting() > Some(0))
            {
                self.settle(pool::Event::Unanswered);
            }
            self.report(slot, WorkerEvent::Exited(exit));
            self.parts.scoreboard.hide(slot);
        }
    }

    /// What the page of a worker that is gone says, which changes no more. It may have been ready, and have served, since the
    /// last look.
    fn take_final_look(&mut self, slot: usize) {
        let Some(look) = self.page(slot).snapshot() else {
            return;
        };
        if !look.has_taken_a_request() {
            return;
        }
        if self.is_starting(slot) {
            self.report(slot, WorkerEvent::Ready);
        }
        if self.pool.state(slot) == SlotState::Ready {
            self.report(slot, WorkerEvent::Served);
        }
    }

    /// Looks into the workers' pages: when one of them asked for it, and when the pool wants to know.
    /// A page that makes no sense says nothing. What it says is never more than an answer.
    pub(in crate::manager) fn look(&mut self, woken: bool) {
        self.handed_over |= woken && std::mem::take(&mut self.asked_to_share);
        let due = woken || self.pool.poll_at().is_some_and(|at| at <= self.now());
        for slot in 0..self.workers.len() {
            let state = self.pool.state(slot);
            let look = match state {
                SlotState::Starting | SlotState::Ready if due => self.page(slot).snapshot(),
                // How those that leave are getting on is looked at in each turn.
                SlotState::Retiring => self.page(slot).snapshot(),
                SlotState::Starting | SlotState::Ready | SlotState::Empty | SlotState::Gone => None,
            };
            let Some(look) = look else { continue };
            // It may have put its idle connections into the queue, or be about to.
            self.handed_over |=
                woken && (state == SlotState::Retiring || look.activity == Activity::Leaving);
            if self.workers[slot].snapshot.as_ref() == Some(&look) && state == SlotState::Retiring {
                continue;
            }
            if self.is_starting(slot) {
                match look.activity {
                    Activity::Idle | Activity::Reading | Activity::Busy | Activity::Finished => {
                        self.report(slot, WorkerEvent::Ready);
                    }
                    Activity::Starting => {
                        if self.page(slot).has_reported() {
                            self.report(slot, WorkerEvent::Announced);
                        }
                        continue;
                    }
                    // One that leaves before it ever waited is no capacity.
                    Activity::Leaving => continue,
                }
            }
            let offers = self.offers_of(slot);
            if let Some(observation) = self.observation(&look, offers) {
                self.workers[slot].snapshot = Some(look);
                self.report(slot, WorkerEvent::Observed(observation));
            }
        }
    }

    /// A look in the pool's terms.
    fn observation(&self, look: &Snapshot, offers: Offers) -> Option<Observation> {
        Some(Observation {
            activity: match look.activity {
                Activity::Starting => return None,
                Activity::Idle | Activity::Finished => pool::Activity::Idle,
                Activity::Reading => pool::Activity::Reading,
                Activity::Busy => pool::Activity::Busy,
                Activity::Leaving => pool::Activity::Leaving,
            },
            request: look.request,
            requests: look.requests,
            // The worker reads a clock that goes in ticks: no limit is to end early.
            since: (look.since + clock::tick()).saturating_sub(self.origin),
            offers,
        })
    }
}
