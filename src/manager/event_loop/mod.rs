//! The loop: wait, tell the pool, perform.

mod board;
mod observe;
mod perform;
mod saturation;

use std::collections::VecDeque;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use crate::error::Error;
use crate::manager::child_start::identity::Identity;
use crate::manager::children::forking::Forking;
use crate::manager::children::guardian::Guarding;
use crate::manager::children::startup_output;
use crate::manager::children::startup_output::Output;
use crate::manager::connections::closing::Closing;
use crate::manager::connections::rescue::Rescue;
use crate::manager::connections::shedding::Shedding;
use crate::manager::event;
use crate::manager::event::Event;
use crate::manager::event_loop::perform::HANDOVER_PAUSE;
use crate::manager::event_loop::saturation::Saturation;
use crate::manager::setup::Settings;
use crate::manager::setup::descriptors::Descriptors;
use crate::manager::setup::pid_file::PidFile;
use crate::pool::{self, Action, Pool, SlotState};
use crate::sys::fd::pipe::{Pipe, discard_pending};
use crate::sys::fd::poll;
use crate::sys::fd::poll::Waited;
use crate::sys::process::child::Child;
use crate::sys::signal::handlers::Signals;
use crate::sys::socket::listeners::Listener;
use crate::sys::{clock, process};
use crate::worker::{Page, Scoreboard, Snapshot};

/// How often children are looked at that neither a descriptor nor a signal tells of.
const LOOK: Duration = Duration::from_millis(500);

/// How often standard error is tried again whose reader stands still.
const HELD: Duration = Duration::from_millis(100);

/// Everything that a running manager has.
#[derive(Debug)]
pub(in crate::manager) struct EventLoop {
    pub(in crate::manager) settings: Settings,
    /// The manager's.
    pub(in crate::manager) pid: i32,
    pub(in crate::manager) pool: Pool,
    /// The zero of the pool's time.
    pub(in crate::manager) origin: Duration,
    /// By slot.
    pub(in crate::manager) workers: Vec<Worker>,
    pub(in crate::manager) parts: Channels,
    /// What workers that are gone left behind: a child of theirs may still write.
    pub(in crate::manager) detached: Vec<Output>,
    /// Connections that others have as well, or had.
    pub(in crate::manager) closing: Closing,
    /// Who tells the workers when this process has ended.
    pub(in crate::manager) guarding: Guarding,
    /// Descriptors that workers exchanged while they were taken.
    pub(in crate::manager) exchanged: usize,
    /// A worker has shut down the hand-over queue.
    pub(in crate::manager) has_no_queue: bool,
    /// What is refused of that which waits.
    pub(in crate::manager) shedding: Option<Shedding>,
    pub(in crate::manager) saturation: Saturation,
    events: VecDeque<Event>,
    pub(in crate::manager) actions: Vec<Action>,
    /// Connections may wait in the hand-over queue for somebody who looks.
    pub(in crate::manager) handed_over: bool,
    /// A worker was asked to hand a connection on, and pokes when it has.
    pub(in crate::manager) asked_to_share: bool,
    /// Nobody is woken to look before this time.
    pub(in crate::manager) handover_gate: Duration,
    /// How long after that the next time is.
    pub(in crate::manager) handover_pause: Duration,
    /// Nothing of the workers' is passed on before this time.
    output_gate: Duration,
    /// The slot for which the host was asked to fork, and has not begun to.
    pub(in crate::manager) fork_due: Option<usize>,
    /// The fork that the host has begun.
    pub(in crate::manager) forking: Option<Forking>,
    /// The pipe that a worker that is being forked gets as its standard error.
    pub(in crate::manager) start_stderr: Option<Pipe>,
    /// The pipe by which a worker that the host has forked hears that the manager knows it.
    pub(in crate::manager) start_known: Option<OwnedFd>,
    /// The pipe by which a worker that is being forked tells why it could not become a program.
    pub(in crate::manager) start_program: Option<OwnedFd>,
    /// Children that were adopted may have ended. `None`: there are none that are ours to wait for.
    pub(in crate::manager) adopted: Option<bool>,
    /// A worker has become the program at some time.
    pub(in crate::manager) has_executed: bool,
    /// Why the pool stops although nobody asked for it.
    pub(in crate::manager) fatal: Option<Error>,
    /// Reloads that were begun.
    pub(in crate::manager) generation: u64,
    /// The latest reload has failed.
    pub(in crate::manager) reload_failed: bool,
    pub(in crate::manager) stopped: bool,
    /// Nothing arrives any more at the listening sockets that this process opened.
    pub(in crate::manager) has_stopped_arrivals: bool,
}

