//! The processes that workers are copies of: the manager itself, or templates, which were started for a
//! reload of the program. What happens next is decided in [`ProgramReload`]; a template's own half is in
//! [`template`](super::template).

mod process;
mod start;

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::Duration;

use self::process::{News, TemplateProcess};
pub(super) use self::start::{Inherited, Link, exec_template, prepare};
use super::children::{Forking, OutputPause};
use super::settings::Settings;
use super::watch::{REAP_INTERVAL, Ready, Source as Watched, Watch};
use crate::error::Error;
use crate::options::Options;
use crate::pool::{Pool, ProgramAction, ProgramEvent, ProgramReload, Source, TemplateId};
use crate::sys::fd::packets::Packets;
use crate::sys::process::child::Child;

/// How long a template may take to fork if there is no `start_timeout`.
const FORK_PATIENCE: Duration = Duration::from_secs(60);

/// A worker whose fork a template has completed: its pid, or errno.
pub(super) type Completed = (Forking, std::result::Result<i32, i32>);

#[derive(Debug)]
pub(super) struct Generations {
    machine: ProgramReload,
    /// What the machine has not handled yet.
    inbox: VecDeque<ProgramEvent>,
    templates: Vec<TemplateProcess>,
    output_pause: OutputPause,
    /// A fork that a template was asked for, and when it is overdue.
    pending: Option<(TemplateId, Forking, Duration)>,
    /// Why templates have ended, until that was reported.
    reasons: Vec<(TemplateId, i32, String)>,
    /// The settings to return to if the reload fails.
    before: Option<Box<Settings>>,
}

impl Generations {
    pub(super) fn new(start_timeout: Option<Duration>) -> Self {
        Self {
            machine: ProgramReload::new(start_timeout),
            inbox: VecDeque::new(),
            templates: Vec::new(),
            output_pause: OutputPause::default(),
            pending: None,
            reasons: Vec::new(),
            before: None,
        }
    }

