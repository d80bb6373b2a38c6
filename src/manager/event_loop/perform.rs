//! What the manager performs of what the pool decides.

use std::time::Duration;

use super::{Decided, Ending, EventLoop, Forked, HostFork};
use crate::error::{Code, Error, Result};
use crate::manager::children::{Forking, Newborn};
use crate::manager::connections::rescue::Begun;
use crate::manager::connections::{PoolView, Shed, Shedding};
use crate::manager::event::Event;
use crate::manager::settings::{ForkedBy, SignalHandlers};
use crate::pool::{self, Action, Exit, Notice, ProgramEvent, Source, WorkerEvent};
use crate::server::listen;
use crate::sys::process::child::{self, Child, Fork};
use crate::sys::process::{fork_hooks, inspect};
use crate::sys::signal::handlers::Held;
use crate::worker::{Activity, Order, QUEUES};

impl EventLoop {
    pub(super) fn report(&mut self, slot: usize, event: WorkerEvent) {
        self.settle(pool::Event::Worker { slot, event });
    }

    /// Reports an event to the pool, and performs its actions. Returns the slot in which it wants a new
    /// worker.
    pub(super) fn settle(&mut self, event: pool::Event) -> Option<usize> {
        if event == pool::Event::Stop && !self.pool.is_stopping() {
            self.with_shedding(|shedding, _| shedding.stop());
            self.generations.push(ProgramEvent::Stop);
        }
        let mut fork = None;
        self.inbox.push_back(event);
        while let Some(event) = self.inbox.pop_front() {
            self.actions.clear();
            self.pool.handle(self.clock.now(), event, &mut self.actions);
            for index in 0..self.actions.len() {
                if let Some(&action) = self.actions.get(index) {
                    fork = self.perform(action).or(fork);
                }
            }
        }
        if self.ending == Ending::Due {
            self.ending = Ending::None;
            self.request_stop();
        }
        fork
    }

    /// Arrivals are stopped before the pool asks any worker to exit.
    pub(super) fn request_stop(&mut self) {
        if self.stop_arrivals() {
            self.settle(pool::Event::Connection);
        }
        self.settle(pool::Event::Stop);
    }

    fn perform(&mut self, action: Action) -> Option<usize> {
        match action {
            Action::Fork { slot } => return Some(slot),
            Action::Retire { slot, last } => {
                let order = if last {
                    Order::RetireLast
                } else {
                    Order::Retire
                };
                self.board.page(slot).give_order(order);
                self.children.set_snapshot(slot, None);
            }
            Action::Wake { slot } => self.wake(slot),
            // It may have entered its first Accept since the pool was notified.
            Action::Terminate { slot } => match self.board.page(slot).activity() {
                Some(Activity::Idle | Activity::Reading | Activity::Busy | Activity::Finished) => {
                    self.wake(slot);
                }
                Some(Activity::Starting | Activity::Exiting) | None => {
                    self.children.signal(slot, self.settings.stop_signal);
                }
            },
            Action::GiveNotice { slot } => self.give_notice(slot),
            Action::Kill { slot, rescue } => {
                if !rescue || self.begin_rescue(slot) == Begun::Kill {
                    self.kill(slot);
                }
            }
            Action::ClaimOffers { slot } => self.claim_offers(slot),
            Action::Rebalance { slot } => {
                self.handover.request_rebalance(self.board.page(slot));
            }
            Action::Measure { slot } => {
                let (now, limit) = (self.clock.now(), self.settings.pool.max_memory);
                let memory = self.children.private_memory(slot, now, limit);
                self.inbox.extend(memory.map(|bytes| pool::Event::Worker {
                    slot,
                    event: WorkerEvent::Memory { bytes },
                }));
            }
            Action::Notice(notice) => {
                // Before a worker is asked to exit: one that exits has seen the end of the queue.
                if notice == Notice::Stopping {
                    self.has_stopped_arrivals |= listen::stop_arrivals();
                }
                self.notice(notice);
            }
            // Not within the handling of another event.
            Action::Stop => self.ending = Ending::Due,
            Action::Stopped => self.ending = Ending::Stopped,
        }
        None
    }

    fn begin_rescue(&mut self, slot: usize) -> Begun {
        self.claim_offers(slot);
        let (now, page) = (self.clock.now(), self.board.page(slot));
        let (children, closing) = (&mut self.children, &mut self.closing);
        self.rescues.begin(now, slot, children, page, closing)
    }

    fn claim_offers(&mut self, slot: usize) {
        self.handover.claim_offers(
            slot,
            &mut self.children,
            self.board.page(slot),
            &self.listeners,
            &mut self.closing,
        );
    }

    fn wake(&self, slot: usize) {
        self.children.wake(slot, self.board.page(slot));
    }

