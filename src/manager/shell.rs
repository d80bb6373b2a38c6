//! The loop: wait, tell the pool, perform.

use std::collections::VecDeque;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use super::event::{self, Event};
use super::pid_file::PidFile;
use super::start::Settings;
use crate::error::Error;
use crate::pool::{self, Action, Exit, Notice, Overdue, Pool, Report, Resize, SlotState};
use crate::server::supervision::{Activity, Order, Page, Scoreboard};
use crate::sys::channel::{Pipe, drain};
use crate::sys::child::{self, Child, Ended, Fork};
use crate::sys::kick;
use crate::sys::readiness::{self, Waited};
use crate::sys::signals::{self, Signals};

/// How often children are looked at that neither a descriptor nor a signal tells of.
const LOOK: Duration = Duration::from_millis(500);

/// A reload of many workers must not kick all for each that leaves.
const HANDOVER_PAUSE: Duration = Duration::from_millis(20);

/// Everything that a running manager has.
#[derive(Debug)]
pub(super) struct Shell {
    settings: Settings,
    pool: Pool,
    /// The zero of the pool's time.
    origin: Instant,
    /// By slot.
    pub(super) workers: Vec<Worker>,
    pub(super) scoreboard: Scoreboard,
    pub(super) pid_file: Option<PidFile>,
    pub(super) signals: Signals,
    /// Readable when a signal arrived.
    pub(super) signal_pipe: OwnedFd,
    /// Readable when a worker has become ready, or is leaving.
    pub(super) wake: Pipe,
    /// At its end when the manager is gone.
    pub(super) life: Pipe,
    pub(super) handover: (OwnedFd, OwnedFd),
    events: VecDeque<Event>,
    actions: Vec<Action>,
    /// Connections may wait in the hand-over queue for somebody who looks.
    handed_over: bool,
    /// Nobody is kicked to look before this time.
    handover_gate: Duration,
    stopped: bool,
}

/// What the manager knows of a slot.
#[derive(Debug, Default)]
pub(super) struct Worker {
    /// The worker's, or of the last one that was here.
    pid: i32,
    child: Option<Child>,
    /// What the pool was last told of a worker on its way out.
    idle: Option<bool>,
    /// The wait status of the last one that was here.
    status: i32,
}

/// How a turn of the loop ended.
pub(super) enum Turn {
    /// There may be events, or not.
    Again,
    /// In the child of a fork. All signals are held.
    InWorker {
        /// The slot it has.
        slot: usize,
    },
    /// The pool has stopped, and everything was put back.
    Stopped,
    /// A signal of the host's came: it may want to do something about it.
    Interrupted,
}

impl Shell {
    #[allow(clippy::too_many_arguments)]
    pub(super) fn new(
        settings: Settings,
        pool: Pool,
        scoreboard: Scoreboard,
        pid_file: Option<PidFile>,
        signals: Signals,
        signal_pipe: OwnedFd,
        wake: Pipe,
        life: Pipe,
        handover: (OwnedFd, OwnedFd),
    ) -> Self {
        let mut this = Self {
            settings,
            pool,
            origin: Instant::now(),
            workers: Vec::new(),
            scoreboard,
            pid_file,
            signals,
            signal_pipe,
            wake,
            life,
            handover,
            events: VecDeque::new(),
            actions: Vec::new(),
            handed_over: false,
            handover_gate: Duration::ZERO,
            stopped: false,
        };
        this.tell_pool(pool::Event::Start);
        this
    }

    pub(super) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(super) fn publish(&mut self, event: Event) {
        self.events.push_back(event::log(self.settings.log, event));
    }

