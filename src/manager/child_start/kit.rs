//! What a new worker has of its manager.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::sys::signal::SigSet;

use crate::error::Result;
use crate::manager::children::Newborn;
use crate::manager::descriptors::Descriptors;
use crate::manager::identity::Identity;
use crate::sys::fd::pipe::{self, Pipe};
use crate::sys::log::stderr::Redirected;
use crate::sys::signal::handlers::{self, Signals};
use crate::worker::{self, Page, Scoreboard};

/// What a new worker keeps of the manager. Everything else was dropped.
#[derive(Debug)]
pub(crate) struct ChildKit {
    pub(crate) newborn: Newborn,
    /// The pid of the manager.
    pub(crate) manager: i32,
    pub(crate) region: Region,
    pub(crate) dispositions: Dispositions,
    /// A byte written here wakes the manager.
    pub(crate) wake: Arc<OwnedFd>,
    /// At its end when the manager has ended.
    pub(crate) life: Arc<OwnedFd>,
    /// Both ends of the hand-over queue.
    pub(crate) handover: (Arc<OwnedFd>, Arc<OwnedFd>),
    pub(crate) identity: Option<Identity>,
    /// Where the limit of descriptors was raised.
    pub(crate) descriptors: Option<Descriptors>,
}

impl ChildKit {
    /// In a worker of a template: waits until it is a child of the manager, and the manager knows it.
    /// One that stays unknown accepts nothing.
    pub(super) fn await_manager(&mut self) {
        if let Region::Mapped(_) = self.region {
            return;
        }
        let known = self.newborn.known.take();
        if !known.is_some_and(pipe::await_byte) {
            worker::forbid_to_serve();
        }
    }
}

/// The worker's region of the scoreboard.
#[derive(Debug)]
pub(crate) enum Region {
    /// In the mapping of the manager.
    Mapped(Scoreboard),
    /// From the manager of this process's template.
    File(OwnedFd),
}

impl Region {
    /// Its memfd.
    pub(super) fn file(&self, slot: usize) -> Option<&OwnedFd> {
        match self {
            Self::Mapped(scoreboard) => scoreboard.region(slot),
            Self::File(file) => Some(file),
        }
    }

    /// Keeps only this region mapped.
    ///
    /// # Errors
    /// mmap(2) failed.
    pub(super) fn into_page(self, slot: usize) -> Result<&'static Page> {
        match self {
            Self::Mapped(scoreboard) => Ok(scoreboard.keep_only(slot)),
            Self::File(file) => {
                // The manager keeps the memfd for `fcgipm status`.
                worker::adopt_region(&file)
            }
        }
    }
}

/// What is known of the host's signals.
#[derive(Debug)]
pub(crate) enum Dispositions {
    /// The manager has replaced its handlers.
    Replaced(Signals),
    /// They are the host's own. This is its mask.
    Original(SigSet),
}

impl Dispositions {
    pub(super) fn mask(&self) -> SigSet {
        match self {
            Self::Replaced(signals) => signals.original_mask(),
            Self::Original(mask) => *mask,
        }
    }

    pub(super) fn restore_for_worker(self) {
        match self {
            Self::Replaced(signals) => signals.restore_for_worker(),
            Self::Original(_) => {}
        }
    }

    pub(super) fn restore_for_program(&mut self, stop_signal: i32) {
        match self {
            Self::Replaced(signals) => signals.restore_for_program(stop_signal),
            Self::Original(_) => handlers::reset_for_program(stop_signal),
        }
    }
}

/// Redirects standard error through the manager. Without a pipe, it is only not forwarded.
pub(super) fn redirect_stderr(
    pipe: Option<Pipe>,
    identity: Option<&Identity>,
) -> Option<Redirected> {
    let redirected = Redirected::to(pipe?).ok()?;
    if let Some((user, group)) = identity.and_then(Identity::owner) {
        redirected.give_to(user, group);
    }
    Some(redirected)
}
