//! A worker of a host.

use nix::sys::signal::Signal;

use super::kit::{ChildKit, redirect_stderr};
use crate::error::{Code, Error, Result};
use crate::manager::settings::{ForkedBy, Settings, SignalHandlers};
use crate::sys::fd::sent_copy;
use crate::sys::process::{self, child, environment, fork_hooks, title};
use crate::sys::service;
use crate::sys::signal::handlers::Signals;
use crate::sys::signal::wakeup;
use crate::worker::{self, ForkTemplate, ManagerLink, Orders};

/// Links this process to its manager. All signals are blocked meanwhile: one that arrives now is for the
/// worker's handlers.
pub(super) fn become_worker(
    kit: ChildKit,
    settings: &Settings,
    fork_template: ForkTemplate,
) -> Result<()> {
    let mut mask = kit.dispositions.mask();
    let linked = link(kit, settings, fork_template);
    // Otherwise a host that blocks the wake-up signal could not be notified.
    mask.remove(Signal::SIGURG);
    Signals::release(&mask);
    linked?;
    if settings.forked_by == ForkedBy::Manager {
        // What it starts, threads and programs, inherits the mask.
        fork_hooks::after();
    }
    Ok(())
}

fn link(kit: ChildKit, settings: &Settings, fork_template: ForkTemplate) -> Result<()> {
    let ChildKit {
        newborn,
        manager,
        region,
        dispositions,
        wake,
        life,
        handover,
        identity,
        descriptors: _,
    } = kit;
    dispositions.restore_for_worker();
    if settings.process_group {
        child::lead_group();
    }
    let start_stderr = redirect_stderr(newborn.stderr, identity.as_ref());
    wakeup::reset();
    wakeup::install_wake_handler()?;
    if settings.signal_handlers == SignalHandlers::Manager {
        wakeup::install_retiring()?;
    }
    if let Some(identity) = &identity {
        // A host that continues nevertheless would serve as root.
        identity
            .assume()
            .inspect_err(|_| worker::forbid_to_serve())?;
    }
    // A change of credentials cancels this signal, so it comes after. Before the first Accept a wake-up
    // has no effect: a worker that hangs in its start would stay for ever, and has accepted nothing.
    // Without a start_timeout there may never be an Accept, so it may handle the signal.
    child::signal_on_parent_death(match settings.pool.start_timeout {
        Some(_) => Signal::SIGKILL,
        None => Signal::SIGTERM,
    });
    if process::parent_pid() != manager {
        // The manager died before the kernel knew that it should send the signal.
        wakeup::request_retirement();
    }
    let page = region.into_page(newborn.slot)?;
    if let Some(identity) = identity {
        identity
            .allow_core_files()
            .inspect_err(|_| worker::forbid_to_serve())?;
    }
    let orders = newborn
        .orders
        .map(|orders| Orders::new(orders, fork_template));
    let link_to_manager = ManagerLink::new(page, manager, wake, life, handover)
        .with_orders(orders)
        .with_start_stderr(start_stderr);
    if let Some(copies) = newborn.copies {
        sent_copy::begin(page, copies);
    }
    worker::install(link_to_manager).map_err(|_| {
        Error::new(
            Code::State,
            "a worker of one manager cannot be a manager of workers",
        )
    })?;
    if let Some(title) = settings.worker_title() {
        title::set(&title);
    }
    service::VARIABLES.into_iter().for_each(environment::remove);
    Ok(())
}
