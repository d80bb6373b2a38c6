//! How a worker is forked: by this process, or by its host, which is asked to and says what came of it.
//!
//! A host whose language hooks fork(2) (Perl's profilers, its `CORE::GLOBAL::fork`) has to make the call itself, since
//! nothing of that sees a call that is made here. So a fork has two halves, and the host's call, or ours, stands between
//! them. All signals are held from the first to the second: one that reaches the child is for the handlers that it gets
//! as a worker.
//!
//! The host is told first that a worker is due, with nothing held: what its language runs between two steps (perl's signal
//! handlers) may do anything then. It says when it forks.

use std::os::fd::OwnedFd;

use crate::error::{Code, Error, Result};
use crate::manager::children::startup_output;
use crate::manager::children::startup_output::Output;
use crate::manager::event::Event;
use crate::manager::event_loop::{EventLoop, Worker};
use crate::manager::{Manager, State};
use crate::pool::WorkerEvent;
use crate::sys::fd::pipe;
use crate::sys::fd::pipe::Pipe;
use crate::sys::log::stderr;
use crate::sys::process;
use crate::sys::process::child::{self, Child, Fork};
use crate::sys::signal::handlers::Held;
use crate::sys::signal::{chain, wakeup};

/// A fork that was prepared and is not completed.
#[derive(Debug)]
pub(in crate::manager) struct Forking {
    slot: usize,
    /// What becomes the worker's standard error.
    stderr: Option<Pipe>,
    /// The pipe by which a worker tells why it could not become a program.
    executing: Option<OwnedFd>,
    executed: Option<OwnedFd>,
    /// By which the parent tells a child of the host's that it is known. At its end without a word it is not.
    known: Option<Pipe>,
    held: Held,
}

impl EventLoop {
    /// Forks a worker into this slot; `true` in the child.
    pub(in crate::manager) fn fork(&mut self, slot: usize) -> bool {
        let Ok(forking) = self.prepare_fork(slot, None) else {
            return false;
        };
        let forked = child::fork();
        self.complete_fork(forking, forked)
    }

    /// The host forks now. The error is errno, and was reported.
    fn begin_host_fork(&mut self, slot: usize, held: Held) -> std::result::Result<(), i32> {
        let mut forking = self.prepare_fork(slot, Some(held))?;
        match pipe::pipe("pipe of a worker that the host forks", true) {
            Ok(pipe) => forking.known = Some(pipe),
            Err(error) => {
                let errno = error.errno();
                self.complete_fork(forking, Err(errno));
                return Err(errno);
            }
        }
        self.forking = Some(forking);
        Ok(())
    }

    /// The error is errno, and was reported.
    fn prepare_fork(
        &mut self,
        slot: usize,
        held: Option<Held>,
    ) -> std::result::Result<Forking, i32> {
        if self.workers.len() <= slot {
            self.workers.resize_with(slot + 1, Worker::default);
        }
        self.detach_output(slot);
        self.settle_for_start();
        let wanted = self.pool.counts().wanted;
        let limit = self.pool.request_limit(slot);
        let size = u32::try_from(wanted).unwrap_or(u32::MAX);
        let is_program = self.settings.program.is_some();
        self.parts.scoreboard.begin(slot, size, limit);
        self.page(slot).set_queues(self.counted_queues());
        let stderr = self.pipe_for_stderr();
        let executing = is_program.then(|| pipe::pipe("pipe of a program", true));
        let (executing, executed) = match executing.transpose() {
            Ok(pipe) => pipe.map(|pipe| (pipe.read, pipe.write)).unzip(),
            // Nobody would know when it has become the program, or why it could not.
            Err(error) => {
                let errno = error.errno();
                self.report(slot, WorkerEvent::ForkFailed { errno });
                return Err(errno);
            }
        };
        Ok(Forking {
            slot,
            stderr,
            executing,
            executed,
            known: None,
            held: held.unwrap_or_else(Held::begin),
        })
    }

    /// `true` in the child, in which all signals stay held.
    fn complete_fork(&mut self, forking: Forking, forked: std::result::Result<Fork, i32>) -> bool {
        let Forking {
            slot,
            stderr,
            executing,
            executed,
            known,
            held,
        } = forking;
        if matches!(forked, Ok(Fork::Child)) {
            self.start_stderr = stderr;
            self.start_program = executed;
            // While it held the other end, it would not see the end.
            self.start_known = known.map(|pipe| pipe.read);
            held.keep();
            return true;
        }
        drop(held);
        self.parts.scoreboard.keep_visible(slot);
        drop(executed);
        match forked {
            Ok(Fork::Parent(child)) => {
                if child.pidfd().is_none() && self.settings.handles_signals {
                    self.parts.signals.watch_children();
                }
                self.workers[slot] = Worker {
                    pid: child.pid(),
                    child: Some(child),
                    output: stderr.map(|pipe| Output::new(pipe.read)),
                    executing,
                    ..Worker::default()
                };
                if let Some(pipe) = &known {
                    pipe::notify(&pipe.write);
                }
                self.report(slot, WorkerEvent::Forked);
            }
            Ok(Fork::Child) => {}
            Err(errno) => self.report(slot, WorkerEvent::ForkFailed { errno }),
        }
        false
    }

    /// The rest of the turn in which the host was asked.
    fn end_host_turn(&mut self) {
        self.guard(&[]);
        self.publish_status();
    }

    /// A pipe for a new worker's standard error, if it is to be caught and can be.
    fn pipe_for_stderr(&self) -> Option<Pipe> {
        if !self.settings.catches_stderr || stderr::room() == stderr::Room::Gone {
            return None;
        }
        let pipe = pipe::pipe_to_read("standard error of a worker").ok()?;
        startup_output::affordable(&pipe).then_some(pipe)
    }