/// What a manager is set up with.
#[derive(Debug)]
pub(in crate::manager) struct Channels {
    pub(in crate::manager) scoreboard: Scoreboard,
    pub(in crate::manager) pid_file: Option<PidFile>,
    pub(in crate::manager) signals: Signals,
    /// Readable when a signal arrived.
    pub(in crate::manager) signal_pipe: OwnedFd,
    /// Readable when a worker has become ready, is leaving, or has reached its last request.
    pub(in crate::manager) wake: Pipe,
    /// At its end when the manager is gone.
    pub(in crate::manager) life: Pipe,
    pub(in crate::manager) handover: (OwnedFd, OwnedFd),
    /// The sockets that the workers accept from.
    pub(in crate::manager) listeners: Vec<Listener>,
    /// What the workers become.
    pub(in crate::manager) identity: Option<Identity>,
    pub(in crate::manager) descriptors: Descriptors,
}

/// What the manager knows of a slot.
#[derive(Debug, Default)]
pub(in crate::manager) struct Worker {
    /// The worker's, or of the last one that was here.
    pub(in crate::manager) pid: i32,
    pub(in crate::manager) child: Option<Child>,
    /// What its page said when the pool was last told of it.
    pub(in crate::manager) snapshot: Option<Snapshot>,
    /// The wait status of the last one that was here.
    pub(in crate::manager) status: i32,
    pub(in crate::manager) output: Option<Output>,
    /// At its end when the worker has become a program.
    pub(in crate::manager) executing: Option<OwnedFd>,
    /// Why it could not.
    pub(in crate::manager) failure: Option<String>,
    pub(in crate::manager) rescue: Option<Rescue>,
    /// Offers of connections that were seen.
    pub(in crate::manager) offers: u32,
    /// Its memory, when it was last measured.
    pub(in crate::manager) measured: Option<Measured>,
    /// Nothing can be taken from it.
    pub(in crate::manager) fd_access_denied: bool,
}

/// A worker's memory in bytes.
#[derive(Debug)]
pub(in crate::manager) struct Measured {
    pub(in crate::manager) at: Duration,
    pub(in crate::manager) private: u64,
    /// With what it shares.
    pub(in crate::manager) resident: u64,
}

impl Worker {
    /// Why it could not become a program, or what else it said last.
    pub(in crate::manager) fn stderr_tail(&self) -> Option<String> {
        let lines = || {
            let lines = self.output.as_ref()?.last_lines()?;
            Some(format!("its last lines on standard error: {lines}"))
        };
        self.failure.clone().or_else(lines)
    }
}

/// How a turn of the loop ended.
pub(in crate::manager) enum Turn {
    /// There may be events, or not.
    Again,
    /// The host's time has come, and there are none.
    Late,
    /// In the child of a fork. All signals are held.
    InWorker {
        /// The slot it has.
        slot: usize,
    },
    /// The host is to fork a worker.
    HostForks,
    /// The pool has stopped, and everything was put back.
    Stopped,
    /// A signal of the host's came: it may want to do something about it.
    Interrupted,
}

/// What a wait can find readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::manager) enum Source {
    /// A signal arrived.
    Signals,
    /// A worker has something to say.
    Wake,
    /// A connection waits to be accepted.
    Connection,
    /// The same, and the pool may not grow.
    Saturation,
    /// The worker in this slot wrote to standard error.
    Output(usize),
    /// The worker in this slot has become a program, or could not.
    Executed(usize),
    /// Somebody that a worker left behind did.
    Detached,
    /// A disposable process has ended.
    Disposable,
    /// The process that refuses connections has something to tell.
    Refuser,
    /// The guardian has ended.
    Guardian,
    /// The worker in this slot has ended.
    Child(usize),
}

