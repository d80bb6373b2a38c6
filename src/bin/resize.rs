//! `fcgipm resize`: another number of workers.

use std::cmp::Ordering;
use std::time::Duration;

use clap::Args;
use fcgipm::worker::{End, now};
use nix::sys::signal::Signal;

use crate::args::values;
use crate::console;
use crate::managers::group::{Group, Member};
use crate::managers::watch::Deadline;

/// Change the number of workers of a pool until its manager restarts
///
/// Sends TTIN or TTOU to the manager, as often as needed, and waits: for N workers that are ready, or
/// with pm=dynamic and pm=ondemand for the new maximum.
#[derive(Args, Debug)]
#[command(after_help = "\
Exit status:
  0  the pool has this size
  1  the manager refused it, timed out, no such manager, or permission denied
  2  usage error")]
pub(crate) struct Options {
    /// The manager: its pid file, its pid, or its listen address: HOST:PORT, [IPV6]:PORT, :PORT,
    /// /PATH, unix:/PATH or @NAME (abstract)
    #[arg(value_name = "PIDFILE|ADDRESS|PID")]
    target: String,

    /// Number of workers; with pm=dynamic and pm=ondemand, their maximum
    #[arg(value_name = "N", value_parser = clap::value_parser!(u64).range(1..=fcgipm::options::MAX_PROCESSES))]
    workers: u64,

    /// Maximum time to wait; workers continue to start or exit after that
    #[arg(long, value_name = "TIME", default_value = "90", value_parser = values::seconds)]
    timeout: Duration,
}

/// Resizes; returns the exit status.
pub(crate) fn run(options: &Options) -> u8 {
    let deadline = Deadline::after(options.timeout);
    let resized = Group::of(&options.target).and_then(|group| {
        resize(&group, options.workers, &deadline)?;
        wait_for_workers(group.single()?, options.workers, &deadline)
    });
    match resized {
        Ok(line) => {
            console::print(&line);
            0
        }
        Err(reason) => {
            console::error(&format!("fcgipm resize: {reason}"));
            1
        }
    }
}

/// Sends one signal after the other: the kernel merges those that are pending.
fn resize(group: &Group, wanted: u64, deadline: &Deadline) -> Result<(), String> {
    let member = group.single()?;
    loop {
        let size = member.found.view.pool().figures.most;
        let signal = match size.cmp(&wanted) {
            Ordering::Less => Signal::SIGTTIN,
            Ordering::Greater => Signal::SIGTTOU,
            Ordering::Equal => return Ok(()),
        };
        let sent_at = now();
        group.signal(signal)?;
        loop {
            let has_ended = member.process.ends_within(Duration::from_millis(1));
            let pool = member.found.view.pool();
            if pool.resized_at >= sent_at {
                if pool.figures.most == size {
                    return Err(format!(
                        "the manager stays at {size} workers: its log has the reason"
                    ));
                }
                break;
            }
            refuse_end(member, has_ended)?;
            if deadline.is_over() {
                return Err(format!(
                    "timed out after {}: the manager has not noticed the signal, the size is {size}",
                    deadline.shown()
                ));
            }
        }
    }
}

fn wait_for_workers(member: &Member, wanted: u64, deadline: &Deadline) -> Result<String, String> {
    loop {
        let has_ended = deadline.sees_end(member);
        let pool = member.found.view.pool();
        if pool.pm != "static" {
            return Ok(format!("resized to at most {wanted} workers"));
        }
        if pool.figures.ready == wanted {
            return Ok(format!("resized to {wanted} workers"));
        }
        refuse_end(member, has_ended)?;
        if deadline.is_over() {
            return Err(format!(
                "timed out after {}: {} of {wanted} workers are ready",
                deadline.shown(),
                pool.figures.ready
            ));
        }
    }
}

fn refuse_end(member: &Member, has_ended: bool) -> Result<(), String> {
    match (has_ended, member.found.view.pool().end == End::Stopping) {
        (true, _) => Err(format!(
            "the manager (pid {}) has ended",
            member.process.pid()
        )),
        (false, true) => Err("the pool is stopping".to_owned()),
        (false, false) => Ok(()),
    }
}
