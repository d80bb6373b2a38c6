//! What a worker does that is asked to fork a template (option `refork_after`).

use once_cell::sync::OnceCell;

use super::child_start;
use super::settings::{ForkedBy, Settings};
use super::template::origin::Origin;
use super::template::{Step, Template};
use crate::error::Result;
use crate::sys::process::child::{self, Fork};
use crate::sys::process::fork_hooks;
use crate::worker::Refork;

/// Of the manager of this worker: the host may have freed its own copy.
static SETTINGS: OnceCell<Settings> = OnceCell::new();

/// In a new worker.
pub(super) fn remember(settings: &Settings) {
    if settings.refork_after.is_some() {
        // A copy of a worker has them already.
        let _ = SETTINGS.set(settings.clone());
    }
}

/// In a worker: the template that it is to fork, if it is.
pub(super) fn take_order() -> Option<(Settings, Origin)> {
    let settings = SETTINGS.get()?;
    Some((settings.clone(), Origin::take_order(settings)?))
}

/// In a worker whose library forks: forks a template, which serves the manager here, and returns in its
/// workers.
///
/// # Errors
/// As [`Manager::next`](super::Manager::next) in a worker.
pub(super) fn fork_template() -> Result<Refork> {
    let Some(settings) = SETTINGS.get() else {
        return Ok(Refork::Unchanged);
    };
    if settings.forked_by == ForkedBy::Host {
        return Ok(Refork::HostForks);
    }
    let Some(mut origin) = Origin::take_order(settings) else {
        return Ok(Refork::Unchanged);
    };
    fork_hooks::before();
    if origin.begin().is_err() {
        return Ok(Refork::Unchanged);
    }
    let forked = child::fork().map(|forked| match forked {
        Fork::Child => 0,
        Fork::Parent(child) => child.pid(),
    });
    match origin.complete(forked) {
        None => Ok(Refork::Unchanged),
        Some(template) => serve(template, settings),
    }
}

/// Returns in a new worker.
fn serve(mut template: Template, settings: &Settings) -> Result<Refork> {
    loop {
        match template.next(None) {
            Step::Worker(unborn) => {
                child_start::start(template.into_child(unborn), settings, fork_template)?;
                return Ok(Refork::NewWorker);
            }
            // Only with a limit, and with a host that forks.
            Step::TimedOut | Step::HostForks => {}
        }
    }
}
