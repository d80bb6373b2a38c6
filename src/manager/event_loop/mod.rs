//! The loop of a running manager.
//!
//! One turn has five steps, and each takes the value of the one before: wait, observe, decide, fork,
//! publish. Subsystems own their state and return what they found; only [`EventLoop::settle`] reports
//! to the pool and performs its actions.

mod board;
mod notices;
mod observe;
mod orphans;
mod perform;
mod program_step;
mod saturation;
mod turn;

use std::collections::VecDeque;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use self::board::Board;
use self::orphans::Orphans;
use self::saturation::Saturation;
pub(super) use self::turn::Turn;
use self::turn::{Decided, Forked, Observed};
use crate::error::Error;
use crate::manager::access_log::AccessLog;
use crate::manager::admin::AdminListener;
use crate::manager::child_start::{ChildKit, Dispositions, Region};
use crate::manager::children::guardian::Guard;
use crate::manager::children::{Children, Forking, Newborn};
use crate::manager::connections::Shedding;
use crate::manager::connections::closing::ClosingSet;
use crate::manager::connections::handover::Handover;
use crate::manager::connections::rescue::Rescues;
use crate::manager::descriptors::Descriptors;
use crate::manager::event::{Event, Outbox};
use crate::manager::generations::Generations;
use crate::manager::identity::Identity;
use crate::manager::pid_file::PidFile;
use crate::manager::pool_clock::PoolClock;
use crate::manager::service::{self, Service};
use crate::manager::settings::{Settings, SignalHandlers};
use crate::manager::slow_log::SlowLog;
use crate::manager::watch::{Ready, Source, Watch};
use crate::pool::{self, Action, Pool};
use crate::sys::fd::pipe::Pipe;
use crate::sys::log;
use crate::sys::process::disposable::Disposable;
use crate::sys::signal::handlers::{Held, Signals};
use crate::sys::socket::listeners::Listener;
use crate::sys::{clock, process};
use crate::worker::Scoreboard;

/// Everything that a running manager has.
#[derive(Debug)]
pub(super) struct EventLoop {
    settings: Settings,
    /// The manager's.
    pid: i32,
    clock: PoolClock,
    pool: Pool,
    /// Events that the pool has not handled yet.
    inbox: VecDeque<pool::Event>,
    /// The actions of the event that is being handled.
    actions: Vec<Action>,
    outbox: Outbox,
    children: Children,
    board: Board,
    /// Removed when it is dropped, before the handlers of the signals.
    _pid_file: Option<PidFile>,
    channels: Channels,
    handover: Handover,
    rescues: Rescues,
    closing: ClosingSet,
    guard: Guard,
    generations: Generations,
    shedding: Option<Shedding>,
    service: Service,
    admin: AdminListener,
    access_log: AccessLog,
    slow_log: SlowLog,
    saturation: Saturation,
    /// The sockets that the workers accept from.
    listeners: Vec<Listener>,
    /// What the workers become.
    identity: Option<Identity>,
    descriptors: Descriptors,
    host_fork: HostFork,
    orphans: Orphans,
    first_exec: FirstExec,
    ending: Ending,
    /// Nothing arrives any more at the listening sockets that this process opened.
    has_stopped_arrivals: bool,
}

/// What a manager is set up with.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) scoreboard: Scoreboard,
    pub(super) pid_file: Option<PidFile>,
    pub(super) channels: Channels,
    pub(super) handover: Handover,
    pub(super) listeners: Vec<Listener>,
    pub(super) identity: Option<Identity>,
    pub(super) descriptors: Descriptors,
    pub(super) shedding: Option<Shedding>,
    pub(super) service: Service,
    pub(super) admin: AdminListener,
    pub(super) access_log: AccessLog,
    pub(super) slow_log: SlowLog,
    /// The manager cannot copy descriptors of workers.
    pub(super) workers_send_copies: bool,
}

/// How the manager is woken, and its workers learn of its end.
#[derive(Debug)]
pub(super) struct Channels {
    pub(super) signals: Signals,
    /// Readable when a signal arrived.
    pub(super) signal_pipe: OwnedFd,
    /// Readable when a worker notifies the manager.
    pub(super) wake: Pipe,
    /// At its end when the manager has ended.
    pub(super) life: Pipe,
}

/// A fork that the host makes.
///
/// | state | event | next state |
/// |---|---|---|
/// | None | the pool wants a fork | Due |
/// | Due | the host begins to fork | Begun, or None if a pipe is missing |
/// | Due | the host reports that it cannot fork | None |
/// | Begun | the host reports the result | None |
/// | any | the manager is abandoned | None |
#[derive(Debug)]
enum HostFork {
    None,
    Due { slot: usize },
    Begun { forking: Forking, held: Held },
}

