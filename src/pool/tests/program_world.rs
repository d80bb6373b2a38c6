//! A model of what the manager does with the actions of a reload of the program.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::pool::{ProgramAction, ProgramEvent, ProgramReload, Source, TemplateId};

pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct World {
    pub(super) machine: ProgramReload,
    pub(super) now: Duration,
    /// Templates that were started and have not ended; whether each one has become ready.
    pub(super) templates: BTreeMap<TemplateId, bool>,
    pub(super) is_rolling: bool,
    pub(super) reloads: usize,
    pub(super) failures: usize,
    pub(super) lost: usize,
    pub(super) reverted: usize,
    pub(super) reforks: usize,
    pub(super) failed_reforks: usize,
    pub(super) are_failing: bool,
    /// Templates that were started for a reload.
    pub(super) starts: usize,
    pub(super) request: Request,
}

/// What became of the last request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    None,
    /// No template was started since.
    Waits,
    Starting,
    /// It has failed, or the pool reloads.
    Decided,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            machine: ProgramReload::new(Some(TIMEOUT)),
            now: Duration::ZERO,
            templates: BTreeMap::new(),
            is_rolling: false,
            reloads: 0,
            failures: 0,
            lost: 0,
            reverted: 0,
            reforks: 0,
            failed_reforks: 0,
            are_failing: false,
            starts: 0,
            request: Request::None,
        }
    }

    pub(super) fn handle(&mut self, event: ProgramEvent) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut actions = Vec::new();
            if event == ProgramEvent::Requested {
                self.request = Request::Waits;
            }
            self.machine.handle(self.now, event, &mut actions);
            for action in actions {
                match action {
                    ProgramAction::Start(id) => {
                        assert!(self.templates.insert(id, false).is_none(), "{id} twice");
                        if self.machine.is_starting() {
                            self.starts += 1;
                            self.request = Request::Starting;
                        }
                    }
                    ProgramAction::Refork { template, .. } => {
                        assert!(self.templates.insert(template, false).is_none());
                    }
                    ProgramAction::Reforked(_) => self.reforks += 1,
                    ProgramAction::ReportReforkFailed { .. } => self.failed_reforks += 1,
                    ProgramAction::End(id) => drop(self.templates.remove(&id)),
                    ProgramAction::ReloadPool => {
                        assert!(!self.is_rolling, "two reloads at a time");
                        self.is_rolling = true;
                        self.reloads += 1;
                        self.decide();
                    }
                    ProgramAction::Adopt => {}
                    ProgramAction::Revert => self.reverted += 1,
                    ProgramAction::FailPool => {
                        self.is_rolling = false;
                        events.push(ProgramEvent::PoolFailed);
                    }
                    ProgramAction::ReportFailed { .. } => {
                        self.failures += 1;
                        self.decide();
                    }
                    ProgramAction::ReportLost(_) | ProgramAction::ReportStillLost { .. } => {
                        self.lost += 1;
                    }
                }
            }
        }
        self.check();
    }

    fn decide(&mut self) {
        if self.request == Request::Starting {
            self.request = Request::Decided;
        }
    }

    pub(super) fn tick(&mut self) {
        self.handle(ProgramEvent::Tick {
            is_rolling: self.is_rolling,
            is_forking: false,
            are_failing: self.are_failing,
        });
    }

    pub(super) fn ready(&mut self, id: TemplateId) {
        self.templates.insert(id, true);
        self.handle(ProgramEvent::Ready(id));
        self.tick();
    }

    pub(super) fn ends(&mut self, id: TemplateId) {
        self.templates.remove(&id);
        self.handle(ProgramEvent::Ended(id));
    }

    /// The source of workers can fork. There are never more templates than the source, a warm one and a
    /// new one.
    fn check(&self) {
        if let Source::Template(id) = self.machine.source() {
            assert_eq!(self.templates.get(&id), Some(&true), "{:?}", self.machine);
        }
        assert!(self.templates.len() <= 3, "{:?}", self.templates);
    }

    /// A worker has served many requests.
    pub(super) fn warm(&mut self) {
        if !self.is_rolling && self.machine.wants_refork(self.now) {
            self.handle(ProgramEvent::Warm { slot: 0 });
        }
    }

    pub(super) fn newest(&self) -> Option<TemplateId> {
        self.templates.keys().next_back().copied()
    }
}