impl EventLoop {
    pub(in crate::manager) fn new(
        settings: Settings,
        parts: Channels,
        shedding: Option<Shedding>,
    ) -> Self {
        let mut this = Self {
            pool: Pool::new(settings.pool.clone()),
            settings,
            pid: process::pid(),
            origin: clock::now(),
            workers: Vec::new(),
            parts,
            detached: Vec::new(),
            closing: Closing::default(),
            guarding: Guarding::default(),
            exchanged: 0,
            has_no_queue: false,
            shedding,
            saturation: Saturation::default(),
            events: VecDeque::new(),
            actions: Vec::new(),
            handed_over: false,
            asked_to_share: false,
            handover_gate: Duration::ZERO,
            handover_pause: HANDOVER_PAUSE,
            output_gate: Duration::ZERO,
            fork_due: None,
            forking: None,
            start_stderr: None,
            start_known: None,
            start_program: None,
            adopted: None,
            has_executed: false,
            fatal: None,
            generation: 0,
            reload_failed: false,
            stopped: false,
            has_stopped_arrivals: false,
        };
        this.publish_start();
        this.settle(pool::Event::Start);
        this
    }

    pub(in crate::manager) fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(in crate::manager) fn publish(&mut self, event: Event) {
        self.events
            .push_back(event::logged(self.settings.log, event));
    }

    /// One turn of the loop, which waits until then at most.
    pub(in crate::manager) fn turn(&mut self, until: Option<Duration>) -> Turn {
        let (waited, ready) = self.wait(until.map(|until| until.saturating_sub(self.origin)));
        let ours = self.take_signals();
        self.pass_on_output(&ready);
        self.hear_of_programs(&ready);
        self.reap(&ready);
        self.reap_adopted();
        self.reap_disposable(&ready);
        if ready.contains(&Source::Connection) {
            self.settle(pool::Event::Connection);
        }
        if ready.contains(&Source::Saturation) {
            self.look_at_saturation();
        }
        let woken = ready.contains(&Source::Wake) && discard_pending(&self.parts.wake.read);
        self.look(woken);
        self.shed();
        let fork = self.settle(pool::Event::Tick);
        self.wake_for_handover();
        self.close_apart();
        if let Some(slot) = fork {
            if self.settings.host_forks {
                self.fork_due = Some(slot);
                return Turn::HostForks;
            } else if self.fork(slot) {
                return Turn::InWorker { slot };
            }
        }
        self.guard(&ready);
        self.publish_status();
        if !self.events.is_empty() {
            Turn::Again
        } else if self.stopped {
            Turn::Stopped
        } else if waited == Waited::Interrupted && !ours {
            Turn::Interrupted
        } else if until.is_some_and(|until| until <= clock::now()) {
            Turn::Late
        } else {
            Turn::Again
        }
    }

    pub(in crate::manager) fn now(&self) -> Duration {
        clock::now().saturating_sub(self.origin)
    }

