//! A worker that forks a template of itself (option `refork_after`), and continues to serve.
//!
//! | state | event | next state |
//! |---|---|---|
//! | Due | the fork begins | Begun: all signals are blocked |
//! | Begun | the fork has succeeded | the worker continues; the child forks the template and exits |
//! | Begun | it has failed | the worker continues, and has reported why |
//!
//! The template must be a child of the manager, so it is the child of a child that exits.

use std::os::fd::AsFd as _;
use std::time::Duration;

use super::message::Report;
use super::{Role, Template};
use crate::error::{Code, Error};
use crate::manager::settings::Settings;
use crate::manager::threads;
use crate::sys::fd::packets::Packets;
use crate::sys::fd::{poll, sent_copy};
use crate::sys::process::child::{self, Child, Fork};
use crate::sys::process::{self, exec, title};
use crate::sys::signal::handlers::Signals;
use crate::sys::socket::listeners;
use crate::worker::{self, LoopStatus, ManagerLink};

/// How long the child in between may take to fork the template: the host's own hooks run in it.
const PATIENCE: Duration = Duration::from_secs(10);

/// The worker.
#[derive(Debug)]
pub(in crate::manager) struct Origin {
    settings: &'static Settings,
    link: &'static ManagerLink,
    /// The template's connection to the manager.
    control: Packets,
    mask: Option<nix::sys::signal::SigSet>,
}

impl Origin {
    /// In a worker: what the manager asks for. `None`: nothing, or this process cannot be copied, which
    /// was reported.
    pub(in crate::manager) fn take_order(settings: &'static Settings) -> Option<Self> {
        let link = worker::current()?;
        let this = Self {
            settings,
            link,
            control: worker::orders()?.take()?,
            mask: None,
        };
        match threads::check() {
            Ok(()) => Some(this),
            Err(error) => {
                this.refuse(error.message());
                None
            }
        }
    }

    /// A manager that does not read has given the template up.
    fn refuse(&self, why: &str) {
        let why = format!("worker (pid {}) forks no template: {why}", process::pid());
        let _ = self.control.send(&Report::Refused(why).encode(), &[]);
    }

    pub(in crate::manager) const fn is_begun(&self) -> bool {
        self.mask.is_some()
    }

    /// Blocks all signals until the fork is complete.
    ///
    /// # Errors
    /// [`Code::Retired`]: this worker is to exit. What its host has noted of that would be noted in all
    /// copies. No signal is blocked.
    pub(in crate::manager) fn begin(&mut self) -> crate::error::Result<()> {
        self.mask = Some(Signals::hold());
        if worker::retirement(true).is_none() {
            return Ok(());
        }
        let error = Error::new(Code::Retired, "it is to exit");
        self.refuse(error.message());
        self.release();
        Err(error)
    }

    /// Unblocks them: the fork has not begun yet, or is complete.
    pub(in crate::manager) fn release(&mut self) {
        if let Some(mask) = self.mask.take() {
            Signals::release(&mask);
        }
    }

    /// The result of the fork; the error is errno. `Some` in the template. In the worker, signals are
    /// unblocked.
    pub(in crate::manager) fn complete(mut self, forked: Result<i32, i32>) -> Option<Template> {
        match forked {
            Ok(0) => return Some(self.fork_template()),
            Ok(between) => {
                reap(between);
                child::take_back_notice();
            }
            Err(errno) => self.refuse(&failure(errno)),
        }
        self.release();
        None
    }

    /// In the child of the worker. Returns in the template.
    fn fork_template(self) -> Template {
        match child::fork() {
            Ok(Fork::Child) => {}
            Ok(Fork::Parent(_)) => exec::exit_now(0),
            Err(errno) => {
                self.refuse(&failure(errno));
                exec::exit_now(0);
            }
        }
        // A connection whose copy stayed open here would not end when the worker closes it.
        if let Err(error) = listeners::abandon_accepted() {
            self.refuse(error.message());
            exec::exit_now(0);
        }
        if self.settings.process_group {
            // A signal to the worker's group is not for its copies.
            child::lead_group();
        }
        sent_copy::end();
        worker::leave();
        LoopStatus::forget_all();
        if let Some(title) = self.settings.manager_title() {
            title::set(&format!("{title} template"));
        }
        let template = Template {
            control: self.control,
            manager: self.link.pid,
            wake: self.link.wake.clone(),
            life: self.link.life.clone(),
            handover: self.link.handover.clone(),
            // This process has it already.
            identity: None,
            mask: self.mask.unwrap_or_else(Signals::hold),
            forked_by: self.settings.forked_by,
            role: Role::Template,
        };
        template.send(&Report::Ready {
            pid: process::pid(),
            // The program is the same.
            options: String::new(),
        });
        template
    }
}

fn failure(errno: i32) -> String {
    Error::system("fork", errno).to_string()
}

/// Waits until the child in between has exited. One that does not is killed.
fn reap(pid: i32) {
    let Some(child) = Child::of_this_process(pid) else {
        // The host has reaped it.
        return;
    };
    if let Some(pidfd) = child.pidfd() {
        if !poll::readable_within(pidfd.as_fd(), PATIENCE) {
            child.signal(libc::SIGKILL);
        }
    }
    child.wait();
}
