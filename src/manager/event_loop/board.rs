//! What the manager publishes of itself and its workers on the scoreboard.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::manager::children::Children;
use crate::manager::event::Event;
use crate::pool::{Exit, Notice, Overdue, Pool, SlotState};
use crate::sys::clock;
use crate::sys::socket::listeners::Listener;
use crate::worker::{
    End, ExitCause, Figures, Header, Page, Reload, ReloadEnd, Scoreboard, Stage, Total,
    possible_requests,
};

#[derive(Debug)]
pub(super) struct Board {
    scoreboard: Scoreboard,
    /// Reloads that have begun.
    generation: u64,
    /// The latest reload has failed.
    has_reload_failed: bool,
    /// The last request for a reload.
    requested: u64,
    /// The last request that the pool's reload in progress covers.
    covered: Option<u64>,
    program: ProgramRequests,
    /// When the first signal of this turn arrived that resizes the pool.
    resized_at: Option<Duration>,
    /// Workers that are about to be killed, by slot.
    killing: BTreeMap<usize, Overdue>,
}

/// Requests that only a reload of the program fulfils.
#[derive(Debug, Default)]
struct ProgramRequests {
    /// The first one for which no template was started yet.
    waiting: Option<u64>,
    /// The first and the last one that the new template covers, until the pool's reload begins.
    starting: Option<(u64, u64)>,
}

impl Board {
    /// Publishes what does not change.
    pub(super) fn new(scoreboard: Scoreboard, pm: &str, listeners: &[Listener]) -> Self {
        let header = scoreboard.header();
        header.set_pm(pm);
        let inodes: Vec<_> = listeners.iter().map(|one| one.inode).collect();
        header.set_listeners(&inodes);
        Self {
            scoreboard,
            generation: 0,
            has_reload_failed: false,
            requested: 0,
            covered: None,
            program: ProgramRequests::default(),
            resized_at: None,
            killing: BTreeMap::new(),
        }
    }

    /// A reload was requested. The next one to begin covers this request.
    pub(super) fn receive_reload(&mut self) {
        self.requested = self.header().receive_reload(clock::now());
    }

    /// A reload of the program was requested.
    pub(super) fn receive_program_reload(&mut self) {
        self.receive_reload();
        self.program.waiting.get_or_insert(self.requested);
    }

    /// A reload of the workers is requested while a template for all workers starts, which covers it.
    pub(super) fn receive_covered_reload(&mut self) {
        self.receive_reload();
        if let (None, Some((_, last))) = (self.program.waiting, &mut self.program.starting) {
            *last = self.requested;
        }
    }

    /// A template was started for what was requested until now.
    pub(super) fn begin_program_reload(&mut self) {
        let first = self.program.waiting.take().unwrap_or(self.requested);
        self.program.starting = Some((first, self.requested));
        self.has_reload_failed = false;
        self.header().set_reload(Reload::Running, "");
    }

    /// The pool's reload that comes next has the new template's workers.
    pub(super) fn program_is_ready(&mut self) {
        if let Some((_, last)) = self.program.starting.take() {
            self.covered = Some(last);
        }
    }

    /// The template has failed.
    pub(super) fn fail_program_reload(&mut self, event: &Event) {
        self.has_reload_failed = true;
        self.header().set_reload(Reload::Failed, &event.message);
        if let Some((_, last)) = self.program.starting.take() {
            self.covered = Some(last);
            self.end_reload(true);
        }
    }

    /// The last request that a reload of the pool covers which begins now.
    fn covered_from_now(&self) -> u64 {
        let started = self.program.starting.map(|(first, _)| first);
        let program = started.into_iter().chain(self.program.waiting).min();
        program.map_or(self.requested, |first| first.saturating_sub(1))
    }

    /// The pool is about to be resized by a signal.
    pub(super) fn receive_resize(&mut self) {
        self.resized_at.get_or_insert_with(clock::now);
    }

    /// Those who wait for the reload in progress learn how it ended.
    fn end_reload(&mut self, has_failed: bool) {
        if let Some(through) = self.covered.take() {
            self.header().end_reload(ReloadEnd {
                through,
                has_failed,
                generation: self.generation,
            });
        }
    }

    pub(super) const fn scoreboard(&self) -> &Scoreboard {
        &self.scoreboard
    }

    pub(super) fn page(&self, slot: usize) -> &Page {
        self.scoreboard.page(slot)
    }

    /// In a new worker.
    pub(super) fn into_scoreboard(self) -> Scoreboard {
        self.scoreboard
    }

    /// To begin and end the region of a worker.
    pub(super) const fn scoreboard_mut(&mut self) -> &mut Scoreboard {
        &mut self.scoreboard
    }

    fn header(&self) -> &Header {
        self.scoreboard.header()
    }

