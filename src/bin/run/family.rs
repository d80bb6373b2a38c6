//! Several pools: a manager for each, and above them a process that passes signals on.
//!
//! A manager is one thread with one pool of workers, and stays so: what one pool's workers do, or what
//! becomes of its manager, does not reach the others. This process decides nothing. It kills nobody and
//! starts nobody again; it tells what happened, and ends when the last manager has ended. If it dies
//! itself, the kernel sends each manager a TERM.

use std::path::Path;
use std::process::{Child, Command};

use fcgipm::manager;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, getppid};

use super::pool::Pool;
use crate::console;

/// What a manager acts upon.
const PASSED_ON: [Signal; 8] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGHUP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];

/// A pool's manager.
struct Member<'p> {
    name: &'p str,
    child: Child,
}

/// What is waited for: nothing else interrupts.
fn awaited() -> SigSet {
    PASSED_ON.into_iter().chain([Signal::SIGCHLD]).collect()
}

/// Runs all pools to their end; returns the exit status.
pub(super) fn run(file: &Path, pools: &[Pool]) -> u8 {
    let awaited = awaited();
    // Before anybody is started: a signal that comes now is passed on to all of them.
    if let Err(errno) = awaited.thread_block() {
        console::error(&format!("fcgipm run: sigprocmask: {}", errno.desc()));
        return 1;
    }
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
                            "fcgipm run: pool '{name}': its manager (pid {pid}) has ended ({status}), and is not started again"
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
                // What the programs left behind comes to this process where it is PID 1. A manager that ended
                // meanwhile is waited for first.
                if !adopts || manager::reap_adopted(is_known) {
                    break;
                }
            },
            Ok(signal) => {
                stopping |= [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT].contains(&signal);
                members.iter().for_each(|member| pass_on(signal, member));
            }
            Err(Errno::EINTR) => {}
            Err(errno) => {
                // The managers get a TERM by the death of this process.
                console::error(&format!("fcgipm run: sigwait: {}", errno.desc()));
                return 1;
            }
        }
    }
    u8::from(failed)
}

/// This command once more, for one pool.
fn start(file: &Path, name: &str) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?)
        .args(["run", "--config"])
        .arg(file)
        .args(["--pool", name, "--under", &std::process::id().to_string()])
        .spawn()
}

fn pass_on(signal: Signal, member: &Member<'_>) {
    // It was not reaped, so the number is its own.
    let sent = i32::try_from(member.child.id())
        .map_err(|_| Errno::ESRCH)
        .and_then(|pid| kill(Pid::from_raw(pid), signal));
    match sent {
        // It has ended, which will be told.
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => console::error(&format!(
            "fcgipm run: pool '{}': {signal}: {}",
            member.name,
            errno.desc()
        )),
    }
}

/// In a pool's manager: its signals are its own, and the death of the process above ends the pool.
pub(super) fn join(parent: i32) {
    // It fails for no valid signal.
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGTERM);
    if getppid().as_raw() != parent {
        // It died before the kernel knew whom to tell. Nobody was served yet.
        std::process::exit(1);
    }
    // exec(2) kept the mask.
    let _ = awaited().thread_unblock();
}
