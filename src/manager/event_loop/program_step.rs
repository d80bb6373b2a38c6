//! What the manager performs of a reload of the program: templates are started, ended and reported.

use std::os::fd::AsRawFd as _;
use std::time::Duration;

use super::Channels;
use super::board::Board;
use super::orphans::Orphans;
use crate::error::{Code, Error, Result};
use crate::manager::children::Children;
use crate::manager::connections::handover::Handover;
use crate::manager::descriptors::Descriptors;
use crate::manager::event::{Event, Outbox};
use crate::manager::generations::{Generations, Inherited, Link, exec_template, prepare};
use crate::manager::service::Service;
use crate::manager::settings::Settings;
use crate::pool::{self, Pool, ProgramAction, ReforkFailure, Resize, TemplateId};
use crate::sys::fd::packets::{self, Packets};
use crate::sys::process::adopted::{self, become_reaper};
use crate::sys::process::child::{self, Child, Fork};
use crate::sys::signal::handlers::Held;
use crate::sys::socket::listeners::{self, Listener};

/// The parts of the manager that take part in it.
pub(super) struct ProgramStep<'a> {
    pub(super) manager: i32,
    pub(super) now: Duration,
    pub(super) settings: &'a mut Settings,
    pub(super) pool: &'a mut Pool,
    pub(super) generations: &'a mut Generations,
    pub(super) board: &'a mut Board,
    pub(super) service: &'a mut Service,
    pub(super) outbox: &'a mut Outbox,
    pub(super) channels: &'a mut Channels,
    pub(super) orphans: &'a mut Orphans,
    pub(super) children: &'a Children,
    pub(super) handover: &'a Handover,
    pub(super) listeners: &'a [Listener],
    pub(super) descriptors: &'a Descriptors,
}

impl ProgramStep<'_> {
    /// Performs an action. Returns what the pool has to handle.
    pub(super) fn perform(&mut self, action: ProgramAction) -> Option<pool::Event> {
        match action {
            ProgramAction::Start(template) => self.start(template),
            ProgramAction::End(template) => self.generations.end(self.now, template),
            ProgramAction::ReloadPool => {
                self.renew_options();
                self.board.program_is_ready();
                return Some(pool::Event::Reload);
            }
            ProgramAction::Adopt => {
                let before = self.generations.take_before()?;
                let (old, new) = (before.pool.processes, self.settings.pool.processes);
                return (old != new).then_some(pool::Event::Resize(Resize::To(new)));
            }
            ProgramAction::Revert => {
                if let Some(before) = self.generations.take_before() {
                    *self.settings = before;
                    self.apply_settings();
                }
            }
            ProgramAction::Refork { template, slot } => self.refork(template, slot),
            ProgramAction::Reforked(template) => {
                let pid = self.generations.pid(template);
                self.outbox.push(Event::reforked(pid));
                return Some(pool::Event::Reforked);
            }
            ProgramAction::ReportReforkFailed {
                template,
                why,
                pause,
            } => {
                let reason = self.generations.take_reason(template);
                let why = match why {
                    ReforkFailure::Ended => reason,
                    ReforkFailure::TimedOut => "the worker has not forked it in time".to_owned(),
                    ReforkFailure::CopiesFail => format!("the workers of {reason} fail"),
                };
                self.outbox.push(Event::refork_failed(&why, pause));
                return Some(pool::Event::ReforkEnded);
            }
            ProgramAction::FailPool => return Some(pool::Event::SourceEnded),
            ProgramAction::ReportFailed {
                template,
                timed_out,
            } => {
                let why = self.generations.take_reason(template);
                let limit = self.settings.pool.start_timeout.filter(|_| timed_out);
                let event = Event::template_failed(&why, limit);
                self.board.fail_program_reload(&event);
                self.service.reload_failed(&event);
                self.outbox.push(event);
            }
            ProgramAction::ReportLost(template) => {
                let why = self.generations.take_reason(template);
                self.outbox.push(Event::template_lost(&why));
            }
            ProgramAction::ReportStillLost { template, pause } => {
                let why = self.generations.take_reason(template);
                self.outbox.push(Event::template_still_lost(&why, pause));
            }
        }
        None
    }

    /// What the new program has set applies to its workers from the first one on. Their number changes
    /// when they are ready.
    fn renew_options(&mut self) {
        match self.generations.renew(self.settings) {
            Ok((renewed, lines)) => {
                *self.settings = renewed;
                self.apply_settings();
                for line in lines {
                    self.outbox.push(Event::warning(line));
                }
            }
            // The template has accepted them, so it has another release of the library.
            Err(error) => self.outbox.push(Event::warning(format!(
                "reload of the program: its options are not applied: {error}"
            ))),
        }
    }

    fn apply_settings(&mut self) {
        self.pool.reconfigure(self.settings.pool.clone());
        self.generations.apply(self.settings);
    }

    fn start(&mut self, template: TemplateId) {
        if self.generations.is_starting() {
            self.board.begin_program_reload();
            self.service.reload_begun();
        }
        self.begin_to_reap_orphans();
        match self.fork() {
            Ok((child, link)) => {
                let pid = self.generations.add(template, child, link);
                self.outbox.push(Event::template_started(pid));
            }
            Err(error) => self
                .generations
                .could_not_start(template, error.to_string()),
        }
    }

    /// From the first template on, orphans of this process's descendants become its children.
    fn begin_to_reap_orphans(&mut self) {
        let workers = self.children.iter().map(|(_, child)| child.pid());
        self.orphans.begin(&mut self.channels.signals, workers);
    }

    /// Asks a worker to fork a template.
    fn refork(&mut self, template: TemplateId, slot: usize) {
        let pid = self.children.pid(slot);
        let after = self.settings.refork_after.unwrap_or_default();
        self.outbox.push(Event::refork_begun(pid, after));
        self.begin_to_reap_orphans();
        // Before the order: the template may exist immediately.
        let others = adopted::children();
        match self.order_template(slot) {
            Ok(control) => self.generations.add_warm(template, control, others),
            Err(error) => {
                let why = format!("worker (pid {pid}): {error}");
                self.generations.could_not_start(template, why);
            }
        }
    }

    /// # Errors
    /// Why the worker cannot be asked.
    fn order_template(&self, slot: usize) -> Result<Packets> {
        // The template is the child of a child of the worker that exits.
        become_reaper()?;
        let (ours, its) = packets::pair("connection to a template")?;
        let orders = self
            .children
            .orders(slot)
            .ok_or_else(|| Error::new(Code::Descriptors, "it has no connection for orders"))?;
        orders
            .send(b"T", &[its.fd().as_raw_fd()])
            .map_err(|errno| Error::system("order to fork a template", errno as i32))?;
        let page = self.board.page(slot);
        page.request_template();
        self.children.wake(slot, page);
        Ok(ours)
    }

    /// # Errors
    /// Why it could not be started.
    fn fork(&mut self) -> Result<(Child, Link)> {
        let link = prepare(self.settings)?;
        let held = Held::begin();
        match child::fork() {
            Ok(Fork::Child) => {
                held.keep();
                let inherited = Inherited {
                    manager: self.manager,
                    wake: &self.channels.wake.write,
                    life: &self.channels.life.read,
                    handover: self.handover.queue(),
                    listeners: listeners::numbers(self.listeners),
                    descriptors: self.descriptors,
                };
                exec_template(link, inherited, &mut self.channels.signals)
            }
            Ok(Fork::Parent(child)) => Ok((child, link)),
            Err(errno) => Err(Error::system("fork of a template", errno)),
        }
    }
}
