//! Several pools: a manager for each, and a parent process that forwards signals.
//!
//! Each manager is a process with one thread and one pool, so that a failure in one pool does not
//! affect the others. The parent makes no decisions: it kills and restarts nothing, logs what
//! happens, and exits when the last manager has exited. If it dies, the kernel sends TERM to each
//! manager.

use std::path::Path;
use std::process::{Child, Command};

use fcgipm::manager;
use fcgipm::server::listen;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, getppid};

use super::pool::Pool;
use crate::console;

/// The signals that a manager handles.
const FORWARDED: [Signal; 8] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];

/// The manager of a pool.
struct Member<'p> {
    name: &'p str,
    child: Child,
}

/// The signals that the parent waits for.
fn awaited() -> SigSet {
    FORWARDED.into_iter().chain([Signal::SIGCHLD]).collect()
}

/// Runs all pools until they have stopped; returns the exit status.
pub(super) fn run(file: &Path, pools: &[Pool]) -> u8 {
    let awaited = awaited();
    // Before any manager is started, so that a signal that arrives now is forwarded to all.
    if let Err(errno) = awaited.thread_block() {
        console::error(&format!("fcgipm run: sigprocmask: {}", errno.desc()));
        return 1;
    }
    // Each manager gets all sockets of the service manager, and closes those of the others.
    listen::pass_on();
    let mut failed = false;
    let mut members = Vec::new();
    for pool in pools {
        let name = pool.name.as_deref().unwrap_or_default();
        match start(file, name) {
            Ok(child) => members.push(Member { name, child }),
            Err(error) => {
                failed = true;
                console::error(&format!("fcgipm run: pool '{name}': not started: {error}"));
            }
        }
    }
    let mut stopping = false;
    let adopts = manager::is_reaper();
    while !members.is_empty() {
        match awaited.wait() {
            Ok(Signal::SIGCHLD) => loop {
                members.retain_mut(|member| match member.child.try_wait() {
                Ok(None) => true,
                Ok(Some(status)) => {
                    failed |= !status.success();
                    if !status.success() || !stopping {
                        let (name, pid) = (member.name, member.child.id());
                        console::error(&format!(
                            "fcgipm run: pool '{name}': its manager (pid {pid}) exited ({status}) and is not restarted"
                        ));
                    }
                    false
                }
                Err(error) => {
                    failed = true;
                    console::error(&format!("fcgipm run: pool '{}': wait: {error}", member.name));
                    false
                }
            });
                let is_known = |pid| {
                    members
                        .iter()
                        .any(|member| i32::try_from(member.child.id()) == Ok(pid))
                };
                // As PID 1, this process inherits orphans of the programs. A manager that has
                // exited meanwhile is reaped first.
                if !adopts || manager::reap_adopted(is_known) {
                    break;
                }
            },
            Ok(signal) => {
                stopping |= [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT].contains(&signal);
                members.iter().for_each(|member| forward(signal, member));
            }
            Err(Errno::EINTR) => {}
            Err(errno) => {
                // The kernel sends TERM to the managers when this process dies.
                console::error(&format!("fcgipm run: sigwait: {}", errno.desc()));
                return 1;
            }
        }
    }
    u8::from(failed)
}

/// Starts this command again, for one pool.
fn start(file: &Path, name: &str) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["run", "--config"])
        .arg(file)
        .args(["--pool", name, "--under", &std::process::id().to_string()])
        .spawn()
}

fn forward(signal: Signal, member: &Member<'_>) {
    // It was not reaped, so the pid is not reused.
    let sent = i32::try_from(member.child.id())
        .map_err(|_| Errno::ESRCH)
        .and_then(|pid| kill(Pid::from_raw(pid), signal));
    match sent {
        // It has exited, which will be logged.
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => console::error(&format!(
            "fcgipm run: pool '{}': {signal}: {}",
            member.name,
            errno.desc()
        )),
    }
}

/// In the manager of a pool: unblocks its signals, and makes the death of the parent stop the pool.
pub(super) fn join(parent: i32) {
    // It fails only for an invalid signal.
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGTERM);
    if getppid().as_raw() != parent {
        // The parent died before prctl(2). Nothing was served yet.
        std::process::exit(1);
    }
    listen::inherit_from(parent);
    // The signal mask survived exec(2).
    let _ = awaited().thread_unblock();
}