    /// One turn of the loop.
    pub(super) fn turn(&mut self) -> Turn {
        let mut ready = Vec::new();
        let interrupted = self.wait(&mut ready) == Waited::Interrupted;
        let ours = self.take_signals();
        self.reap(&ready);
        if ready.contains(&WAKE) && drain(&self.wake.read) {
            self.look_at_starting();
        }
        self.look_at_retiring();
        let fork = self.tell_pool(pool::Event::Tick);
        self.kick_for_handover();
        if let Some(slot) = fork
            && self.fork(slot)
        {
            return Turn::InWorker { slot };
        }
        if !self.events.is_empty() {
            Turn::Again
        } else if self.stopped {
            Turn::Stopped
        } else if interrupted && !ours {
            Turn::Interrupted
        } else {
            Turn::Again
        }
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn wait(&self, ready: &mut Vec<usize>) -> Waited {
        let blind = !self.settings.handles_signals
            && self.children().any(|(_, child)| child.pidfd().is_none());
        let now = self.now();
        let timeout = [
            self.pool.deadline(),
            self.handed_over.then_some(self.handover_gate),
            self.stopped.then_some(now),
            blind.then_some(now + LOOK),
        ]
        .into_iter()
        .flatten()
        .min()
        .map(|at| at.saturating_sub(now));
        let pidfds = self.children().filter_map(|(_, child)| child.pidfd());
        let descriptors = [self.signal_pipe.as_fd(), self.wake.read.as_fd()];
        readiness::wait(descriptors.into_iter().chain(pidfds), timeout, ready)
    }

    fn children(&self) -> impl Iterator<Item = (usize, &Child)> {
        let children = self.workers.iter().enumerate();
        children.filter_map(|(slot, worker)| Some((slot, worker.child.as_ref()?)))
    }
}

/// Positions among the descriptors waited for; the children's follow.
const WAKE: usize = 1;
const CHILDREN: usize = 2;

/// Observing.
impl Shell {
    /// Acts on the signals that came; whether any did.
    fn take_signals(&mut self) -> bool {
        drain(&self.signal_pipe);
        let mut any = signals::take(libc::SIGCHLD) > 0;
        for signal in signals::MANAGED {
            let times = signals::take(signal);
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
            for _ in 0..times {
                self.tell_pool(event);
            }
        }
        any
    }

    fn reap(&mut self, ready: &[usize]) {
        let mut position = CHILDREN;
        let mut gone = Vec::new();
        for (slot, child) in self.children() {
            // Whoever's descriptor says so, and whoever has none.
            let look = child.pidfd().is_none() || {
                position += 1;
                ready.binary_search(&(position - 1)).is_ok()
            };
            if look && let Some(ended) = child.try_wait() {
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
            self.workers[slot].child = None;
            self.workers[slot].status = status;
            self.report(slot, Report::Exited(exit));
        }
    }

    /// Who of those that start is ready? Nothing that stands in a page is more than an answer.
    fn look_at_starting(&mut self) {
        for slot in 0..self.workers.len() {
            match self.pool.state(slot) {
                SlotState::Starting => match self.page(slot).activity() {
                    Some(Activity::Idle | Activity::Reading | Activity::Busy) => {
                        self.report(slot, Report::Ready);
                    }
                    // One that leaves before it ever waited is no capacity.
                    Some(Activity::Starting | Activity::Leaving) | None => {}
                },
                // It may have put its idle connections into the queue.
                SlotState::Retiring => self.handed_over = true,
                // Somebody else told it to leave.
                SlotState::Ready => {
                    self.handed_over |= self.page(slot).activity() == Some(Activity::Leaving);
                }
                SlotState::Empty | SlotState::Gone => {}
            }
        }
    }

    /// Tells the pool which of those that leave still wait for requests.
    fn look_at_retiring(&mut self) {
        for slot in 0..self.workers.len() {
            if self.pool.state(slot) == SlotState::Retiring {
                let idle = self.page(slot).activity() == Some(Activity::Idle);
                if self.workers[slot].idle.replace(idle) != Some(idle) {
                    self.report(slot, Report::Activity { idle });
                }
            }
        }
    }

    fn page(&self, slot: usize) -> &Page {
        self.scoreboard.page(slot)
    }
}

/// Performing.
impl Shell {
    fn report(&mut self, slot: usize, report: Report) {
        self.tell_pool(pool::Event::Worker { slot, report });
    }

