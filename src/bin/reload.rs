//! `fcgipm reload`: reloads a pool, and waits until that is over.

use std::time::Duration;

use clap::Args;
use fcgipm::manager::count;
use fcgipm::worker::{Activity, End, Reload, ReloadEnd, Stage, now};
use nix::sys::signal::Signal;

use crate::args::values;
use crate::console;
use crate::managers::find;
use crate::managers::group::{Group, Member};
use crate::managers::watch::{Deadline, Progress, until_over};

/// Reload a pool and wait until new workers serve
///
/// Sends HUP to the manager and waits for the reload that it begins after that: one that is already
/// running does not count. Ends when every new worker is ready and every old one has exited or only
/// finishes a request that it had accepted. If the reload fails, prints the reason with the last lines
/// of standard error of the worker that failed; the old workers continue.
#[derive(Args, Debug)]
#[command(after_help = "\
For `fcgipm run` with several pools, the pid of its first process reloads all pools, with a line for
each.

As ExecReload=fcgipm reload $MAINPID it makes `systemctl reload` wait, and fail if the reload fails.

Exit status:
  0  every new worker is ready
  1  the reload failed or timed out, the pool is stopping, no such manager, or permission denied
  2  usage error")]
pub(crate) struct Options {
    /// The manager: its pid file, its pid, or its listen address: HOST:PORT, [IPV6]:PORT, :PORT,
    /// /PATH, unix:/PATH or @NAME (abstract)
    #[arg(value_name = "PIDFILE|ADDRESS|PID")]
    target: String,

    /// Start the program again as well, with what its first process had loaded (USR2)
    #[arg(long)]
    program: bool,

    /// Maximum time to wait; the reload itself continues after that
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = values::seconds)]
    timeout: Duration,
}

/// The reload of one pool.
struct Waiting<'g> {
    member: &'g Member,
    /// The signal was sent after this time.
    sent_at: Duration,
    /// The number of the request that the signal made, or of a later one.
    request: Option<u64>,
}

/// Reloads; returns the exit status.
pub(crate) fn run(options: &Options) -> u8 {
    let signal = if options.program {
        Signal::SIGUSR2
    } else {
        Signal::SIGHUP
    };
    let deadline = Deadline::after(options.timeout);
    // Before the signal: a reload that the manager begins later includes what was deployed by now.
    let sent_at = now();
    let begun = Group::of(&options.target).and_then(|group| {
        group.signal(signal)?;
        Ok(group)
    });
    let group = match begun {
        Ok(group) => group,
        Err(reason) => {
            console::error(&format!("fcgipm reload: {reason}"));
            return 1;
        }
    };
    let begin = |member| Waiting {
        member,
        sent_at,
        request: None,
    };
    until_over("reload", &group, deadline, begin, Waiting::check)
}

impl Waiting<'_> {
    fn check(&mut self) -> Progress {
        let pool = self.member.found.view.pool();
        if pool.end == End::Stopping {
            return Progress::Over(Err("the pool is stopping".to_owned()));
        }
        // The numbers of requests alone would not show whether this one is of another process whose
        // reload began before the signal was sent.
        if self.request.is_none() && pool.reload_received_at >= self.sent_at {
            self.request = Some(pool.reloads_received);
        }
        let Some(request) = self.request else {
            return Progress::Waits("the manager has not noticed the signal".to_owned());
        };
        let covers = |end: &&ReloadEnd| end.through >= request;
        let Some(end) = pool
            .reload_ends
            .iter()
            .filter(covers)
            .min_by_key(|end| end.through)
        else {
            let starting = count(pool.figures.starting, "starting worker");
            return Progress::Waits(format!("the reload continues, with {starting}"));
        };
        if end.has_failed {
            let reason = match pool.reload {
                Reload::Failed => pool.reload_message,
                Reload::None | Reload::Running | Reload::Done => {
                    "the reload failed, and another one has begun since: the log has the reason"
                        .to_owned()
                }
            };
            return Progress::Over(Err(reason));
        }
        self.old_workers(end.generation)
    }

    /// Whether an old worker may still accept a request.
    fn old_workers(&self, generation: u64) -> Progress {
        // The regions of workers that were forked meanwhile are not mapped yet.
        let Ok(found) = find::again(self.member.process.pid()) else {
            return Progress::Waits("old workers have not exited yet".to_owned());
        };
        let (mut finishing, mut accepting) = (0, 0);
        for slot in 0..found.view.pool().slots_used {
            let Some(status) = found.view.slot(slot) else {
                break;
            };
            if status.generation >= generation {
                continue;
            }
            match status.stage {
                Stage::Empty | Stage::Killed => {}
                Stage::Starting | Stage::Ready => accepting += 1,
                Stage::Retiring => {
                    match found.view.snapshot(slot).map(|snapshot| snapshot.activity) {
                        Some(Activity::Reading | Activity::Busy) => finishing += 1,
                        Some(Activity::Exiting) => {}
                        // It has not noticed yet that it is to exit, or reports nothing.
                        Some(Activity::Starting | Activity::Idle | Activity::Finished) | None => {
                            accepting += 1;
                        }
                    }
                }
            }
        }
        if accepting > 0 {
            let old = count(accepting, "old worker");
            return Progress::Waits(format!("{old} may still accept requests"));
        }
        Progress::Over(Ok(match finishing {
            0 => "reloaded".to_owned(),
            1 => "reloaded; 1 old worker finishes its request".to_owned(),
            more => format!("reloaded; {more} old workers finish their requests"),
        }))
    }
}
