//! The manager's scoreboard, as `fcgipm status` looks at it.

use std::fs::File;
use std::path::PathBuf;

use fcgipm::server::supervision::{Activity, MEMFD_NAME, Stage, View};

pub(crate) struct Board {
    pub(crate) view: View,
}

/// Where the scoreboard of a manager can be opened.
pub(crate) fn path(manager: i32) -> PathBuf {
    let folder = std::fs::read_dir(format!("/proc/{manager}/fd")).unwrap();
    let mut paths = folder.map(|entry| entry.unwrap().path());
    let is_board = |path: &PathBuf| {
        std::fs::read_link(path).is_ok_and(|link| {
            link.to_string_lossy()
                .starts_with(&format!("/memfd:{MEMFD_NAME}"))
        })
    };
    paths.find(is_board).expect("a scoreboard")
}

impl Board {
    pub(crate) fn of(manager: i32) -> Self {
        let file = File::open(path(manager)).unwrap();
        let view = View::of(&file).unwrap();
        Self { view }
    }

    /// The slots that have a worker, each with its pid.
    pub(crate) fn workers(&self) -> Vec<(usize, i32)> {
        let slots = 0..self.view.pool().slots_used;
        let slots = slots.filter_map(|slot| Some((slot, self.view.slot(slot)?)));
        let held = slots.filter(|(_, status)| match status.stage {
            Stage::Starting | Stage::Ready | Stage::Retiring => true,
            Stage::Empty | Stage::Gone => false,
        });
        held.map(|(slot, status)| (slot, status.pid)).collect()
    }

    pub(crate) fn activity(&self, slot: usize) -> Option<Activity> {
        self.view.look(slot).map(|look| look.activity)
    }

    /// The URI of the request that runs in a slot.
    pub(crate) fn uri(&self, slot: usize) -> Option<String> {
        let look = self.view.look(slot)?;
        Some(self.view.details(slot, &look)?.uri)
    }
}
