//! The process manager: joins `sys` and [`pool`](crate::pool).
//!
//! A host creates a [`Manager`] and calls [`Manager::next`] until it is in a worker, or the manager has
//! stopped. There is one thread and one loop: wait, report to the pool what was observed, and perform
//! the actions that it returns. All decisions are made in the pool.

mod access_log;
mod admin;
mod child_start;
mod children;
mod command;
mod connections;
mod descriptors;
mod event;
mod event_loop;
mod generations;
mod host_fork;
mod identity;
mod own_command;
mod pid_file;
mod pool_clock;
mod refork;
mod restart_pause;
mod service;
mod settings;
mod setup;
mod slow_log;
mod template;
mod threads;
mod watch;

use std::time::Duration;

use child_start::ChildKit;
use children::Newborn;
pub use command::Program;
use connections::Shedding;
pub use event::{Event, EventKind, count};
use event_loop::{EventLoop, Turn};
use identity::Identity;
use service::Service;
pub use service::{Link as ServiceLink, Message as ServiceMessage};
use settings::{Settings, SignalHandlers};
use template::origin::Origin;
use template::{Step, Template, Unborn};

use crate::error::{Code, Error, Result};
use crate::options::Options;
use crate::server::listen;
pub use crate::sys::process::fork_hooks::set as set_fork_hooks;
pub use crate::sys::process::other::OtherProcess;
pub use crate::sys::service::notify::{store_size as stored_sockets, watchdog};
pub use crate::sys::service::reports::{Reporter, Reports};
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
    /// Forks workers for the manager that started this process.
    Template(Box<Template>),
    /// A worker, whose host is to fork a template of it.
    Origin(Box<Origin>),
    Stopped,
    /// In a worker, which has nothing to manage.
    Spent,
}

/// Writes a host's line to standard error as the manager writes its own: without waiting for a reader.
/// Returns whether it was written.
pub fn write_line(bytes: &[u8]) -> bool {
    sys::log::forward(bytes)
}

/// Whether the orphans of its descendants become children of this process (PID 1, or a subreaper). Then
/// it must reap them. A manager of programs does so itself.
#[must_use]
pub fn is_reaper() -> bool {
    sys::process::adopted::is_reaper()
}

/// Whether a manager has started this process again for a reload of its program.
#[must_use]
pub fn is_template() -> bool {
    worker::is_started_as_template()
}

