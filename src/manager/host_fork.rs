//! Workers that the host forks.
//!
//! If a host's language hooks fork(2) (Perl's profilers, its `CORE::GLOBAL::fork`), the host has to make
//! the call itself, because such a hook does not see a call that is made here. The host first receives
//! an event that a worker is due, while no signal is blocked: what its language runs between two steps
//! (perl's signal handlers) may do anything then. It reports when it begins to fork, and the result.

use super::event_loop::EventLoop;
use super::settings::ForkedBy;
use super::{Event, Manager, State, check_owner, fork_is_awaited, refork};
use crate::error::{Code, Error, Result};
use crate::sys::fd::pipe;
use crate::sys::process;
use crate::sys::process::child::Fork;
use crate::sys::signal::handlers::Held;
use crate::sys::signal::{chain, wakeup};

impl Manager {
    /// Chooses whether the host forks the workers. If so, [`next`](Self::next) returns
    /// [`EventKind::Fork`](crate::manager::EventKind::Fork) when one is to be forked.
    ///
    /// # Errors
    /// [`Code::State`] when the manager was started, or its workers execute a program.
    pub fn set_host_forks(&mut self, host_forks: bool) -> Result<()> {
        if !matches!(self.state, State::New) {
            return Err(Error::new(
                Code::State,
                "the host cannot choose how to fork after the manager was started",
            ));
        }
        if self.settings.program.is_some() {
            return Err(Error::new(
                Code::State,
                "workers that execute a program are forked by the manager",
            ));
        }
        self.settings.forked_by = match host_forks {
            true => ForkedBy::Host,
            false => ForkedBy::Manager,
        };
        Ok(())
    }

    /// Whether the host forks the workers.
    #[must_use]
    pub fn host_forks(&self) -> bool {
        self.settings.forked_by == ForkedBy::Host
    }

    /// After [`EventKind::Fork`](crate::manager::EventKind::Fork): the host forks now, and reports the
    /// result with [`forked`](Self::forked). All signals are blocked from here to there.
    ///
    /// # Errors
    /// [`Code::State`] when no fork was requested, or it was begun already; [`Code::Forked`] in another
    /// process. [`Code::Interrupted`] when a chained handler (`fcgipm_signal_chain`) has noted a signal
    /// since this was last called: no signal is blocked, the host runs its handlers, and calls again.
    /// [`Code::System`] when a descriptor that the worker needs cannot be opened; that counts as a fork
    /// that has failed. [`Code::Retired`] in a worker that is to exit, and forks no template.
    pub fn fork_begins(&mut self) -> Result<()> {
        check_owner(self.owner)?;
        let event_loop = match &mut self.state {
            State::Running(running) if running.is_fork_begun() => return Err(fork_is_awaited()),
            State::Running(running) if running.is_fork_due() => running,
            State::Origin(origin) if origin.is_begun() => return Err(fork_is_awaited()),
            State::Origin(origin) => {
                origin.begin()?;
                if chain::has_called() {
                    origin.release();
                    return Err(Error::caused(Code::Interrupted, "manager", libc::EINTR));
                }
                return Ok(());
            }
            State::Template(template) if template.is_fork_begun() => return Err(fork_is_awaited()),
            State::Template(template) if template.is_fork_due() => {
                if chain::has_called() {
                    return Err(Error::caused(Code::Interrupted, "manager", libc::EINTR));
                }
                template.begin_host_fork();
                return Ok(());
            }
            _ => return Err(no_fork_is_due()),
        };
        let held = Held::begin();
        // Checked while signals are blocked: from here on no signal is noted for whose handler an
        // interpreter could still run.
        if chain::has_called() {
            return Err(Error::caused(Code::Interrupted, "manager", libc::EINTR));
        }
        let begun = event_loop.begin_host_fork(held);
        begun.map_err(|errno| Error::system("fork of a worker", errno))
    }