    /// Waits until there is something to do, and says what is readable.
    fn wait(&self, until: Option<Duration>) -> (Waited, Vec<Source>) {
        let now = self.now();
        let mut watched: Vec<(Source, BorrowedFd<'_>)> = vec![
            (Source::Signals, self.parts.signal_pipe.as_fd()),
            (Source::Wake, self.parts.wake.read.as_fd()),
        ];
        let mut deadlines = vec![
            self.pool.deadline(),
            self.pool.poll_at(),
            self.handed_over.then_some(self.handover_gate),
            (self.stopped || self.adopted == Some(true)).then_some(now),
            self.shedding_at(),
            self.closing.look_within().map(|wait| now + wait),
            self.guarding.deadline(now),
            until,
        ];
        match self.pool.watch_listener() {
            Some(from) if from <= now => {
                let listeners = self.parts.listeners.iter();
                watched.extend(listeners.map(|listener| (Source::Connection, listener.as_fd())));
            }
            later => deadlines.push(later),
        }
        match self.saturation_at() {
            Some(from) if from <= now => {
                let listeners = self.parts.listeners.iter();
                watched.extend(listeners.map(|listener| (Source::Saturation, listener.as_fd())));
            }
            later => deadlines.push(later),
        }
        let processes = self.closing.watched();
        watched.extend(processes.map(|channel| (Source::Disposable, channel)));
        let words = self.shedding.as_ref().and_then(Shedding::watched);
        watched.extend(words.map(|words| (Source::Refuser, words)));
        watched.extend(self.guarding.watched().map(|one| (Source::Guardian, one)));
        let outputs = self
            .workers
            .iter()
            .enumerate()
            .filter_map(|(slot, worker)| {
                Some((Source::Output(slot), worker.output.as_ref()?.pipe()?))
            });
        let detached = self.detached.iter().filter_map(|output| output.pipe());
        let outputs = outputs.chain(detached.map(|pipe| (Source::Detached, pipe)));
        if self.output_gate <= now {
            watched.extend(outputs);
        } else {
            deadlines.push(Some(self.output_gate));
        }
        let workers = self.workers.iter().enumerate();
        watched.extend(workers.filter_map(|(slot, worker)| {
            Some((Source::Executed(slot), worker.executing.as_ref()?.as_fd()))
        }));
        let mut blind = false;
        for (slot, child) in self.children() {
            match child.pidfd() {
                Some(pidfd) => watched.push((Source::Child(slot), pidfd)),
                None => blind = true,
            }
        }
        deadlines.push((blind && !self.settings.handles_signals).then_some(now + LOOK));
        let timeout = deadlines.into_iter().flatten().min();
        let timeout = timeout.map(|at| at.saturating_sub(now));
        let mut ready = Vec::new();
        let waited = poll::wait(watched.iter().map(|(_, fd)| *fd), timeout, &mut ready);
        let sources = ready
            .into_iter()
            .filter_map(|position| watched.get(position));
        (waited, sources.map(|(source, _)| *source).collect())
    }

    pub(in crate::manager) fn children(&self) -> impl Iterator<Item = (usize, &Child)> {
        let children = self.workers.iter().enumerate();
        children.filter_map(|(slot, worker)| Some((slot, worker.child.as_ref()?)))
    }

    pub(in crate::manager) fn page(&self, slot: usize) -> &Page {
        self.parts.scoreboard.page(slot)
    }

    /// Passes on what workers wrote to standard error before they were ready.
    fn pass_on_output(&mut self, ready: &[Source]) {
        let mut held = false;
        for source in ready {
            if let Source::Output(slot) = source
                && let Some(output) = self.workers.get_mut(*slot).and_then(|w| w.output.as_mut())
            {
                held |= output.pass_on() == startup_output::Passed::Held;
            }
        }
        if ready.contains(&Source::Detached) {
            self.detached.retain_mut(|output| {
                let passed = output.pass_on();
                held |= passed == startup_output::Passed::Held;
                passed != startup_output::Passed::End
            });
        }
        if held {
            self.output_gate = self.now() + HELD;
        }
    }

    /// The host wants so many workers.
    pub(in crate::manager) fn resize(&mut self, workers: usize) {
        let grows = workers > self.pool.most();
        if grows && !self.may_grow_to(workers.min(self.settings.pool.max_processes)) {
            return;
        }
        self.settle(pool::Event::Resize(pool::Resize::To(workers)));
    }

    /// The host gives the manager up while it runs: nobody will be there to wait for the workers.
    pub(in crate::manager) fn abandon(&mut self) {
        self.fork_due = None;
        self.forking = None;
        self.settle(pool::Event::Stop);
    }

    pub(in crate::manager) fn is_starting(&self, slot: usize) -> bool {
        self.pool.state(slot) == SlotState::Starting
    }
}