    /// Counts a notice, or publishes its effect.
    pub(super) fn publish_notice(&mut self, notice: Notice, event: &Event, children: &Children) {
        match notice {
            Notice::Started { slot } => {
                self.header().add(Total::Forks, 1);
                let line = self.scoreboard.slot(slot);
                line.set_worker(children.pid(slot), self.generation);
            }
            Notice::Exited { slot, exit } => {
                let status = match exit {
                    Exit::Unknown => -1,
                    Exit::Code(_) | Exit::Signal(_) => children.status(slot),
                };
                let cause = self.cause_of(slot, exit);
                let line = self.scoreboard.slot(slot);
                let age = line.age();
                let counted = self.page(slot).tallies(age);
                // A reader must not add what the worker shows to a sum that contains it.
                line.set_exit(children.pid(slot), status);
                let header = self.header();
                header.add(Total::Deaths, 1);
                // The worker's own counts are only shown.
                header.add(Total::Requests, self.served(notice));
                let most = possible_requests(age);
                header.add(
                    Total::Disconnected,
                    self.page(slot).disconnected().min(most),
                );
                header.add_exit(cause, &counted);
            }
            Notice::ReloadBegun => {
                self.generation += 1;
                self.has_reload_failed = false;
                let covered = self.covered_from_now();
                self.covered.get_or_insert(covered);
                self.header().set_reload(Reload::Running, "");
            }
            // The old workers of an earlier reload have exited. The result of the latest is shown.
            Notice::ReloadDone if self.has_reload_failed => {
                self.header().add(Total::ReloadsDone, 1);
            }
            Notice::ReloadDone => {
                self.header().set_reload(Reload::Done, "");
                self.end_reload(false);
            }
            // The old workers accept nothing more.
            Notice::ReloadRolled { .. } => self.end_reload(false),
            Notice::ReloadFailed { .. } => {
                self.has_reload_failed = true;
                self.header().set_reload(Reload::Failed, &event.message);
                self.end_reload(true);
            }
            Notice::Killing { slot, overdue } => {
                self.killing.insert(slot, overdue);
            }
            Notice::Slow { .. } => self.header().add(Total::Slow, 1),
            Notice::Overdue { .. } => self.header().add(Total::TimedOut, 1),
            Notice::Recycling { .. } => self.header().add(Total::Recycled, 1),
            Notice::Draining { .. } => self.header().set_end(End::Draining),
            Notice::Stopping => self.header().set_end(End::Stopping),
            // A program that reads in the log that it is ready must find it so.
            Notice::Ready { slot } => self.scoreboard.slot(slot).set_stage(Stage::Ready),
            Notice::ReloadQueued
            | Notice::BackingOff { .. }
            | Notice::DeparturesLimited { .. }
            | Notice::ForkFailed { .. }
            | Notice::Resized { .. }
            | Notice::Sized { .. }
            | Notice::Emptied
            | Notice::Recovered => {}
        }
    }

    fn cause_of(&mut self, slot: usize, exit: Exit) -> ExitCause {
        let killing = self.killing.remove(&slot);
        match (killing, self.scoreboard.slot(slot).stage(), exit) {
            (Some(Overdue::Start), _, _) => ExitCause::StartTimeout,
            (Some(Overdue::Exit), _, _) => ExitCause::DieTimeout,
            (Some(Overdue::Request), _, _) => ExitCause::RequestTimeout,
            (None, Stage::Retiring, _) => ExitCause::Retired,
            (None, _, Exit::Code(0)) => ExitCause::Exited,
            (None, _, Exit::Code(_)) => ExitCause::Failed,
            (None, _, Exit::Signal(_)) => ExitCause::Signal,
            (None, _, Exit::Unknown) => ExitCause::Unknown,
        }
    }

    /// The requests that a worker has served, by its own count, if the notice is its exit.
    pub(super) fn served(&self, notice: Notice) -> u64 {
        let Notice::Exited { slot, .. } = notice else {
            return 0;
        };
        let snapshot = self.page(slot).snapshot();
        let most = possible_requests(self.scoreboard.slot(slot).age());
        snapshot.map_or(0, |snapshot| snapshot.requests.min(most))
    }

    /// Publishes the number of workers, and the stage of each.
    pub(super) fn publish_status(&mut self, pool: &Pool, slots: usize) {
        let counts = pool.counts();
        self.header().set_figures(&Figures {
            wanted: counts.wanted as u64,
            processes: counts.processes as u64,
            starting: counts.starting as u64,
            ready: counts.ready as u64,
            retiring: counts.retiring as u64,
            idle: counts.idle as u64,
            busy: counts.busy as u64,
            most: pool.most() as u64,
        });
        for slot in 0..slots {
            let stage = match pool.state(slot) {
                SlotState::Empty => Stage::Empty,
                SlotState::Starting => Stage::Starting,
                SlotState::Ready => Stage::Ready,
                SlotState::Retiring => Stage::Retiring,
                SlotState::Killed => Stage::Killed,
            };
            self.scoreboard.slot(slot).set_stage(stage);
        }
        if let Some(at) = self.resized_at.take() {
            self.header().set_resized(at);
        }
    }
}
