//! From a copy of the manager to a worker, or to the program that it executes.

mod exec;
mod kit;
mod worker;

pub(super) use kit::{ChildKit, Dispositions, Region};

use crate::error::Result;
use crate::manager::settings::Settings;
use crate::worker::ForkTemplate;

/// In the child: becomes a worker, which calls this function if it is asked to fork a template, or
/// executes the program and does not return.
///
/// # Errors
/// It could not assume its identity, or it is a worker already.
pub(super) fn start(
    mut kit: ChildKit,
    settings: &Settings,
    fork_template: ForkTemplate,
) -> Result<()> {
    kit.await_manager();
    match &settings.program {
        Some(program) => exec::become_program(kit, program, settings),
        None => worker::become_worker(kit, settings, fork_template),
    }
}