    /// Notifies a worker that its request has exceeded `request_timeout`. It gets the signal only if it
    /// handles it: by default the signal would kill it.
    fn give_notice(&self, slot: usize) {
        if let Some(snapshot) = self.children.snapshot(slot) {
            self.board.page(slot).give_notice(snapshot.request);
        }
        if let Some(signal) = self.settings.notice_signal {
            if inspect::catches(self.children.pid(slot), signal) {
                self.children.signal(slot, signal);
            }
        }
    }

    /// Logs a notice, publishes its effect, and keeps it for the host.
    fn notice(&mut self, notice: Notice) {
        let (children, board) = (&self.children, &mut self.board);
        let config = &self.settings.pool;
        let event = super::notices::event_of(notice, config, children, board.scoreboard());
        if let Notice::Resized { wanted } | Notice::Sized { wanted, .. } = notice {
            // Workers report to FastCGI clients how many there are.
            let size = u32::try_from(wanted).unwrap_or(u32::MAX);
            for (slot, _) in children.iter() {
                board.page(slot).set_pool_size(size);
            }
        }
        board.publish_notice(notice, &event, children);
        if let (Notice::Exited { slot, exit }, Some(shedding)) = (notice, &mut self.shedding) {
            let was_killed = matches!(exit, Exit::Signal(_) | Exit::Unknown);
            shedding.inherit_counts(board.page(slot), was_killed);
        }
        if let Notice::ReloadFailed { .. } = notice {
            self.generations.push(ProgramEvent::PoolFailed);
        }
        self.service.notice(notice, &event, board.served(notice));
        self.outbox.push(event);
        if let Notice::Slow { slot, .. } = notice {
            let (worker, now) = (self.children.pid(slot), self.clock.now());
            let refused = self.slow_log.begin(worker, &self.settings, now);
            refused
                .into_iter()
                .for_each(|event| self.outbox.push(event));
        }
    }

    /// When the listen queues are to be sampled. A pool that stops answers what waits.
    pub(super) fn shedding_at(&self) -> Option<Duration> {
        let at = self.shedding.as_ref()?.sample_at();
        at.filter(|_| !self.pool.is_stopping())
    }

    /// Samples the listen queues when it is time, and starts a process for what has waited too long.
    pub(super) fn shed(&mut self) {
        let now = self.clock.now();
        let is_due = self.shedding_at().is_some_and(|at| at <= now);
        let may_wait = self.closing.has_room();
        self.with_shedding(|shedding, pool| shedding.step(pool, now, is_due, may_wait));
    }

