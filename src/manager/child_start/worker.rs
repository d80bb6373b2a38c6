//! From a copy of the manager to a worker.

use nix::sys::signal::Signal;

use crate::error::{Code, Error, Result};
use crate::manager::child_start::identity::Identity;
use crate::manager::child_start::program;
use crate::manager::event_loop::{Channels, EventLoop};
use crate::manager::setup::Settings;
use crate::sys::fd::pipe::Pipe;
use crate::sys::log::stderr::Redirected;
use crate::sys::process;
use crate::sys::process::{child, title};
use crate::sys::signal::handlers::Signals;
use crate::sys::signal::wakeup;
use crate::worker;
use crate::worker::ManagerLink;

/// Gives up what only the manager needs, and ties this process to it. All signals are held while it
/// runs: one that comes now is for the worker's handlers.
pub(in crate::manager) fn become_worker(
    shell: EventLoop,
    slot: usize,
    manager: i32,
    settings: &Settings,
) -> Result<()> {
    if let Some(program) = &settings.program {
        program::become_program(shell, slot, program, settings)
    }
    let mut mask = shell.parts.signals.original_mask();
    let tied = tie(shell, slot, manager, settings);
    // A host that blocks the wake-up could not be told anything.
    mask.remove(Signal::SIGURG);
    Signals::release(&mask);
    tied
}

/// Has standard error go through the manager. Without a pipe, what it gets is only not passed on.
pub(in crate::manager) fn catch_stderr(
    pipe: Option<Pipe>,
    identity: Option<&Identity>,
) -> Option<Redirected> {
    let redirected = Redirected::to(pipe?).ok()?;
    if let Some((user, group)) = identity.and_then(Identity::owner) {
        redirected.give_to(user, group);
    }
    Some(redirected)
}

fn tie(shell: EventLoop, slot: usize, manager: i32, settings: &Settings) -> Result<()> {
    let EventLoop {
        parts:
            Channels {
                scoreboard,
                signals,
                signal_pipe,
                wake,
                life,
                handover,
                pid_file,
                listeners,
                identity,
                descriptors: _,
            },
        workers,
        detached,
        closing,
        guarding,
        start_stderr,
        ..
    } = shell;
    // The write end of the life pipe above all: while a worker held it, no other would see the end.
    drop((signal_pipe, wake.read, life.write));
    drop((workers, detached, closing, guarding, pid_file, listeners));
    signals.restore_for_worker();
    if settings.process_group {
        child::lead_group();
    }
    let start_stderr = catch_stderr(start_stderr, identity.as_ref());
    wakeup::reset();
    wakeup::install_wake_handler()?;
    if settings.handles_signals {
        wakeup::install_retiring()?;
    }
    if let Some(identity) = &identity {
        // A host that goes on nevertheless would serve as root.
        identity
            .assume()
            .inspect_err(|_| worker::forbid_to_serve())?;
    }
    // The kernel forgets this with a change of credentials, so it comes after. Until the first Accept nothing
    // would come of a wake-up: who hangs in its start would stay for ever, and has accepted nothing. Without a
    // limit of the start, nobody waits for an Accept, and there may be none.
    child::signal_on_parent_death(match settings.pool.start_timeout {
        Some(_) => Signal::SIGKILL,
        None => Signal::SIGTERM,
    });
    if process::parent_pid() != manager {
        // The manager died before the kernel knew that it should tell us.
        wakeup::request_retirement();
    }
    let page = scoreboard.keep_only(slot);
    if let Some(identity) = identity {
        identity
            .allow_core_files()
            .inspect_err(|_| worker::forbid_to_serve())?;
    }
    let link_to_manager = ManagerLink::new(page, manager, wake.write, life.read, handover)
        .with_start_stderr(start_stderr);
    worker::install(link_to_manager).map_err(|_| {
        Error::new(
            Code::State,
            "a worker of one manager cannot be a manager of workers",
        )
    })?;
    if let Some(title) = settings.title(true) {
        title::set(&title);
    }
    Ok(())
}
