//! The process manager: `sys` and [`pool`](crate::pool) joined.
//!
//! A host makes a [`Manager`] and calls [`Manager::next`] until it finds itself in a worker or the
//! manager has stopped. There is one thread and one loop: wait, tell the pool what was observed,
//! perform what it answers. Whatever decides stands in the pool.

mod child_start;
mod children;
mod connections;
mod event;
mod event_loop;
mod setup;

use std::time::Duration;

use child_start::identity::Identity;
pub use child_start::program::Program;
use connections::shedding::Shedding;
pub use event::{Event, EventKind};
use event_loop::{EventLoop, Turn};
use setup::Settings;

use crate::error::{Code, Error, Result};
use crate::options::Options;
use crate::{sys, worker};

/// A prefork process manager.
#[derive(Debug)]
pub struct Manager {
    settings: Settings,
    state: State,
    /// The process that this value belongs to.
    owner: i32,
}

#[derive(Debug)]
enum State {
    New,
    Running(Box<EventLoop>),
    Stopped,
    /// In a worker: there is nothing left to manage.
    Spent,
}

/// Writes a host's line to standard error as the manager writes its own: without waiting for a reader.
/// Whether it was written.
pub fn write_line(bytes: &[u8]) -> bool {
    sys::log::pass_on(bytes)
}

/// Whether the kernel gives this process the orphans of its descendants (PID 1, or a subreaper): then
/// somebody must wait for them. A manager of programs does it itself.
#[must_use]
pub fn is_reaper() -> bool {
    sys::process::adopted::is_reaper()
}

/// Reaps the children of this process that have ended and that `is_known` does not claim. `false`: there may be
/// more of them, behind a known one that is to be waited for first.
pub fn reap_adopted(is_known: impl Fn(i32) -> bool) -> bool {
    sys::process::adopted::reap(is_known)
}