    /// Tells the pool, performs what it answers, and returns the slot it wants a worker in.
    fn tell_pool(&mut self, event: pool::Event) -> Option<usize> {
        let mut actions = std::mem::take(&mut self.actions);
        self.pool.handle(self.now(), event, &mut actions);
        let mut fork = None;
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
                    self.workers[slot].idle = None;
                }
                Action::Kick { slot } => self.signal(slot, kick::KICK),
                // Its first Accept may have come since the pool was told.
                Action::Terminate { slot } => match self.page(slot).activity() {
                    Some(Activity::Idle | Activity::Reading | Activity::Busy) => {
                        self.signal(slot, kick::KICK);
                    }
                    Some(Activity::Starting | Activity::Leaving) | None => {
                        self.signal(slot, libc::SIGTERM);
                    }
                },
                Action::Kill { slot } => self.signal(slot, libc::SIGKILL),
                Action::Notice(notice) => self.notice(notice),
                Action::Stopped => self.stopped = true,
            }
        }
        self.actions = actions;
        fork
    }

    fn signal(&self, slot: usize, signal: i32) {
        if let Some(child) = &self.workers[slot].child {
            child.signal(signal);
        }
    }

    /// Forks a worker; `true` in the child.
    fn fork(&mut self, slot: usize) -> bool {
        if self.workers.len() <= slot {
            self.workers.resize_with(slot + 1, Worker::default);
        }
        let wanted = self.pool.counts().wanted;
        self.page(slot)
            .reset(u32::try_from(wanted).unwrap_or(u32::MAX));
        let mask = Signals::hold();
        let forked = child::fork();
        if matches!(forked, Ok(Fork::Child)) {
            return true;
        }
        Signals::release(&mask);
        match forked {
            Ok(Fork::Parent(child)) => {
                if child.pidfd().is_none() && self.settings.handles_signals {
                    self.signals.watch_children();
                }
                self.workers[slot] = Worker {
                    pid: child.pid(),
                    child: Some(child),
                    ..Worker::default()
                };
                self.report(slot, Report::Forked);
            }
            Ok(Fork::Child) => {}
            Err(errno) => self.report(slot, Report::ForkFailed { errno }),
        }
        false
    }

    /// Has every worker that waits look at the hand-over queue, if something is in it. Not when a
    /// worker is told to leave: only when it has looked at that order can anything be there.
    fn kick_for_handover(&mut self) {
        if !self.handed_over || self.now() < self.handover_gate {
            return;
        }
        self.handed_over = false;
        let mut queued = Vec::new();
        let queue = std::iter::once(self.handover.1.as_fd());
        readiness::wait(queue, Some(Duration::ZERO), &mut queued);
        if queued.is_empty() {
            return;
        }
        self.handover_gate = self.now() + HANDOVER_PAUSE;
        for (slot, child) in self.children() {
            if self.pool.state(slot) == SlotState::Ready
                && self.page(slot).activity() == Some(Activity::Idle)
            {
                child.signal(kick::KICK);
            }
        }
    }

    fn notice(&mut self, notice: Notice) {
        let settings = &self.settings;
        let pid = |slot: usize| self.workers[slot].pid;
        let event = match notice {
            Notice::Started { slot } => Event::started(pid(slot)),
            Notice::Ready { slot } => Event::ready(pid(slot)),
            Notice::Exited { slot, exit } => {
                Event::exited(pid(slot), self.workers[slot].status, exit)
            }
            Notice::ReloadBegun => Event::reload_begun(),
            Notice::ReloadQueued => Event::notice("a reload is going on; another one follows"),
            Notice::ReloadDone => Event::reload_done(),
            Notice::ReloadFailed { slot, cause } => {
                Event::reload_failed(pid(slot), cause, settings.start_timeout)
            }
            Notice::Killing { slot, overdue } => {
                let limit = match overdue {
                    Overdue::Start => settings.start_timeout,
                    Overdue::Leave => settings.die_timeout,
                };
                Event::killing(pid(slot), overdue, limit)
            }
            Notice::BackingOff { pause } => Event::notice(format!(
                "workers die soon after their start; the next one is started in {:.1} s",
                pause.as_secs_f64()
            )),
            Notice::ForkFailed { errno, pause } => {
                let error = Error::system("fork of a worker", errno);
                Event::notice(format!("{error}; tried again in {pause:?}"))
            }
            Notice::Resized { wanted } => {
                let size = u32::try_from(wanted).unwrap_or(u32::MAX);
                self.children()
                    .for_each(|(slot, _)| self.page(slot).set_pool_size(size));
                Event::notice(format!("number of workers set to {wanted}"))
            }
            Notice::Stopping => Event::stopping(self.children().count()),
        };
        self.publish(event);
    }

    /// The host gives the manager up while it runs: nobody will be there to wait for the workers.
    pub(super) fn abandon(&mut self) {
        self.tell_pool(pool::Event::Stop);
    }
}
