//! A template: a process that runs the program up to here, and then only forks workers for the manager
//! that started it. The manager's half is in [`generations`](super::generations).
//!
//! A worker must be a child of the manager, not of the template. So the template forks an intermediate
//! process, which forks the worker and exits, and the kernel gives the worker to the manager, which is
//! a subreaper (prctl(2)). If the host forks its workers itself, it does so in the intermediate process:
//! its hooks run in the worker's own parent and in the worker.
//!
//! A worker may fork a template, too ([`origin`]): its workers are copies of one that has served
//! requests.
//!
//! | role | event | next role |
//! |---|---|---|
//! | Template | the manager wants a worker | Template; in a child Intermediate, or a worker |
//! | Template | the manager has ended, or needs it no longer | the process exits |
//! | Intermediate | the host has forked, or cannot | the process exits; in its child a worker |

pub(super) mod message;
pub(super) mod origin;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::SigSet;

use self::message::Report;
use super::child_start::{ChildKit, Dispositions, Region};
use super::children::Newborn;
use super::identity::Identity;
use super::settings::{ForkedBy, Settings};
use super::threads;
use crate::error::{Code, Error, Result};
use crate::sys::clock;
use crate::sys::fd::packets::{Packets, Received};
use crate::sys::fd::pipe::{self, Pipe};
use crate::sys::log;
use crate::sys::process::child::{self, Fork};
use crate::sys::process::{self, exec, fork_hooks, title};
use crate::sys::service::sockets;
use crate::sys::signal::handlers::Signals;
use crate::worker;

/// This process as a template, or as the parent of one worker.
#[derive(Debug)]
pub(super) struct Template {
    control: Packets,
    manager: i32,
    wake: Arc<OwnedFd>,
    life: Arc<OwnedFd>,
    handover: (Arc<OwnedFd>, Arc<OwnedFd>),
    identity: Option<Identity>,
    /// The signal mask of the program. All signals are blocked now: the end of the connection, and
    /// nothing else, asks this process to exit.
    mask: SigSet,
    forked_by: ForkedBy,
    role: Role,
}

#[derive(Debug)]
enum Role {
    Template,
    Intermediate {
        unborn: Option<Unborn>,
        /// The template reads the result of the fork.
        result: OwnedFd,
        has_begun: bool,
    },
}

/// A worker that is to be forked, and its region of the scoreboard.
#[derive(Debug)]
pub(super) struct Unborn {
    newborn: Newborn,
    region: OwnedFd,
}

/// How a step of the template ended.
pub(super) enum Step {
    /// Nothing happened until then.
    TimedOut,
    /// The host shall fork a worker.
    HostForks,
    /// This process is a new worker.
    Worker(Unborn),
}

impl Template {
    /// In a process that was started as a template.
    ///
    /// # Errors
    /// As [`Manager::next`](super::Manager::next) when a manager cannot start.
    pub(super) fn adopt(settings: &Settings) -> Result<Self> {
        if settings.pool.processes == 0 {
            return Err(Error::new(
                Code::Value,
                "option n_processes: 0 in a program that a manager has started for a reload",
            ));
        }
        threads::check()?;
        log::configure(settings.log.level, settings.log.has_time);
        // Workers inherit the sockets, but the variables do not name them.
        sockets::passed().map(drop)?;
        let identity = Identity::check(&settings.options)?;
        let link = worker::claim_template()?;
        if let Some(title) = settings.manager_title() {
            title::set(&format!("{title} template"));
        }
        let mask = Signals::hold();
        // Before the report: the manager has everything that the program wrote until now.
        if let Some(redirected) = link.start_stderr {
            redirected.undo();
        }
        let this = Self {
            control: link.control,
            manager: link.manager,
            wake: link.wake.into(),
            life: link.life.into(),
            handover: (link.handover.0.into(), link.handover.1.into()),
            identity,
            mask,
            forked_by: settings.forked_by,
            role: Role::Template,
        };
        let pid = process::pid();
        let options = settings.options.to_text();
        this.send(&Report::Ready { pid, options });
        Ok(this)
    }

    /// Serves the manager until the host has something to do, or until this time. A template that is no
    /// longer needed exits, without the host's exit handlers: they would remove files of the manager.
    pub(super) fn next(&mut self, until: Option<Duration>) -> Step {
        loop {
            if let Role::Intermediate { .. } = self.role {
                return Step::HostForks;
            }
            let limit = until.map(|until| until.saturating_sub(clock::now()));
            let request = match self.control.receive(limit) {
                Ok(Received::Packet(bytes, descriptors)) => {
                    message::read_fork_request(&bytes, descriptors)
                }
                Ok(Received::Nothing) => return Step::TimedOut,
                // Without an answer the manager would wait, so this is an end, too.
                Ok(Received::End) | Err(_) => None,
            };
            let Some((newborn, region)) = request else {
                exec::exit_now(0);
            };
            if let Some(step) = self.fork(Unborn { newborn, region }) {
                return step;
            }
        }
    }

