//! From a copy of the manager to a worker.

use super::shell::Shell;
use super::start::Settings;
use crate::error::{Code, Error, Result};
use crate::server::supervision::{self, Supervision};
use crate::sys::signals::Signals;
use crate::sys::{child, kick, process, title};

/// Gives up what only the manager needs, and ties this process to it. All signals are held while it
/// runs: one that comes now is for the worker's handlers.
pub(super) fn become_worker(
    shell: Shell,
    slot: usize,
    manager: i32,
    settings: &Settings,
) -> Result<()> {
    let mut mask = shell.signals.original_mask();
    let tied = tie(shell, slot, manager, settings);
    // A host that blocks the kick could not be told anything.
    mask.remove(nix::sys::signal::Signal::SIGURG);
    Signals::release(&mask);
    tied
}

fn tie(shell: Shell, slot: usize, manager: i32, settings: &Settings) -> Result<()> {
    let Shell {
        scoreboard,
        signals,
        signal_pipe,
        wake,
        life,
        handover,
        workers,
        pid_file,
        ..
    } = shell;
    // The write end of the life pipe above all: while a worker held it, no other would see the end.
    drop((signal_pipe, wake.read, life.write, workers, pid_file));
    signals.leave_to_worker();
    kick::reset();
    kick::install_kick()?;
    if settings.handles_signals {
        kick::install_retiring()?;
    }
    child::signal_on_parent_death(nix::sys::signal::Signal::SIGURG);
    if process::parent_pid() != manager {
        // The manager died before the kernel knew that it should tell us.
        kick::request_retirement();
    }
    let supervision = Supervision {
        page: scoreboard.keep_only(slot),
        manager,
        wake: wake.write,
        life: life.read,
        handover,
    };
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