/// Reaps the children of this process that have exited and that `is_known` does not claim. `false`: there
/// may be more, behind a known one that has to be reaped first.
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

    /// A manager whose workers execute another program, so that [`next`](Self::next) does not return in
    /// them.
    ///
    /// # Errors
    /// As [`new`](Self::new), and for options that do not apply here.
    pub fn of_program(options: &Options, program: Program) -> Result<Self> {
        let settings = Settings::new(options, Some(program))?;
        let bad = |what: &'static str| Err(Error::new(Code::Value, what));
        if settings.pool.processes == 0 {
            return bad("option n_processes: a program needs at least one worker");
        }
        if settings.signal_handlers == SignalHandlers::Host {
            return bad("option no_signals: is for hosts that pass signals on to the manager");
        }
        Ok(Self {
            settings,
            state: State::New,
            owner: sys::process::pid(),
        })
    }

    /// Waits for the next event, and returns it. The first call starts the manager.
    ///
    /// With `n_processes` 0 there is nothing to manage: the caller is its own only worker immediately. So
    /// is a process that `fcgipm run` started as a worker, whatever its options are.
    ///
    /// # Errors
    /// [`Code::Threads`], [`Code::Value`], [`Code::PidFile`], [`Code::Running`],
    /// [`Code::Descriptors`] or [`Code::System`] when the manager cannot start; the call may be repeated.
    /// [`Code::System`] in a worker that could not assume its identity: it must exit.
    /// [`Code::Value`] with errno when no worker could execute the program, and the pool has stopped
    /// ([`Program::exit_status`]). [`Code::Interrupted`] when a signal of the host's ended the wait, so
    /// that the host can act on it: call again. [`Code::State`] after the end, and while the manager
    /// waits for the result of the host's fork ([`fork_begins`](Self::fork_begins)). [`Code::Forked`] in
    /// another process than the one that created the manager, workers included.
    #[allow(clippy::should_implement_trait)] // It is the name in the C ABI.
    pub fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.advance(None)? {
                return Ok(event);
            }
        }
    }

    /// As [`next`](Self::next), but waits no longer than this. `None`: nothing happened.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub fn next_within(&mut self, limit: Duration) -> Result<Option<Event>> {
        self.advance(Some(sys::clock::now() + limit))
    }

    /// The next event; `None`: there is none until then.
    fn advance(&mut self, until: Option<Duration>) -> Result<Option<Event>> {
        check_owner(self.owner)?;
        loop {
            match &mut self.state {
                State::New if self.settings.program.is_none() && worker::adopt()? => {
                    self.state = State::Spent;
                    return Ok(Some(Event::in_worker()));
                }
                State::New if worker::is_started_as_template() => {
                    listen::open_for_workers(&self.settings.options)?;
                    self.state = State::Template(Box::new(Template::adopt(&self.settings)?));
                }
                State::Template(template) => match template.next(until) {
                    Step::TimedOut => return Ok(None),
                    Step::HostForks => {
                        // The intermediate process.
                        self.owner = sys::process::pid();
                        return Ok(Some(Event::fork()));
                    }
                    Step::Worker(unborn) => {
                        return self.become_worker_of_template(unborn).map(Some);
                    }
                },
                State::Origin(origin) if origin.is_begun() => return Err(fork_is_awaited()),
                State::Origin(_) => return Ok(Some(Event::fork())),
                State::New if self.settings.pool.processes == 0 => {
                    Identity::refuse(&self.settings.options)?;
                    Shedding::refuse(&self.settings.options)?;
                    self.announce();
                    self.state = State::Spent;
                    return Ok(Some(Event::in_worker()));
                }
                State::New => {
                    self.state = State::Running(Box::new(setup::start(&self.settings)?));
                }
                State::Running(running) if running.is_fork_begun() => {
                    return Err(fork_is_awaited());
                }
                State::Running(running) => {
                    if let Some(event) = running.next_event() {
                        return Ok(Some(event));
                    }
                    if running.is_fork_due() {
                        return Ok(Some(Event::fork()));
                    }
                    match running.turn(until) {
                        Turn::Again => {}
                        Turn::TimedOut => return Ok(None),
                        Turn::InWorker(newborn) => return self.become_worker(newborn).map(Some),
                        Turn::HostForks => return Ok(Some(Event::fork())),
                        Turn::Interrupted => {
                            return Err(Error::caused(Code::Interrupted, "manager", libc::EINTR));
                        }
                        Turn::Stopped => return self.stopped().map(Some),
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

    /// Requests another number of workers, at least one.
    ///
    /// # Errors
    /// [`Code::State`] when the manager is not running, or waits for the result of the host's fork;
    /// [`Code::Forked`] in another process.
    pub fn resize(&mut self, workers: usize) -> Result<()> {
        match &mut self.state {
            State::Running(running) => {
                check_owner(self.owner)?;
                if running.is_fork_begun() {
                    return Err(fork_is_awaited());
                }
                running.resize(workers);
                Ok(())
            }
            State::New | State::Template(_) | State::Origin(_) | State::Stopped | State::Spent => {
                Err(Error::new(Code::State, "this manager is not running"))
            }
        }
    }

    /// This process serves without a manager.
    fn announce(&self) {
        if let Err(error) = Service::announce() {
            let target = self.settings.log.target;
            target.write(&Event::warning(error.message()));
        }
    }

    fn become_worker(&mut self, newborn: Newborn) -> Result<Event> {
        if let State::Running(running) = std::mem::replace(&mut self.state, State::Spent) {
            self.start_worker(running.into_child(newborn))?;
        }
        Ok(Event::in_worker())
    }

    /// In a worker that a template has forked.
    fn become_worker_of_template(&mut self, unborn: Unborn) -> Result<Event> {
        if let State::Template(template) = std::mem::replace(&mut self.state, State::Spent) {
            self.start_worker(template.into_child(unborn))?;
        }
        Ok(Event::in_worker())
    }

    fn start_worker(&self, kit: ChildKit) -> Result<()> {
        refork::remember(&self.settings);
        child_start::start(kit, &self.settings, refork::fork_template)
    }

    /// The pool has stopped: everything is restored before the host hears of it.
    fn stopped(&mut self) -> Result<Event> {
        let before = std::mem::replace(&mut self.state, State::Stopped);
        if let State::Running(mut running) = before {
            let fatal = running.take_fatal();
            let queue = running.keep_queue_open();
            running.end_helpers();
            drop(running);
            drop(queue);
            if let Some(error) = fatal {
                return Err(error);
            }
        }
        let stopped = Event::stopped();
        self.settings.log.target.write(&stopped);
        Ok(stopped)
    }
}

/// Whether this is the process that created the manager.
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
        "the manager waits for the result of the fork that was begun (fcgipm_manager_forked)",
    )
}

impl Drop for Manager {
    /// Asks the workers of a running manager to exit, and does not wait for them. In another process it
    /// does not ask them.
    fn drop(&mut self) {
        match &mut self.state {
            State::Running(running) if self.owner == sys::process::pid() => {
                running.abandon();
                let queue = running.keep_queue_open();
                self.state = State::Spent;
                drop(queue);
            }
            // Between the two halves of a fork, signals are blocked.
            State::Origin(origin) => origin.release(),
            State::New | State::Running(_) | State::Template(_) | State::Stopped | State::Spent => {
            }
        }
    }
}

/// Notes how this process was started: the contents of its files in /proc, and its directory.
///
/// # Errors
/// [`Code::Argument`]: there is no command line.
pub fn note_start(command_line: &[u8], environment: &[u8], folder: &str) -> Result<()> {
    let is_noted = sys::process::origin::note_given(command_line, environment, folder);
    let empty = || Error::new(Code::Argument, "argument command_line: is empty");
    is_noted.then_some(()).ok_or_else(empty)
}

/// Passes on a signal that the host caught, as if the manager of this process had caught it. Does nothing
/// if none is running. Async-signal-safe.
pub fn signal(signal: i32) {
    sys::signal::handlers::arrive(signal);
}