    /// `None` in the template.
    fn fork(&mut self, unborn: Unborn) -> Option<Step> {
        if self.forked_by == ForkedBy::Manager {
            fork_hooks::before();
        }
        let slot = unborn.newborn.slot;
        let forked = match pipe::pipe("pipe of an intermediate process", false) {
            Ok(Pipe { read, write }) => match child::fork() {
                Ok(Fork::Child) => {
                    drop(read);
                    return Some(self.in_intermediate(unborn, write));
                }
                Ok(Fork::Parent(intermediate)) => {
                    // Otherwise the end of the pipe would not be seen, nor, by the worker, that it is the
                    // last one to have its standard error.
                    drop((write, unborn));
                    let result = read_result(&read);
                    // Only then the worker is a child of the manager.
                    intermediate.wait();
                    result
                }
                Err(errno) => Err(errno),
            },
            Err(error) => Err(error.errno()),
        };
        self.send(&match forked {
            Ok(pid) => Report::Forked { slot, pid },
            Err(errno) => Report::Failed { slot, errno },
        });
        None
    }

    fn in_intermediate(&mut self, unborn: Unborn, result: OwnedFd) -> Step {
        if self.forked_by == ForkedBy::Host {
            self.role = Role::Intermediate {
                unborn: Some(unborn),
                result,
                has_begun: false,
            };
            return Step::HostForks;
        }
        match child::fork() {
            Ok(Fork::Child) => Step::Worker(unborn),
            Ok(Fork::Parent(worker)) => end_intermediate(&result, worker.pid()),
            Err(errno) => end_intermediate(&result, -errno),
        }
    }

    fn send(&self, report: &Report) {
        // A manager that does not read has ended, or has no use for this process.
        if self.control.send(&report.encode(), &[]).is_err() {
            exec::exit_now(0);
        }
    }

    pub(super) const fn is_fork_due(&self) -> bool {
        matches!(
            self.role,
            Role::Intermediate {
                has_begun: false,
                ..
            }
        )
    }

    pub(super) const fn is_fork_begun(&self) -> bool {
        matches!(
            self.role,
            Role::Intermediate {
                has_begun: true,
                ..
            }
        )
    }

    /// The host forks now. All signals are blocked already.
    pub(super) fn begin_host_fork(&mut self) {
        if let Role::Intermediate { has_begun, .. } = &mut self.role {
            *has_begun = true;
        }
    }

    /// The result of the host's fork; the error is errno. Returns in the worker only.
    pub(super) fn complete_host_fork(
        &mut self,
        forked: std::result::Result<i32, i32>,
    ) -> Option<Unborn> {
        let Role::Intermediate { unborn, result, .. } = &mut self.role else {
            return None;
        };
        match forked {
            Ok(0) => unborn.take(),
            Ok(pid) => end_intermediate(result, pid),
            Err(errno) => end_intermediate(result, -errno),
        }
    }

    /// In a new worker: keeps what it needs, and drops everything else.
    pub(super) fn into_child(self, unborn: Unborn) -> ChildKit {
        ChildKit {
            newborn: unborn.newborn,
            manager: self.manager,
            region: Region::File(unborn.region),
            dispositions: Dispositions::Original(self.mask),
            wake: self.wake,
            life: self.life,
            handover: self.handover,
            identity: self.identity,
            descriptors: None,
        }
    }
}

/// In the intermediate process: reports the worker's pid, or an errno as a negative number, and exits.
fn end_intermediate(result: &OwnedFd, number: i32) -> ! {
    // It fits into an empty pipe.
    let _ = nix::unistd::write(result, &number.to_ne_bytes());
    exec::exit_now(0)
}

/// In the template: what the intermediate process reports. The error is errno.
fn read_result(result: &OwnedFd) -> std::result::Result<i32, i32> {
    let mut bytes = [0; 4];
    let count = loop {
        match nix::unistd::read(result, &mut bytes) {
            Err(Errno::EINTR) => {}
            other => break other.map_err(|errno| errno as i32)?,
        }
    };
    match i32::from_ne_bytes(bytes) {
        // The host has ended the intermediate process.
        _ if count < bytes.len() => Err(libc::ECANCELED),
        pid if pid > 0 => Ok(pid),
        errno => Err(errno.saturating_neg()),
    }
}