    /// The slot gets another worker: what the last one left behind goes elsewhere.
    fn detach_output(&mut self, slot: usize) {
        let left = self.workers[slot].output.take();
        self.detached
            .extend(left.filter(|output| output.pipe().is_some()));
    }

    /// The child of this process that the host says it has forked.
    fn child_of_host(&self, pid: i32) -> Result<Child> {
        let wrong = |what: &str| {
            let message = format!("argument pid: {pid} is {what}");
            Err(Error::caused(Code::Argument, message, libc::ECHILD))
        };
        if self.children().any(|(_, worker)| worker.pid() == pid) {
            return wrong("a worker already");
        }
        Child::of_this_process(pid).map_or_else(|| wrong("no child of this process"), Ok)
    }
}

impl Manager {
    /// Whether the host forks the workers: then [`next`](Self::next) returns
    /// [`EventKind::Fork`](crate::manager::EventKind::Fork) when one is to be forked.
    ///
    /// # Errors
    /// [`Code::State`] when the manager was started, or its workers become a program.
    pub fn set_host_forks(&mut self, host_forks: bool) -> Result<()> {
        if !matches!(self.state, State::New) {
            return Err(Error::new(
                Code::State,
                "who forks the workers is settled before the manager is started",
            ));
        }
        if self.settings.program.is_some() {
            return Err(Error::new(
                Code::State,
                "workers that become a program are forked by the manager",
            ));
        }
        self.settings.host_forks = host_forks;
        Ok(())
    }

    /// Whether the host forks the workers.
    #[must_use]
    pub fn host_forks(&self) -> bool {
        self.settings.host_forks
    }

    /// After [`EventKind::Fork`](crate::manager::EventKind::Fork): the host forks now, and says what came of it with
    /// [`forked`](Self::forked). All signals are held from here to there.
    ///
    /// # Errors
    /// [`Code::State`] when no fork was asked for, or it was begun already; [`Code::Forked`] in another process.
    /// [`Code::Interrupted`] when a chained handler (`fcgipm_signal_chain`) has noted a signal since the
    /// last time this was: nothing is held, the host runs what it noted, and calls again. [`Code::System`] when there is no
    /// room for what a worker needs, which counts as a fork that has failed.
    pub fn fork_begins(&mut self) -> Result<()> {
        crate::manager::check_owner(self.owner)?;
        let shell = match &mut self.state {
            State::Running(shell) if shell.forking.is_some() => {
                return Err(crate::manager::fork_is_awaited());
            }
            State::Running(shell) => shell,
            _ => return Err(no_fork_is_due()),
        };
        let slot = shell.fork_due.ok_or_else(no_fork_is_due)?;
        let held = Held::begin();
        // Asked with the signals held: from here on none is noted that an interpreter could still run a handler for.
        if chain::has_called() {
            return Err(Error::caused(Code::Interrupted, "manager", libc::EINTR));
        }
        shell.fork_due = None;
        shell.begin_host_fork(slot, held).map_err(|errno| {
            shell.end_host_turn();
            Error::system("fork of a worker", errno)
        })
    }

    /// After [`fork_begins`](Self::fork_begins), in both processes: what fork(2) returned, and its errno if
    /// it failed. In the child the event says that it is a worker now, as one of [`next`](Self::next) does.
    ///
    /// # Errors
    /// [`Code::State`] when no fork was asked for, this was said already, or a fork has succeeded that was not begun.
    /// [`Code::Argument`] for what cannot be; the fork is still waited for. [`Code::Forked`] for anything but 0 in a child. In a worker as [`next`](Self::next).
    pub fn forked(&mut self, pid: i32, errno: i32) -> Result<Option<Event>> {
        let is_manager = self.owner == process::pid();
        let shell = match &mut self.state {
            State::Running(shell) if shell.forking.is_some() || shell.fork_due.is_some() => shell,
            _ => return Err(no_fork_is_due()),
        };
        if pid >= 0 && shell.forking.is_none() {
            return Err(Error::new(
                Code::State,
                "the fork was not begun (fcgipm_manager_fork_begins)",
            ));
        }
        let forked = match pid {
            0 if is_manager => {
                let message = "argument pid: 0 in the manager: only the child says that";
                return Err(Error::new(Code::Argument, message));
            }
            0 => Ok(Fork::Child),
            _ if !is_manager => {
                let message = format!("argument pid: {pid} in a child of the manager: it says 0");
                return Err(Error::new(Code::Forked, message));
            }
            1.. => Ok(Fork::Parent(shell.child_of_host(pid)?)),
            _ if errno <= 0 => {
                let message = format!("argument error: {errno} for a fork that has failed");
                return Err(Error::new(Code::Argument, message));
            }
            _ => Err(errno),
        };
        let Some(forking) = shell.forking.take() else {
            if let (Some(slot), Err(errno)) = (shell.fork_due.take(), forked) {
                shell.report(slot, WorkerEvent::ForkFailed { errno });
                shell.end_host_turn();
            }
            return Ok(None);
        };
        let slot = forking.slot;
        if shell.complete_fork(forking, forked) {
            let known = shell.start_known.take();
            let event = self.become_worker(slot)?;
            // What failed in the parent behind the fork may have left a child that nobody knows. It leaves before it
            // accepts anything.
            if known.is_some_and(|pipe| !pipe::await_byte(pipe)) {
                wakeup::request_retirement();
            }
            return Ok(Some(event));
        }
        shell.end_host_turn();
        Ok(None)
    }
}

fn no_fork_is_due() -> Error {
    Error::new(Code::State, "no fork was asked for")
}
