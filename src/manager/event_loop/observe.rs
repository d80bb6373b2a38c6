//! What the manager observes, and reports to the pool.
//!
//! What a reload of the program requires next is decided at the end, because it can end a reload of the
//! pool, and begin one.
//!
//! The order counts: signals, standard error, programs, deaths (each after everything else that the
//! worker has reported or handed over), connections, pages.

use std::time::Duration;

use super::program_step::ProgramStep;
use super::{EventLoop, FirstExec, Observed};
use crate::manager::children::{ExecStatus, exit_of};
use crate::manager::connections::handover;
use crate::manager::event::Event;
use crate::manager::settings::Renewal;
use crate::manager::watch::{Ready, Source};
use crate::pool::{self, Observation, Offers, ProgramEvent, Resize, SlotState, WorkerEvent};
use crate::server::listen;
use crate::sys::clock;
use crate::sys::fd::pipe::discard_pending;
use crate::sys::fd::poll;
use crate::sys::log;
use crate::sys::process::child::{Child, Ended, Fork};
use crate::sys::signal::handlers;
use crate::sys::socket::listeners::Listener;
use crate::worker::{Activity, Snapshot};

impl EventLoop {
    /// Reports everything that happened to the pool.
    pub(super) fn observe(&mut self, ready: Ready) -> Observed {
        let has_signal = self.take_signals();
        self.children.forward_output(&ready, self.clock.now());
        for source in ready.sources() {
            if let Source::ExecStatus(slot) = source {
                self.read_exec_status(slot);
            }
        }
        self.observe_templates(&ready);
        for (slot, ended) in self.children.reap(&ready) {
            self.bury(slot, ended);
        }
        for slot in self.rescues.take_due(&ready, self.clock.now()) {
            self.kill(slot);
        }
        self.reap_adopted();
        self.reap_disposable(&ready);
        if ready.has(Source::Connection) {
            self.settle(pool::Event::Connection);
        }
        if ready.has(Source::Saturation) {
            self.check_saturation();
        }
        let is_woken = ready.has(Source::Wake) && discard_pending(&self.channels.wake.read);
        self.poll_pages(is_woken);
        self.shed();
        self.advance_program();
        Observed { ready, has_signal }
    }