    pub(super) fn watch<'a>(&'a self, watch: &mut Watch<'a>) {
        for template in &self.templates {
            let both = [template.control(), template.pidfd()];
            for fd in both.into_iter().flatten() {
                watch.add(Watched::Template, fd);
            }
            let from = Some(self.output_pause.end());
            watch.add_from(from, Watched::Template, template.output().into_iter());
            watch.until(template.exit_by());
            if template.is_unwatched() {
                watch.until(Some(watch.now() + REAP_INTERVAL));
            }
        }
        watch.until(self.pending.as_ref().map(|(_, _, by)| *by));
        watch.until(self.machine.deadline());
        watch.until((!self.inbox.is_empty()).then_some(watch.now()));
    }

    pub(super) const fn source(&self) -> Source {
        self.machine.source()
    }

    /// Whether a template is being started for a reload, or is ready and waits for the pool.
    pub(super) const fn is_starting(&self) -> bool {
        self.machine.is_starting()
    }

    pub(super) fn pids(&self) -> impl Iterator<Item = i32> + '_ {
        self.templates.iter().map(TemplateProcess::pid)
    }

    /// Something that the machine handles later in this turn.
    pub(super) fn push(&mut self, event: ProgramEvent) {
        self.inbox.push_back(event);
    }

    /// The next actions of the machine. `None`: it has handled everything.
    pub(super) fn next_actions(&mut self, now: Duration) -> Option<Vec<ProgramAction>> {
        let Some(event) = self.inbox.pop_front() else {
            // The end of a template that is no longer needed is not reported.
            self.reasons.clear();
            return None;
        };
        let mut actions = Vec::new();
        self.machine.handle(now, event, &mut actions);
        Some(actions)
    }

    /// The machine handles the time that has passed.
    pub(super) fn push_tick(&mut self, pool: &Pool) {
        if !self.machine.is_at_rest() {
            self.inbox.push_back(ProgramEvent::Tick {
                is_rolling: pool.is_rolling(),
                is_forking: self.pending.is_some(),
                are_failing: pool.are_starts_failing(),
            });
        }
    }

    /// If a worker has served this many requests, it is to fork a template.
    pub(super) fn consider_refork(&mut self, now: Duration, pool: &Pool, after: u64) {
        if pool.is_rolling() {
            self.machine.pool_is_rolling();
        } else if self.machine.wants_refork(now) {
            let warm = pool.warm_worker(after);
            self.inbox
                .extend(warm.map(|slot| ProgramEvent::Warm { slot }));
        }
    }

    /// A template was started; returns its pid.
    pub(super) fn add(&mut self, template: TemplateId, child: Child, link: Link) -> i32 {
        let (control, output) = link.into_parts();
        let process = TemplateProcess::new(template, Some(child), control, output);
        let pid = process.pid();
        self.templates.push(process);
        pid
    }

    /// A worker was asked to fork a template, which is connected here, and is none of these other
    /// processes.
    pub(super) fn add_warm(&mut self, template: TemplateId, control: Packets, others: Vec<i32>) {
        let mut process = TemplateProcess::new(template, None, control, None);
        process.others = others;
        self.templates.push(process);
    }

    /// The pid of a template.
    pub(super) fn pid(&self, template: TemplateId) -> i32 {
        let one = self.templates.iter().find(|one| one.id == template);
        one.map_or(0, TemplateProcess::pid)
    }

    /// A template could not be started.
    pub(super) fn could_not_start(&mut self, template: TemplateId, why: String) {
        self.reasons.push((template, 0, why));
        self.push(ProgramEvent::Ended(template));
    }

    /// Ends a template.
    pub(super) fn end(&mut self, now: Duration, template: TemplateId) {
        if let Some(one) = self.templates.iter_mut().find(|one| one.id == template) {
            one.end(now, "was ended");
        }
    }

    /// Why a template has ended, after its pid if it had one.
    pub(super) fn take_reason(&mut self, template: TemplateId) -> String {
        let place = self.reasons.iter().position(|(id, ..)| *id == template);
        match place.map(|place| self.reasons.swap_remove(place)) {
            Some((_, 0, why)) => why,
            Some((_, pid, why)) => format!("template (pid {pid}) {why}"),
            None => {
                let one = self.templates.iter().find(|one| one.id == template);
                one.map_or_else(String::new, |one| format!("template (pid {})", one.pid()))
            }
        }
    }

    /// The settings with the new program's options, and a line for each option that stays as it is.
    /// Those of now are kept until the reload is over.
    pub(super) fn renew(&mut self, now: &Settings) -> Result<(Settings, Vec<String>), Error> {
        let source = self.templates.iter().find(|one| {
            // The reload begins with it.
            Source::Template(one.id) == self.machine.source()
        });
        let options = Options::from_text(source.map_or("", TemplateProcess::options))?;
        let renewed = now.renewed(&options)?;
        self.before = Some(Box::new(now.clone()));
        Ok(renewed)
    }

    /// The settings have changed.
    pub(super) fn apply(&mut self, settings: &Settings) {
        self.machine.set_start_timeout(settings.pool.start_timeout);
    }

    /// The settings before the reload that is over.
    pub(super) fn take_before(&mut self) -> Option<Settings> {
        self.before.take().map(|before| *before)
    }

    /// Asks the current template to fork this worker. An error is errno, and the worker is handed back.
    pub(super) fn request_fork(
        &mut self,
        now: Duration,
        forking: Forking,
        region: Option<&OwnedFd>,
    ) -> Result<(), (Forking, i32)> {
        let Source::Template(id) = self.machine.source() else {
            return Err((forking, libc::ESRCH));
        };
        let Some(template) = self.templates.iter_mut().find(|one| one.id == id) else {
            return Err((forking, libc::ESRCH));
        };
        // Without a descriptor of its own the region cannot be passed on.
        let region = region.ok_or(libc::EMFILE);
        match region.and_then(|region| template.request_fork(&forking, region)) {
            Ok(()) => {
                let by = now + self.machine.start_timeout().unwrap_or(FORK_PATIENCE);
                self.pending = Some((id, forking, by));
                Ok(())
            }
            Err(errno) => {
                template.could_not_fork(now, errno);
                Err((forking, errno))
            }
        }
    }

    /// Observes the templates.
    pub(super) fn observe(
        &mut self,
        ready: &Ready,
        now: Duration,
        is_worker: impl Fn(i32) -> bool,
    ) -> Vec<Completed> {
        let mut completed = Vec::new();
        let is_ready = ready.has(Watched::Template);
        if is_ready {
            for template in &mut self.templates {
                template.forward_output(now, &mut self.output_pause);
            }
        }
        if let Some((id, forking, _)) = self.pending.take_if(|(_, _, by)| *by <= now) {
            // A worker that comes later stays unknown, and accepts nothing.
            completed.push((forking, Err(libc::ETIMEDOUT)));
            if let Some(one) = self.templates.iter_mut().find(|one| one.id == id) {
                one.end(now, "did not fork a worker in time");
            }
        }
        for index in (0..self.templates.len()).rev() {
            if !is_ready && !self.templates[index].is_due(now) {
                continue;
            }
            let (id, pid) = (self.templates[index].id, self.templates[index].pid());
            let others: Vec<_> = self.pids().filter(|other| *other != pid).collect();
            let is_other = |pid| others.contains(&pid) || is_worker(pid);
            for news in self.templates[index].take_news(now, is_other) {
                match news {
                    News::Ready => self.inbox.push_back(ProgramEvent::Ready(id)),
                    News::Forked { slot, pid } => {
                        completed.extend(self.complete(id, slot, Ok(pid)))
                    }
                    News::Failed { slot, errno } => {
                        completed.extend(self.complete(id, slot, Err(errno)));
                    }
                    News::Ended(reason) => {
                        self.templates.remove(index);
                        self.reasons.push((id, pid, reason));
                        self.inbox.push_back(ProgramEvent::Ended(id));
                        let pending = self.pending.take_if(|(from, ..)| *from == id);
                        completed
                            .extend(pending.map(|(_, forking, _)| (forking, Err(libc::ESRCH))));
                        break;
                    }
                }
            }
        }
        completed
    }

    /// The result of the fork that is awaited; another one is ignored.
    fn complete(
        &mut self,
        from: TemplateId,
        slot: usize,
        result: std::result::Result<i32, i32>,
    ) -> Option<Completed> {
        let is_awaited = |(id, forking, _): &mut (TemplateId, Forking, Duration)| {
            *id == from && forking.slot() == slot
        };
        let (_, forking, _) = self.pending.take_if(is_awaited)?;
        Some((forking, result))
    }

    /// The pool has stopped: ends all templates, and waits briefly until they are reaped.
    pub(super) fn end_all(&mut self, now: Duration) {
        const TRIES: u32 = 500;
        self.templates
            .iter_mut()
            .for_each(|one| one.end(now, "was ended"));
        for _ in 0..TRIES {
            self.templates.retain_mut(|one| {
                let news = one.take_news(now, |_| false);
                !news.iter().any(|news| matches!(news, News::Ended(_)))
            });
            if self.templates.is_empty() {
                return;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_that_nobody_asks_for_are_dropped() {
        let mut generations = Generations::new(None);
        generations.could_not_start(7, "no longer needed".to_owned());
        while generations.next_actions(Duration::ZERO).is_some() {}
        assert!(generations.reasons.is_empty());
    }
}
