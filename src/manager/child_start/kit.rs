//! What a new worker has of its manager.

use std::os::fd::OwnedFd;

use crate::manager::children::Newborn;
use crate::manager::descriptors::Descriptors;
use crate::manager::identity::Identity;
use crate::sys::fd::pipe::Pipe;
use crate::sys::log::stderr::Redirected;
use crate::sys::signal::handlers::Signals;
use crate::worker::Scoreboard;

/// What a new worker keeps of the manager. Everything else was dropped.
#[derive(Debug)]
pub(crate) struct ChildKit {
    pub(crate) newborn: Newborn,
    /// The pid of the manager.
    pub(crate) manager: i32,
    pub(crate) scoreboard: Scoreboard,
    pub(crate) signals: Signals,
    /// A byte written here wakes the manager.
    pub(crate) wake: OwnedFd,
    /// At its end when the manager has ended.
    pub(crate) life: OwnedFd,
    /// Both ends of the hand-over queue.
    pub(crate) handover: (OwnedFd, OwnedFd),
    pub(crate) identity: Option<Identity>,
    pub(crate) descriptors: Descriptors,
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