    /// Acts on the signals that arrived. Returns whether there were any.
    fn take_signals(&mut self) -> bool {
        discard_pending(&self.channels.signal_pipe);
        let mut any = handlers::take(libc::SIGCHLD) > 0;
        if any {
            self.orphans.child_has_exited();
        }
        for signal in handlers::MANAGED {
            let times = handlers::take(signal);
            if times > 0 {
                any = true;
                self.outbox.push(Event::signal(signal));
            }
            if times > 0 && matches!(signal, libc::SIGHUP | libc::SIGUSR1 | libc::SIGUSR2) {
                self.reopen_log();
            }
            let event = match signal {
                libc::SIGTERM => pool::Event::Drain,
                libc::SIGINT | libc::SIGQUIT => pool::Event::Stop,
                libc::SIGUSR2 | libc::SIGHUP if self.reloads_program(signal) => {
                    if times > 0 {
                        self.board.receive_program_reload();
                        self.generations.push(ProgramEvent::Requested);
                    }
                    continue;
                }
                libc::SIGHUP if self.generations.is_starting() => {
                    if times > 0 {
                        self.board.receive_covered_reload();
                    }
                    continue;
                }
                libc::SIGHUP => pool::Event::Reload,
                libc::SIGTTIN => pool::Event::Resize(Resize::Up),
                libc::SIGTTOU => pool::Event::Resize(Resize::Down),
                // The host's.
                _ => continue,
            };
            if times > 0 && event == pool::Event::Stop {
                self.request_stop();
                continue;
            }
            if times > 0 {
                match event {
                    pool::Event::Reload => self.board.receive_reload(),
                    pool::Event::Resize(_) => self.board.receive_resize(),
                    _ => {}
                }
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

    /// The log file may have been renamed.
    fn reopen_log(&mut self) {
        self.access_log.reopen();
        if let Err(error) = log::file::reopen() {
            let line = format!("{error}; continuing with the file that is open");
            self.outbox.push(Event::warning(line));
        }
    }

    fn reloads_program(&self, signal: i32) -> bool {
        signal == libc::SIGUSR2 || self.settings.renewal == Renewal::Program
    }

    fn may_grow_by_one(&mut self) -> bool {
        let most = self.pool.most() + 1;
        most > self.settings.pool.max_processes || self.may_grow_to(most)
    }

    /// Stops arrivals, and returns whether a connection waits to be accepted. If the kernel does not
    /// report that, the sockets that were readable before count: afterwards they always are.
    pub(super) fn stop_arrivals(&mut self) -> bool {
        let listeners = || self.listeners.iter().map(Listener::as_fd);
        let mut readable = Vec::new();
        poll::wait(listeners(), Some(Duration::ZERO), &mut readable);
        self.has_stopped_arrivals |= listen::stop_arrivals();
        let mut listeners = self.listeners.iter().enumerate();
        listeners.any(|(position, listener)| {
            let waiting = listener.waiting();
            waiting.map_or_else(|| readable.contains(&position), |count| count > 0)
        })
    }

    fn read_exec_status(&mut self, slot: usize) {
        match self.children.read_exec_status(slot) {
            ExecStatus::Pending => {}
            ExecStatus::Failed(failure) => {
                let line = format!("worker (pid {}): {}", self.children.pid(slot), failure.0);
                self.outbox.push(Event::warning(line));
                // If no worker could ever execute the program, its name is a mistake. Later it may be
                // a broken deploy, which must not stop the pool.
                if failure.is_lasting() && matches!(self.first_exec, FirstExec::Pending) {
                    self.first_exec = FirstExec::Failed(failure.0);
                    self.settle(pool::Event::Stop);
                }
            }
            ExecStatus::Executed => {
                if matches!(self.first_exec, FirstExec::Pending) {
                    self.first_exec = FirstExec::Done;
                }
                self.report(slot, WorkerEvent::Executed);
            }
        }
    }

    pub(super) fn kill(&self, slot: usize) {
        self.children.kill(slot, self.settings.process_group);
    }

    /// A worker was reaped.
    fn bury(&mut self, slot: usize, ended: Ended) {
        let status = match ended {
            Ended::Status(status) => status,
            Ended::Unknown => 0,
        };
        // It may have handed over connections, whether or not it was asked to exit.
        self.handover.mark_pending();
        let scoreboard = self.board.scoreboard();
        let (children, closing) = (&mut self.children, &mut self.closing);
        self.rescues.end(slot, children, scoreboard, closing);
        // The log has its last lines before its death.
        self.read_exec_status(slot);
        self.children.remove(slot, status);
        self.read_final_page(slot);
        let now = self.clock.now();
        self.access_log.take_last(slot, self.board.page(slot), now);
        // A signal to the whole process group may have reached the workers before this process knew of
        // it. What arrived meanwhile is still in the queue.
        let is_last = self.pool.is_stopping() && self.children.iter().next().is_none();
        if is_last && self.has_stopped_arrivals && self.has_waiting_connections() {
            self.settle(pool::Event::Unanswered);
        }
        self.report(slot, WorkerEvent::Exited(exit_of(ended)));
        self.board.scoreboard_mut().hide(slot);
    }

    fn has_waiting_connections(&self) -> bool {
        let mut listeners = self.listeners.iter();
        listeners.any(|listener| listener.waiting() > Some(0))
    }

    /// The page of a worker that has exited no longer changes. The worker may have become ready, and
    /// have served, since the last poll.
    fn read_final_page(&mut self, slot: usize) {
        let snapshot = self.board.page(slot).snapshot();
        if !snapshot.is_some_and(|snapshot| snapshot.has_taken_a_request()) {
            return;
        }
        if self.pool.state(slot) == SlotState::Starting {
            self.report(slot, WorkerEvent::Ready);
        }
        if self.pool.state(slot) == SlotState::Ready {
            self.report(slot, WorkerEvent::Served);
        }
    }

    /// Reaps children that this process did not start. Its own ones must be reaped first, one by one.
    fn reap_adopted(&mut self) {
        let workers = self.children.iter().map(|(_, child)| child.pid());
        self.orphans.reap(workers.chain(self.generations.pids()));
    }

    fn reap_disposable(&mut self, ready: &Ready) {
        for claimant in self.closing.reap(ready) {
            // Its process may have been killed in the middle.
            if self.children.pid(claimant.slot) == claimant.pid {
                self.board.page(claimant.slot).offers().abort_taking();
            }
            self.handover.mark_pending();
        }
    }

    /// What templates report, before any child is reaped that nobody knows.
    fn observe_templates(&mut self, ready: &Ready) {
        let children = &self.children;
        let is_worker = |pid| children.iter().any(|(_, child)| child.pid() == pid);
        let now = self.clock.now();
        for (forking, result) in self.generations.observe(ready, now, is_worker) {
            let known = |pid| Child::of_this_process(pid).ok_or(libc::ECHILD);
            let forked = result.and_then(known).map(Fork::Parent);
            self.complete_fork(forking, None, forked);
        }
    }

    /// Performs what a reload of the program requires next.
    pub(super) fn advance_program(&mut self) {
        let now = self.clock.now();
        if let Some(after) = self.settings.refork_after {
            self.generations.consider_refork(now, &self.pool, after);
        }
        self.generations.push_tick(&self.pool);
        while let Some(actions) = self.generations.next_actions(self.clock.now()) {
            for action in actions {
                match self.program_step().perform(action) {
                    Some(pool::Event::Resize(Resize::To(workers))) => self.resize(workers),
                    Some(event) => drop(self.settle(event)),
                    None => {}
                }
            }
        }
    }

    fn program_step(&mut self) -> ProgramStep<'_> {
        ProgramStep {
            manager: self.pid,
            now: self.clock.now(),
            settings: &mut self.settings,
            pool: &mut self.pool,
            generations: &mut self.generations,
            board: &mut self.board,
            service: &mut self.service,
            outbox: &mut self.outbox,
            channels: &mut self.channels,
            orphans: &mut self.orphans,
            children: &self.children,
            handover: &self.handover,
            listeners: &self.listeners,
            descriptors: &self.descriptors,
        }
    }

    fn check_saturation(&mut self) {
        let warning = self.saturation.check(
            self.clock.now(),
            &self.pool,
            &self.children,
            self.board.scoreboard(),
            &self.listeners,
        );
        warning
            .into_iter()
            .for_each(|event| self.outbox.push(event));
    }

    /// Polls the workers' pages: when one of them has notified the manager, and when the pool needs it.
    /// An invalid page has no effect. Its content is never more than a worker's claim.
    fn poll_pages(&mut self, is_woken: bool) {
        if is_woken {
            self.handover.worker_notified();
        }
        let is_due = is_woken || self.pool.poll_at().is_some_and(|at| at <= self.clock.now());
        for slot in 0..self.children.slots() {
            let state = self.pool.state(slot);
            let is_polled = match state {
                SlotState::Starting | SlotState::Ready => is_due,
                // The progress of retiring workers is checked in each turn.
                SlotState::Retiring => true,
                SlotState::Empty | SlotState::Killed => false,
            };
            let page = self.board.page(slot);
            let Some(snapshot) = is_polled.then(|| page.snapshot()).flatten() else {
                continue;
            };
            // It may have handed over its idle connections, or be about to.
            if is_woken && (state == SlotState::Retiring || snapshot.activity == Activity::Exiting)
            {
                self.handover.mark_pending();
            }
            let is_new = self.children.snapshot(slot) != Some(&snapshot);
            if state != SlotState::Retiring || is_new {
                self.report_snapshot(slot, snapshot);
            }
        }
    }

    fn report_snapshot(&mut self, slot: usize, snapshot: Snapshot) {
        if self.pool.state(slot) == SlotState::Starting {
            match snapshot.activity {
                Activity::Idle | Activity::Reading | Activity::Busy | Activity::Finished => {
                    self.report(slot, WorkerEvent::Ready);
                }
                Activity::Starting => {
                    if self.board.page(slot).has_reported() {
                        self.report(slot, WorkerEvent::Announced);
                    }
                    return;
                }
                // A worker that exits before it ever waited is no capacity.
                Activity::Exiting => return,
            }
        }
        let offers = handover::offers_of(slot, &mut self.children, self.board.page(slot));
        if let Some(observation) = self.observation(&snapshot, offers) {
            let after = self.settings.refork_after;
            if after.is_some_and(|after| snapshot.requests >= after) {
                // It has been reported. The next number that counts is that of max_requests.
                let page = self.board.page(slot);
                page.set_request_limit(self.pool.request_limit(slot));
            }
            self.children.set_snapshot(slot, Some(snapshot));
            self.report(slot, WorkerEvent::Observed(observation));
        }
    }

    /// A snapshot in the pool's terms.
    fn observation(&self, snapshot: &Snapshot, offers: Offers) -> Option<Observation> {
        Some(Observation {
            activity: match snapshot.activity {
                Activity::Starting => return None,
                Activity::Idle | Activity::Finished => pool::Activity::Idle,
                Activity::Reading => pool::Activity::Reading,
                Activity::Busy => pool::Activity::Busy,
                Activity::Exiting => pool::Activity::Exiting,
            },
            request: snapshot.request,
            requests: snapshot.requests,
            // The worker's clock has coarse ticks: no limit may end early.
            since: self.clock.at(snapshot.since + clock::tick()),
            offers,
        })
    }
}