/// Whether a worker could ever execute the program.
///
/// | state | event | next state |
/// |---|---|---|
/// | Pending | a worker has executed it | Done |
/// | Pending | a failure that the next attempt will repeat | Failed: the pool stops |
#[derive(Debug)]
enum FirstExec {
    Pending,
    Done,
    Failed(Error),
}

/// Whether the pool ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    None,
    /// The pool has decided to stop, and is to be asked to.
    Due,
    Stopped,
}

impl EventLoop {
    pub(super) fn new(settings: Settings, parts: Parts) -> Self {
        let has_sigchld = settings.signal_handlers == SignalHandlers::Manager;
        let generations = Generations::new(settings.pool.start_timeout);
        let mut this = Self {
            pool: Pool::new(settings.pool.clone()),
            pid: process::pid(),
            clock: PoolClock::start(),
            inbox: VecDeque::new(),
            actions: Vec::new(),
            outbox: Outbox::new(settings.log.target),
            children: Children::new(has_sigchld),
            board: Board::new(parts.scoreboard, settings.pm, &parts.listeners),
            settings,
            _pid_file: parts.pid_file,
            channels: parts.channels,
            handover: parts.handover,
            rescues: Rescues::new(parts.workers_send_copies),
            closing: ClosingSet::default(),
            guard: Guard::default(),
            generations,
            shedding: parts.shedding,
            service: parts.service,
            admin: parts.admin,
            access_log: parts.access_log,
            slow_log: parts.slow_log,
            saturation: Saturation::default(),
            listeners: parts.listeners,
            identity: parts.identity,
            descriptors: parts.descriptors,
            host_fork: HostFork::None,
            orphans: Orphans::default(),
            first_exec: FirstExec::Pending,
            ending: Ending::None,
            has_stopped_arrivals: false,
        };
        this.settle(pool::Event::Start);
        this
    }

    /// From now on also reaps children that this process did not start.
    pub(super) fn reap_orphans(&mut self) {
        self.orphans.reap_from_now(&mut self.channels.signals);
    }

    pub(super) fn push(&mut self, event: Event) {
        self.outbox.push(event);
    }

    pub(super) fn next_event(&mut self) -> Option<Event> {
        self.outbox.pop()
    }

    /// One turn of the loop, which waits until this time at most.
    pub(super) fn turn(&mut self, until: Option<Duration>) -> Turn {
        let ready = self.wait(until);
        let observed = self.observe(ready);
        let decided = self.decide(observed);
        match self.fork(decided) {
            Forked::Child(newborn) => Turn::InWorker(newborn),
            Forked::ByHost => Turn::HostForks,
            Forked::Parent(observed) => self.publish(&observed, until),
        }
    }

    /// Waits until there is something to do.
    fn wait(&self, until: Option<Duration>) -> Ready {
        let now = self.clock.now();
        let mut watch = Watch::new(now);
        watch.add(Source::Signals, self.channels.signal_pipe.as_fd());
        watch.add(Source::Wake, self.channels.wake.read.as_fd());
        watch.until(self.pool.deadline());
        watch.until(self.pool.poll_at());
        watch.until(self.handover.wake_at());
        watch.until((self.ending == Ending::Stopped || self.orphans.is_pending()).then_some(now));
        watch.until(self.shedding_at());
        watch.until(self.service.wake_at());
        watch.until(until.map(|until| self.clock.at(until)));
        let listeners = || self.listeners.iter().map(Listener::as_fd);
        let growth = self.pool.watch_listener();
        watch.add_from(growth, Source::Connection, listeners());
        let saturation = self.saturation.check_at(&self.pool);
        watch.add_from(saturation, Source::Saturation, listeners());
        self.rescues.watch(&self.children, &mut watch);
        self.closing.watch(&mut watch);
        if let Some(shedding) = &self.shedding {
            shedding.watch(&mut watch);
        }
        self.guard.watch(&mut watch);
        self.admin.watch(&mut watch);
        self.access_log.watch(&mut watch);
        self.slow_log.watch(&mut watch);
        self.generations.watch(&mut watch);
        self.children.watch(&mut watch);
        watch.wait()
    }