    /// After [`fork_begins`](Self::fork_begins), in both processes: what fork(2) returned, and its errno
    /// if it failed. In the child the event is that of [`next`](Self::next) in a worker.
    ///
    /// # Errors
    /// [`Code::State`] when no fork was requested, its result was already reported, or a fork has
    /// succeeded that was not begun. [`Code::Argument`] for an impossible result; the manager still
    /// waits for the right one. [`Code::Forked`] for anything but 0 in a child. In a worker as
    /// [`next`](Self::next).
    pub fn forked(&mut self, pid: i32, errno: i32) -> Result<Option<Event>> {
        let is_manager = check_owner(self.owner).is_ok();
        if matches!(self.state, State::Template(_)) {
            return self.forked_in_template(is_manager, pid, errno);
        }
        let event_loop = match &mut self.state {
            State::Origin(origin) => {
                let forked = check_result(origin.is_begun(), is_manager, pid, errno)?;
                self.forked_in_origin(forked);
                return Ok(None);
            }
            State::Running(running) if running.is_fork_begun() || running.is_fork_due() => running,
            _ => return Err(no_fork_is_due()),
        };
        let forked = result_of(event_loop, is_manager, pid, errno)?;
        let Some(mut newborn) = event_loop.complete_host_fork(forked) else {
            return Ok(None);
        };
        let known = newborn.known.take();
        let event = self.become_worker(newborn)?;
        // If something failed in the parent after the fork, this child may be unknown. It exits before
        // it accepts anything.
        if known.is_some_and(|pipe| !pipe::await_byte(pipe)) {
            wakeup::request_retirement();
        }
        Ok(Some(event))
    }
}

impl Manager {
    /// In a worker whose host forks, after [`Code::ForkDue`]: a manager with which it forks the template.
    /// In the template, [`next`](Self::next) serves the manager, and returns in its workers.
    ///
    /// # Errors
    /// [`Code::State`]: no template is due.
    pub fn of_worker() -> Result<Self> {
        let Some((settings, origin)) = refork::take_order() else {
            return Err(Error::new(
                Code::State,
                "this worker is to fork no template",
            ));
        };
        Ok(Self {
            settings,
            state: State::Origin(Box::new(origin)),
            owner: process::pid(),
        })
    }

    /// The result of the fork of a template.
    fn forked_in_origin(&mut self, forked: std::result::Result<i32, i32>) {
        if let State::Origin(origin) = std::mem::replace(&mut self.state, State::Spent) {
            if let Some(template) = origin.complete(forked) {
                self.owner = process::pid();
                self.state = State::Template(Box::new(template));
            }
        }
    }
}

impl Manager {
    /// The same in the intermediate process of a template, which exits, or in its child, the worker.
    fn forked_in_template(
        &mut self,
        is_parent: bool,
        pid: i32,
        errno: i32,
    ) -> Result<Option<Event>> {
        let State::Template(template) = &mut self.state else {
            return Err(no_fork_is_due());
        };
        if !template.is_fork_begun() && !template.is_fork_due() {
            return Err(no_fork_is_due());
        }
        let is_begun = template.is_fork_begun();
        let forked = check_result(is_begun, is_parent, pid, errno)?;
        match template.complete_host_fork(forked) {
            Some(unborn) => self.become_worker_of_template(unborn).map(Some),
            None => Ok(None),
        }
    }
}

/// What the host reports, if it is possible.
fn result_of(
    event_loop: &EventLoop,
    is_manager: bool,
    pid: i32,
    errno: i32,
) -> Result<std::result::Result<Fork, i32>> {
    match check_result(event_loop.is_fork_begun(), is_manager, pid, errno)? {
        Ok(0) => Ok(Ok(Fork::Child)),
        Ok(pid) => Ok(Ok(Fork::Parent(event_loop.child_of_host(pid)?))),
        Err(errno) => Ok(Err(errno)),
    }
}

/// The result of fork(2), or its errno, as far as the numbers can be right.
fn check_result(
    is_begun: bool,
    is_parent: bool,
    pid: i32,
    errno: i32,
) -> Result<std::result::Result<i32, i32>> {
    let argument = |message: String| Err(Error::new(Code::Argument, message));
    match pid {
        0.. if !is_begun => Err(Error::new(
            Code::State,
            "the fork was not begun (fcgipm_manager_fork_begins)",
        )),
        0 if is_parent => {
            argument("argument pid: 0 in the manager: only the child passes 0".into())
        }
        0 => Ok(Ok(0)),
        _ if !is_parent => Err(Error::new(
            Code::Forked,
            format!("argument pid: {pid} in a child of the manager, which has to pass 0"),
        )),
        1.. => Ok(Ok(pid)),
        _ if errno <= 0 => argument(format!(
            "argument error: {errno} for a fork that has failed"
        )),
        _ => Ok(Err(errno)),
    }
}

fn no_fork_is_due() -> Error {
    Error::new(Code::State, "no fork was requested")
}