    fn with_shedding(&mut self, step: impl FnOnce(&mut Shedding, PoolView<'_>) -> Shed) {
        let Some(shedding) = &mut self.shedding else {
            return;
        };
        let pool = PoolView {
            clock: self.clock,
            pool: &self.pool,
            children: &self.children,
            scoreboard: self.board.scoreboard(),
            listeners: &self.listeners,
            handover: self.handover.sender(),
            are_programs: self.settings.program.is_some(),
        };
        let shed = step(shedding, pool);
        shed.events
            .into_iter()
            .for_each(|event| self.outbox.push(event));
        if shed.has_handed_over {
            self.handover.mark_pending();
        }
        if let Some(process) = shed.finished {
            self.closing.add(process, None);
        }
    }

    /// The listening sockets at which a worker is to count.
    fn counted_queues(&self) -> [u64; QUEUES] {
        let mut inodes = [0; QUEUES];
        if self.shedding.is_some() {
            for (inode, listener) in inodes.iter_mut().zip(&self.listeners) {
                *inode = listener.inode;
            }
        }
        inodes
    }

    /// Whether there are enough descriptors for this many workers. If not, that is logged.
    pub(super) fn may_grow_to(&mut self, workers: usize) -> bool {
        let grown = self.descriptors.check_growth(workers, &self.settings);
        let Err(shortage) = grown else {
            return true;
        };
        let stays = match shortage.is_fatal {
            true => format!(": the number of workers stays at {}", self.pool.most()),
            false => String::new(),
        };
        self.outbox.push(Event::warning(shortage.line + &stays));
        !shortage.is_fatal
    }

    pub(super) fn fork(&mut self, decided: Decided) -> Forked {
        let Some(slot) = decided.fork else {
            return Forked::Parent(decided.observed);
        };
        match self.settings.forked_by {
            _ if self.generations.source() != Source::Manager => {
                self.fork_by_template(slot);
                Forked::Parent(decided.observed)
            }
            ForkedBy::Host => {
                self.host_fork = HostFork::Due { slot };
                Forked::ByHost
            }
            ForkedBy::Manager => match self.fork_here(slot) {
                Some(newborn) => Forked::Child(newborn),
                None => Forked::Parent(decided.observed),
            },
        }
    }

    /// `Some` in the child, in which all signals stay blocked.
    fn fork_here(&mut self, slot: usize) -> Option<Newborn> {
        // A failure was reported.
        let forking = self.prepare_fork(slot).ok()?;
        fork_hooks::before();
        let held = Held::begin();
        let forked = child::fork();
        self.complete_fork(forking, Some(held), forked)
    }

    /// Asks the template to fork a worker. The pool learns of the result later.
    fn fork_by_template(&mut self, slot: usize) {
        // A failure was reported.
        let Ok(mut forking) = self.prepare_fork(slot) else {
            return;
        };
        let requested = match forking.prepare_known() {
            Ok(()) => {
                let region = self.board.scoreboard().region(slot);
                let now = self.clock.now();
                self.generations.request_fork(now, forking, region)
            }
            Err(error) => Err((forking, error.errno())),
        };
        if let Err((forking, errno)) = requested {
            self.complete_fork(forking, None, Err(errno));
        }
    }

    /// Everything before a fork that can fail. The error is errno, and was reported to the pool.
    fn prepare_fork(&mut self, slot: usize) -> std::result::Result<Forking, i32> {
        self.children.vacate(slot);
        self.shedding.iter().for_each(Shedding::worker_starts);
        let size = u32::try_from(self.pool.counts().wanted).unwrap_or(u32::MAX);
        let limit = self.settings.notify_limit(self.pool.request_limit(slot));
        self.board.scoreboard_mut().begin(slot, size, limit);
        let (page, options) = (self.board.page(slot), &self.settings.options);
        page.set_queues(self.counted_queues());
        page.set_status_key(self.admin.status_key());
        self.access_log.begin(slot, page, options, self.clock.now());
        Forking::prepare(slot, &self.settings, self.rescues.workers_send()).map_err(|error| {
            let errno = error.errno();
            self.report(slot, WorkerEvent::ForkFailed { errno });
            errno
        })
    }

    /// `Some` in the child, in which all signals stay blocked.
    pub(super) fn complete_fork(
        &mut self,
        forking: Forking,
        held: Option<Held>,
        forked: std::result::Result<Fork, i32>,
    ) -> Option<Newborn> {
        let slot = forking.slot();
        if matches!(forked, Ok(Fork::Child)) {
            held.into_iter().for_each(Held::keep);
            return Some(forking.into_newborn());
        }
        drop(held);
        self.board.scoreboard_mut().keep_visible(slot);
        match forked {
            Ok(Fork::Parent(child)) => {
                let has_sigchld = self.settings.signal_handlers == SignalHandlers::Manager;
                if child.pidfd().is_none() && has_sigchld {
                    self.channels.signals.watch_children();
                }
                self.children.add(forking, child);
                self.report(slot, WorkerEvent::Forked);
            }
            Ok(Fork::Child) => {}
            Err(errno) => self.report(slot, WorkerEvent::ForkFailed { errno }),
        }
        None
    }

    pub(crate) const fn is_fork_due(&self) -> bool {
        matches!(self.host_fork, HostFork::Due { .. })
    }

    pub(crate) const fn is_fork_begun(&self) -> bool {
        matches!(self.host_fork, HostFork::Begun { .. })
    }

    /// The host forks now, with all signals blocked. The error is errno, and was reported to the pool.
    pub(crate) fn begin_host_fork(&mut self, held: Held) -> std::result::Result<(), i32> {
        let HostFork::Due { slot } = std::mem::replace(&mut self.host_fork, HostFork::None) else {
            return Ok(());
        };
        let begun = self.prepare_fork(slot).and_then(|mut forking| {
            if let Err(error) = forking.prepare_known() {
                let errno = error.errno();
                self.complete_fork(forking, Some(held), Err(errno));
                return Err(errno);
            }
            self.host_fork = HostFork::Begun { forking, held };
            Ok(())
        });
        begun.inspect_err(|_| self.end_turn(false))
    }

    /// The result of the host's fork. `Some` in the child, in which all signals stay blocked.
    pub(crate) fn complete_host_fork(
        &mut self,
        forked: std::result::Result<Fork, i32>,
    ) -> Option<Newborn> {
        match std::mem::replace(&mut self.host_fork, HostFork::None) {
            HostFork::Begun { forking, held } => {
                let newborn = self.complete_fork(forking, Some(held), forked);
                if newborn.is_none() {
                    self.end_turn(false);
                }
                newborn
            }
            HostFork::Due { slot } => {
                if let Err(errno) = forked {
                    self.report(slot, WorkerEvent::ForkFailed { errno });
                    self.end_turn(false);
                }
                None
            }
            HostFork::None => None,
        }
    }

    /// The child of this process that the host has forked.
    ///
    /// # Errors
    /// [`Code::Argument`]: it is a worker already, or not a child.
    pub(crate) fn child_of_host(&self, pid: i32) -> Result<Child> {
        let wrong = |what: &str| {
            let message = format!("argument pid: {pid} is {what}");
            Err(Error::caused(Code::Argument, message, libc::ECHILD))
        };
        if self.children.iter().any(|(_, worker)| worker.pid() == pid) {
            return wrong("a worker already");
        }
        Child::of_this_process(pid).map_or_else(|| wrong("not a child of this process"), Ok)
    }
}
