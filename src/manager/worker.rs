//! From a copy of the manager to a worker.

use nix::sys::signal::Signal;

use super::identity::Identity;
use super::program;
use super::shell::{Parts, Shell};
use super::start::Settings;
use crate::error::{Code, Error, Result};
use crate::server::supervision::{self, Supervision};
use crate::sys::fd::channel::Pipe;
use crate::sys::log::stderr::Redirected;
use crate::sys::process;
use crate::sys::process::{child, title};
use crate::sys::signal::kick;
use crate::sys::signal::signals::Signals;

/// Gives up what only the manager needs, and ties this process to it. All signals are held while it
/// runs: one that comes now is for the worker's handlers.
pub(super) fn become_worker(
    shell: Shell,
    slot: usize,
    manager: i32,
    settings: &Settings,
) -> Result<()> {
    if let Some(program) = &settings.program {
        program::become_program(shell, slot, program, settings)
    }
    let mut mask = shell.parts.signals.original_mask();
    let tied = tie(shell, slot, manager, settings);
    // A host that blocks the kick could not be told anything.
    mask.remove(Signal::SIGURG);
    Signals::release(&mask);
    tied
}

/// Has standard error go through the manager. Without a pipe, what it gets is only not passed on.
pub(super) fn catch_stderr(pipe: Option<Pipe>, identity: Option<&Identity>) -> Option<Redirected> {
    let redirected = Redirected::to(pipe?).ok()?;
    if let Some((user, group)) = identity.and_then(Identity::owner) {
        redirected.give_to(user, group);
    }
    Some(redirected)
}

fn tie(shell: Shell, slot: usize, manager: i32, settings: &Settings) -> Result<()> {
    let Shell {
        parts:
            Parts {
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
        leftovers,
        closing,
        guarding,
        start_stderr,
        ..
    } = shell;
    // The write end of the life pipe above all: while a worker held it, no other would see the end.
    drop((signal_pipe, wake.read, life.write));
    drop((workers, leftovers, closing, guarding, pid_file, listeners));
    signals.leave_to_worker();
    if settings.process_group {
        child::lead_group();
    }
    let start_stderr = catch_stderr(start_stderr, identity.as_ref());
    kick::reset();
    kick::install_kick()?;
    if settings.handles_signals {
        kick::install_retiring()?;
    }
    if let Some(identity) = &identity {
        // A host that goes on nevertheless would serve as root.
        identity
            .assume()
            .inspect_err(|_| supervision::forbid_to_serve())?;
    }
    // The kernel forgets this with a change of credentials, so it comes after. Until the first Accept nothing
    // would come of a kick: who hangs in its start would stay for ever, and has accepted nothing. Without a
    // limit of the start, nobody waits for an Accept, and there may be none.
    child::signal_on_parent_death(match settings.pool.start_timeout {
        Some(_) => Signal::SIGKILL,
        None => Signal::SIGTERM,
    });
    if process::parent_pid() != manager {
        // The manager died before the kernel knew that it should tell us.
        kick::request_retirement();
    }
    let page = scoreboard.keep_only(slot);
    if let Some(identity) = identity {
        identity
            .allow_core_files()
            .inspect_err(|_| supervision::forbid_to_serve())?;
    }
    let supervision = Supervision::new(page, manager, wake.write, life.read, handover)
        .with_start_stderr(start_stderr);
    supervision::install(supervision).map_err(|_| {
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
