//! What the manager shows of itself and its workers on the scoreboard.

use crate::manager::event::Event;
use crate::manager::event_loop::EventLoop;
use crate::pool::{Exit, Notice, SlotState};
use crate::worker::{Figures, Reload, Stage, Total};

impl EventLoop {
    /// What does not change.
    pub(in crate::manager) fn publish_start(&self) {
        let header = self.parts.scoreboard.header();
        header.set_pm(self.settings.pm);
        let inodes: Vec<_> = self.parts.listeners.iter().map(|one| one.inode).collect();
        header.set_listeners(&inodes);
    }

    /// Something that is counted, or remembered, has happened.
    pub(in crate::manager) fn publish_notice(&mut self, notice: Notice, event: &Event) {
        self.generation += u64::from(notice == Notice::ReloadBegun);
        self.reload_failed = match notice {
            Notice::ReloadBegun => false,
            Notice::ReloadFailed { .. } => true,
            _ => self.reload_failed,
        };
        let header = self.parts.scoreboard.header();
        match notice {
            Notice::Started { slot } => {
                header.add(Total::Forks, 1);
                let line = self.parts.scoreboard.slot(slot);
                line.set_worker(self.workers[slot].pid, self.generation);
            }
            Notice::Exited { slot, exit } => {
                let worker = &self.workers[slot];
                let status = if exit == Exit::Unknown {
                    -1
                } else {
                    worker.status
                };
                header.add(Total::Deaths, 1);
                // What it says of itself is only shown.
                let requests = self.page(slot).snapshot().map_or(0, |look| look.requests);
                header.add(Total::Requests, requests);
                header.add(Total::Disconnected, self.page(slot).disconnected());
                self.parts
                    .scoreboard
                    .slot(slot)
                    .set_exit(worker.pid, status);
                self.inherit_counts(slot, matches!(exit, Exit::Signal(_) | Exit::Unknown));
            }
            Notice::ReloadBegun => header.set_reload(Reload::Running, ""),
            // The old workers of an earlier one are gone: how the latest ended is what is shown.
            Notice::ReloadDone if self.reload_failed => header.add(Total::ReloadsDone, 1),
            Notice::ReloadDone => header.set_reload(Reload::Done, ""),
            Notice::ReloadFailed { .. } => header.set_reload(Reload::Failed, &event.message),
            Notice::Recycling { .. } => header.add(Total::Recycled, 1),
            Notice::Stopping => header.set_stopping(),
            // Whoever reads in the log that it is ready finds it so.
            Notice::Ready { slot } => self.parts.scoreboard.slot(slot).set_stage(Stage::Ready),
            Notice::ReloadQueued
            | Notice::ReloadRolled { .. }
            | Notice::Killing { .. }
            | Notice::BackingOff { .. }
            | Notice::DeparturesLimited { .. }
            | Notice::ForkFailed { .. }
            | Notice::Resized { .. }
            | Notice::Sized { .. }
            | Notice::Slow { .. }
            | Notice::Overdue { .. }
            | Notice::Emptied
            | Notice::Recovered => {}
        }
    }

    /// How many workers there are, and where each of them stands.
    pub(in crate::manager) fn publish_status(&self) {
        let counts = self.pool.counts();
        self.parts.scoreboard.header().set_figures(&Figures {
            wanted: counts.wanted as u64,
            processes: counts.processes as u64,
            starting: counts.starting as u64,
            ready: counts.ready as u64,
            retiring: counts.retiring as u64,
            idle: counts.idle as u64,
            busy: counts.busy as u64,
        });
        for slot in 0..self.workers.len() {
            let stage = match self.pool.state(slot) {
                SlotState::Empty => Stage::Empty,
                SlotState::Starting => Stage::Starting,
                SlotState::Ready => Stage::Ready,
                SlotState::Retiring => Stage::Retiring,
                SlotState::Gone => Stage::Gone,
            };
            self.parts.scoreboard.slot(slot).set_stage(stage);
        }
    }
}
