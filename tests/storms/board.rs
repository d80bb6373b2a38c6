//! The scoreboard of a manager, as `fcgipm status` reads it.

use std::fs::File;
use std::path::PathBuf;

use fcgipm::worker::{Activity, MEMFD_NAME, REGION_NAME, Stage, View};

pub(crate) struct Board {
    manager: i32,
    pub(crate) view: View,
}

/// The path by which the scoreboard of a manager can be opened.
fn path(manager: i32) -> PathBuf {
    find(manager, MEMFD_NAME).expect("a scoreboard")
}

/// The path by which the region of a worker can be opened, if its slot has one.
pub(crate) fn region(manager: i32, slot: usize) -> Option<PathBuf> {
    find(manager, &format!("{REGION_NAME}{slot}"))
}

fn find(manager: i32, name: &str) -> Option<PathBuf> {
    let folder = std::fs::read_dir(format!("/proc/{manager}/fd")).unwrap();
    let mut paths = folder.map(|entry| entry.unwrap().path());
    let is_board = |path: &PathBuf| {
        std::fs::read_link(path)
            .is_ok_and(|link| link.to_string_lossy() == format!("/memfd:{name} (deleted)"))
    };
    paths.find(is_board)
}

impl Board {
    pub(crate) fn of(manager: i32) -> Self {
        let file = File::open(path(manager)).unwrap();
        let view = View::of(&file).unwrap();
        Self { manager, view }
    }

    /// The slots that have a worker, each with its pid.
    pub(crate) fn workers(&self) -> Vec<(usize, i32)> {
        let slots = 0..self.view.pool().slots_used;
        let slots = slots.filter_map(|slot| Some((slot, self.view.slot(slot)?)));
        let held = slots.filter(|(_, status)| match status.stage {
            Stage::Starting | Stage::Ready | Stage::Retiring => true,
            Stage::Empty | Stage::Killed => false,
        });
        held.map(|(slot, status)| (slot, status.pid)).collect()
    }

    /// A view that includes the region of the worker in a slot.
    fn attached(&self, slot: usize) -> Option<View> {
        let mut view = View::of(File::open(path(self.manager)).ok()?).ok()?;
        let region = File::open(region(self.manager, slot)?).ok()?;
        view.attach(slot, &region).ok()?;
        Some(view)
    }

    pub(crate) fn activity(&self, slot: usize) -> Option<Activity> {
        self.attached(slot)?
            .snapshot(slot)
            .map(|snapshot| snapshot.activity)
    }

    /// The URI of the request that runs in a slot.
    pub(crate) fn uri(&self, slot: usize) -> Option<String> {
        let view = self.attached(slot)?;
        let snapshot = view.snapshot(slot)?;
        Some(view.details(slot, &snapshot)?.uri)
    }
}