impl Manager {
    /// A manager with these options. It starts nothing yet.
    ///
    /// # Errors
    /// [`Code::Value`] for options that contradict each other.
    pub fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            settings: Settings::new(options, None)?,
            state: State::New,
            owner: sys::process::pid(),
        })
    }

    /// A manager whose workers become another program, so that [`next`](Self::next) returns in none of
    /// them.
    ///
    /// # Errors
    /// As [`new`](Self::new), and for options that make no sense here.
    pub fn of_program(options: &Options, program: Program) -> Result<Self> {
        let settings = Settings::new(options, Some(program))?;
        let bad = |what: &'static str| Err(Error::new(Code::Value, what));
        if settings.pool.processes == 0 {
            return bad("option n_processes: a program needs one worker at least");
        }
        if !settings.handles_signals {
            return bad("option no_signals: it is for hosts that hand signals in");
        }
        Ok(Self {
            settings,
            state: State::New,
            owner: sys::process::pid(),
        })
    }

    /// Waits for the next thing that happens, and returns it. The first call starts the manager.
    ///
    /// With `n_processes` 0 there is nothing to manage: the caller is its own only worker, at once. So is
    /// one that `fcgipm run` started as a worker, whatever its options say.
    ///
    /// # Errors
    /// [`Code::Threads`], [`Code::Value`], [`Code::PidFile`], [`Code::Running`],
    /// [`Code::Descriptors`] or [`Code::System`] when the manager cannot start; it may be tried again.
    /// [`Code::System`] in a worker that could not become who the options say: it must end.
    /// [`Code::Value`] with errno when no worker could become the program, and the pool has stopped
    /// ([`Program::exit_status`]).
    /// [`Code::Interrupted`] when a signal that is none of the manager's ended the wait, so that the
    /// host can act on it: call again. [`Code::State`] after
    /// the end, and while it waits for what came of the host's fork ([`fork_begins`](Self::fork_begins)). [`Code::Forked`] in another process than the one that made the manager, a worker
    /// included.
    #[allow(clippy::should_implement_trait)] // It is the name in the C ABI, and it never ends.
    pub fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.advance(None)? {
                return Ok(event);
            }
        }
    }

    /// As [`next`](Self::next), but waits no longer than this, and returns nothing when nothing happened.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn next_within(&mut self, limit: Duration) -> Result<Option<Event>> {
        self.advance(Some(sys::clock::now() + limit))
    }

    /// The next event, or nothing if there is none until then.
    fn advance(&mut self, until: Option<Duration>) -> Result<Option<Event>> {
        check_owner(self.owner)?;
        loop {
            match &mut self.state {
                State::New if self.settings.program.is_none() && worker::adopt()? => {
                    self.state = State::Spent;
                    return Ok(Some(Event::in_worker()));
                }
                State::New if self.settings.pool.processes == 0 => {
                    Identity::refuse(&self.settings.options)?;
                    Shedding::refuse(&self.settings.options)?;
                    self.state = State::Spent;
                    return Ok(Some(Event::in_worker()));
                }
                State::New => {
                    self.state = State::Running(Box::new(setup::start(&self.settings)?));
                }
                State::Running(shell) if shell.forking.is_some() => return Err(fork_is_awaited()),
                State::Running(shell) => {
                    if let Some(event) = shell.next_event() {
                        return Ok(Some(event));
                    }
                    if shell.fork_due.is_some() {
                        return Ok(Some(Event::fork()));
                    }
                    match shell.turn(until) {
                        Turn::Again => {}
                        Turn::Late => return Ok(None),
                        Turn::InWorker { slot } => return self.become_worker(slot).map(Some),
                        Turn::HostForks => return Ok(Some(Event::fork())),
                        Turn::Interrupted => {
                            return Err(Error::caused(Code::Interrupted, "manager", libc::EINTR));
                        }
                        Turn::Stopped => {
                            let fatal = shell.fatal.take();
                            let queue = shell.keep_queue();
                            shell.guarding.end();
                            self.state = State::Stopped;
                            drop(queue);
                            if let Some(error) = fatal {
                                return Err(error);
                            }
                            let stopped = event::logged(self.settings.log, Event::stopped());
                            return Ok(Some(stopped));
                        }
                    }
                }
                State::Stopped => {
                    return Err(Error::new(Code::State, "this manager has stopped"));
                }
                State::Spent => {
                    return Err(Error::new(
                        Code::State,
                        "there is nothing to manage: n_processes is 0, or this is a worker of another manager",
                    ));
                }
            }
        }
    }

    /// Asks for another number of workers, at least one.
    ///
    /// # Errors
    /// [`Code::State`] when no manager runs here, or it waits for what came of the host's fork; [`Code::Forked`] in another process.
    pub fn resize(&mut self, workers: usize) -> Result<()> {
        match &mut self.state {
            State::Running(shell) => {
                check_owner(self.owner)?;
                if shell.forking.is_some() {
                    return Err(fork_is_awaited());
                }
                shell.resize(workers);
                Ok(())
            }
            State::New | State::Stopped | State::Spent => {
                Err(Error::new(Code::State, "this manager does not run"))
            }
        }
    }

    fn become_worker(&mut self, slot: usize) -> Result<Event> {
        match std::mem::replace(&mut self.state, State::Spent) {
            State::Running(shell) => {
                child_start::worker::become_worker(*shell, slot, self.owner, &self.settings)?;
            }
            State::New | State::Stopped | State::Spent => {}
        }
        Ok(Event::in_worker())
    }
}

/// Whether this is the process that made the manager.
fn check_owner(owner: i32) -> Result<()> {
    if owner == sys::process::pid() {
        return Ok(());
    }
    Err(Error::new(
        Code::Forked,
        "this manager belongs to the process before the fork",
    ))
}

fn fork_is_awaited() -> Error {
    Error::new(
        Code::State,
        "the manager waits for what came of the fork that was begun (fcgipm_manager_forked)",
    )
}

impl Drop for Manager {
    /// Tells the workers of a manager that was running to leave; does not wait for them. Does nothing
    /// of the kind in another process.
    fn drop(&mut self) {
        if let State::Running(shell) = &mut self.state
            && self.owner == sys::process::pid()
        {
            shell.abandon();
            let queue = shell.keep_queue();
            self.state = State::Spent;
            drop(queue);
        }
    }
}

/// Hands in a signal that the host caught, as if the manager of this process had. Nothing happens
/// where none is running. Async-signal-safe.
pub fn signal(signal: i32) {
    sys::signal::handlers::arrive(signal);
}
