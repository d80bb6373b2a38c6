//! A worker that executes another program.

use std::ffi::CString;

use nix::sys::signal::Signal;

use super::kit::{ChildKit, redirect_stderr};
use crate::error::{Error, Result};
use crate::manager::children::ExecFailure;
use crate::manager::command::{NOT_EXECUTED, Program};
use crate::manager::settings::Settings;
use crate::options::WORKER_VARIABLE;
use crate::sys::log::stderr::Redirected;
use crate::sys::process::{self, child, exec, executable};
use crate::sys::signal::handlers::{self, Signals};
use crate::worker::ExecEnv;

/// In a new worker, in which all signals are blocked: executes the program, or exits. The manager reads
/// from a pipe why it could not; if it could, the pipe is closed.
pub(super) fn become_program(mut kit: ChildKit, program: &Program, settings: &Settings) -> ! {
    let pipe = kit.newborn.exec_status.take();
    let error = execute(kit, program, settings);
    if let Some(pipe) = &pipe {
        // The pipe is empty, so this does not block. No other process than the manager reads it.
        let _ = nix::unistd::write(pipe, &ExecFailure::encode(&error));
    }
    // Not a return into the host, which would continue as a second manager.
    exec::exit_now(Program::exit_status(&error).unwrap_or(NOT_EXECUTED).into())
}

fn execute(kit: ChildKit, program: &Program, settings: &Settings) -> Error {
    let manager = kit.manager;
    let mut mask = kit.dispositions.mask();
    // Otherwise a program that blocks the wake-up signal could not be notified.
    mask.remove(Signal::SIGURG);
    match prepare(kit, program, settings) {
        Ok(prepared) => {
            if process::parent_pid() != manager {
                // It died before the kernel knew that it should send a signal.
                exec::exit_now(0);
            }
            // The manager's handlers are removed. A signal that has arrived meanwhile has the same effect
            // as on the program a moment later.
            Signals::release(&mask);
            let errno = exec::execute(program.arguments(), &prepared.environment);
            drop(prepared);
            executable::explain(program.name(), errno)
        }
        Err(error) => error,
    }
}

/// What a program is executed with.
struct Prepared {
    environment: Vec<CString>,
    /// Their descriptors must stay open until then.
    _open: (ChildKit, Option<Redirected>),
}

/// Everything before the program is executed.
fn prepare(mut kit: ChildKit, program: &Program, settings: &Settings) -> Result<Prepared> {
    kit.dispositions.restore_for_program(settings.stop_signal);
    if let Some(descriptors) = &kit.descriptors {
        descriptors.restore_limit();
    }
    if settings.process_group {
        child::lead_group();
    }
    let stderr = redirect_stderr(kit.newborn.stderr.take(), kit.identity.as_ref());
    if let Some(identity) = &kit.identity {
        identity.assume()?;
    }
    // Until the program reports something, only a signal reaches it. A change of credentials cancels
    // this one, so it comes after.
    child::signal_on_parent_death(handlers::known(settings.stop_signal)?);
    exec::make_standard_input(program.listener())
        .map_err(|errno| Error::system("listening socket: dup2", errno as i32))?;
    // A program that reports nothing keeps the pipe as its standard error. The manager, which reads it,
    // may die: then the program itself must hold the other end.
    if let Some([_, caught]) = stderr.as_ref().map(Redirected::descriptors) {
        let _ = exec::keep_across_exec(caught);
    }
    // Without a region it is a program that reports nothing.
    let variable = match kit.region.file(kit.newborn.slot) {
        Some(page) => {
            let exec_env = ExecEnv::keep(
                kit.manager,
                page,
                &kit.wake,
                &kit.life,
                (&kit.handover.0, &kit.handover.1),
                kit.newborn.copies.as_ref(),
                stderr.as_ref(),
            )?;
            Some(format!("{WORKER_VARIABLE}={}", exec_env.text()))
        }
        None => None,
    };
    Ok(Prepared {
        environment: program.environment_with(variable.as_deref())?,
        _open: (kit, stderr),
    })
}
