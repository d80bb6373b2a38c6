//! `fcgipm stop`: stops a pool, and waits until its manager has ended.

use std::time::Duration;

use clap::Args;
use fcgipm::manager::count;
use nix::sys::signal::Signal;

use crate::args::values;
use crate::console;
use crate::managers::group::Group;
use crate::managers::watch::Deadline;

/// Stop a pool gracefully and wait until its manager has ended
///
/// Sends TERM to the manager. Accepted requests, and those in the listen queue, are answered.
#[derive(Args, Debug)]
#[command(after_help = "\
For `fcgipm run` with several pools, the pid of its first process stops all of them. A service manager
that restarts services may start the pool again: use its own command for a service.

Exit status:
  0  the manager has ended
  1  timed out, no such manager, or permission denied
  2  usage error")]
pub(crate) struct Options {
    /// The manager: its pid file, its pid, or its listen address: HOST:PORT, [IPV6]:PORT, :PORT,
    /// /PATH, unix:/PATH or @NAME (abstract)
    #[arg(value_name = "PIDFILE|ADDRESS|PID")]
    target: String,

    /// Maximum time to wait; the pool continues to stop after that
    #[arg(long, value_name = "TIME", default_value = "90", value_parser = values::seconds)]
    timeout: Duration,
}

/// Stops; returns the exit status.
pub(crate) fn run(options: &Options) -> u8 {
    match stopped(options) {
        Ok(()) => 0,
        Err(reason) => {
            console::error(&format!("fcgipm stop: {reason}"));
            1
        }
    }
}

fn stopped(options: &Options) -> Result<(), String> {
    let deadline = Deadline::after(options.timeout);
    let group = Group::of(&options.target)?;
    group.signal(Signal::SIGTERM)?;
    if group.leader.ends_within(deadline.left()) {
        console::print("stopped");
        return Ok(());
    }
    let pools = group.members.iter().map(|member| member.found.view.pool());
    Err(format!(
        "timed out after {}: process {} still runs, with {}",
        deadline.shown(),
        group.leader.pid(),
        count(
            pools.map(|pool| pool.figures.processes).sum::<u64>(),
            "worker"
        )
    ))
}