    /// The tick of the pool, after everything was reported to it. Then moves and closes connections,
    /// while no new worker has copies of them.
    fn decide(&mut self, observed: Observed) -> Decided {
        let fork = self.settle(pool::Event::Tick);
        self.advance_program();
        self.handover.wake_workers(
            self.clock,
            &self.pool,
            &self.children,
            self.board.scoreboard(),
        );
        self.closing.close_all(&self.listeners);
        Decided { observed, fork }
    }

    fn publish(&mut self, observed: &Observed, until: Option<Duration>) -> Turn {
        let ready = observed.ready.has(Source::AdminListener);
        let now = self.clock.now();
        let event = self.admin.advance(ready, now);
        event.into_iter().for_each(|event| self.outbox.push(event));
        let causes = [Source::LogWriter, Source::Wake].map(|cause| observed.ready.has(cause));
        let events = self
            .access_log
            .advance(causes, now, self.board.scoreboard());
        events.into_iter().for_each(|event| self.outbox.push(event));
        let ready = observed.ready.has(Source::Backtrace);
        let events = self.slow_log.advance(ready, now);
        events.into_iter().for_each(|event| self.outbox.push(event));
        self.end_turn(observed.ready.has(Source::Guardian));
        if !self.outbox.is_empty() {
            Turn::Again
        } else if self.ending == Ending::Stopped {
            Turn::Stopped
        } else if observed.ready.is_interrupted() && !observed.has_signal {
            Turn::Interrupted
        } else if until.is_some_and(|until| until <= clock::now()) {
            Turn::TimedOut
        } else {
            Turn::Again
        }
    }

    /// Ensures that the workers have a guardian, and publishes their state.
    fn end_turn(&mut self, is_guardian_ready: bool) {
        let scoreboard = self.board.scoreboard();
        self.guard
            .reap(is_guardian_ready, &self.children, scoreboard);
        if self.ending == Ending::Stopped {
            self.guard.cancel();
        } else if let Some(failure) = self.guard.ensure(self.clock, &self.children, scoreboard) {
            self.outbox.push(failure);
        }
        self.board.publish_status(&self.pool, self.children.slots());
        self.report_to_service_manager();
    }

    fn report_to_service_manager(&mut self) {
        let line = self.service.publish(&service::View {
            now: self.clock.now(),
            pool: &self.pool,
            children: &self.children,
            scoreboard: self.board.scoreboard(),
        });
        let lines = line.into_iter();
        lines.for_each(|line| self.outbox.push(Event::warning(line)));
    }

    /// In the child of a fork: keeps what a worker needs, and drops everything else. The write end of
    /// the life pipe above all: as long as a worker had it, no other would see its end.
    pub(super) fn into_child(self, newborn: Newborn) -> ChildKit {
        log::file::leave();
        let Channels {
            signals,
            signal_pipe: _,
            wake,
            life,
        } = self.channels;
        ChildKit {
            newborn,
            manager: self.pid,
            region: Region::Mapped(self.board.into_scoreboard()),
            dispositions: Dispositions::Replaced(signals),
            wake: wake.write.into(),
            life: life.read.into(),
            handover: {
                let (send, receive) = self.handover.into_queue();
                (send.into(), receive.into())
            },
            identity: self.identity,
            descriptors: Some(self.descriptors),
        }
    }

    /// Why the pool stops although the host did not request it.
    pub(super) fn take_fatal(&mut self) -> Option<Error> {
        match std::mem::replace(&mut self.first_exec, FirstExec::Pending) {
            FirstExec::Failed(error) => Some(error),
            FirstExec::Pending | FirstExec::Done => None,
        }
    }

    /// Ends the guardian, the templates and the admin listener: there are no workers any more.
    pub(super) fn end_helpers(&mut self) {
        self.admin.end();
        self.access_log.end();
        self.generations.end_all(self.clock.now());
        self.guard.end();
    }

    /// See [`Handover::keep_open`].
    pub(super) fn keep_queue_open(&self) -> Option<Disposable> {
        self.handover.keep_open()
    }

    /// The host wants this many workers.
    pub(super) fn resize(&mut self, workers: usize) {
        let grows = workers > self.pool.most();
        if grows && !self.may_grow_to(workers.min(self.settings.pool.max_processes)) {
            return;
        }
        self.settle(pool::Event::Resize(pool::Resize::To(workers)));
    }

    /// The host abandons the manager while it runs. The workers are asked to exit, and nothing waits
    /// for them.
    pub(super) fn abandon(&mut self) {
        self.host_fork = HostFork::None;
        self.settle(pool::Event::Stop);
        for slot in self.rescues.take_all() {
            self.kill(slot);
        }
        self.generations.end_all(self.clock.now());
        self.report_to_service_manager();
    }
}
