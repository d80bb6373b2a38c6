//! Several pools: a manager for each, and a parent process that forwards signals.
//!
//! Each manager is a process with one thread and one pool, so that a failure in one pool does not
//! affect the others. The parent makes no decisions: it kills and restarts nothing, logs what
//! happens, and exits when the last manager has exited. If it dies, the kernel sends TERM to each
//! manager.

use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, Command};

use fcgipm::manager;
use fcgipm::server::listen;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{Pid, getppid};

use super::pool::Pool;
use super::relay::Relay;
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
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    let signals = match SignalFd::with_flags(&awaited, flags) {
        Ok(signals) => signals,
        Err(errno) => {
            console::error(&format!("fcgipm run: signalfd: {}", errno.desc()));
            return 1;
        }
    };
    // Each manager gets all sockets of the service manager, and closes those of the others.
    let mut relay = Relay::connect();
    listen::pass_on();
    let mut failed = false;
    let mut members = Vec::new();
    for pool in pools {
        let name = pool.name.as_deref().unwrap_or_default();
        match start(file, name, &mut relay) {
            Ok(child) => members.push(Member { name, child }),
            Err(error) => {
                failed = true;
                relay.remove(name);
                console::error(&format!("fcgipm run: pool '{name}': not started: {error}"));
            }
        }
    }
    let mut stopping = false;
    let adopts = manager::is_reaper();
    while !members.is_empty() {
        match next_signal(&signals, &mut relay) {
            Ok(None) => {}
            Ok(Some(Signal::SIGCHLD)) => loop {
                members.retain_mut(|member| match member.child.try_wait() {
                Ok(None) => true,
                Ok(Some(status)) => {
                    relay.remove(member.name);
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
                    relay.remove(member.name);
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
            Ok(Some(signal)) => {
                if [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT].contains(&signal) {
                    stopping = true;
                    relay.stop();
                } else if signal == Signal::SIGHUP {
                    relay.reload();
                }
                members.iter().for_each(|member| forward(signal, member));
            }
            Err(errno) => {
                // The kernel sends TERM to the managers when this process dies.
                console::error(&format!(
                    "fcgipm run: waiting for signals: {}",
                    errno.desc()
                ));
                return 1;
            }
        }
    }
    u8::from(failed)
}

/// Waits for a signal, or a message of a manager. `None`: there was no signal.
fn next_signal(signals: &SignalFd, relay: &mut Relay) -> nix::Result<Option<Signal>> {
    let sources = std::iter::once(signals.as_fd()).chain(relay.sources());
    let mut polled: Vec<_> = sources
        .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
        .collect();
    let limit = relay.limit().map(PollTimeout::try_from);
    match poll(
        &mut polled,
        limit.and_then(Result::ok).unwrap_or(PollTimeout::NONE),
    ) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno),
    }
    relay.receive();
    let Some(info) = signals.read_signal()? else {
        return Ok(None);
    };
    let number = i32::try_from(info.ssi_signo).unwrap_or_default();
    Ok(Signal::try_from(number).ok())
}

/// Starts this command again, for one pool.
fn start(file: &Path, name: &str, relay: &mut Relay) -> std::io::Result<Child> {
    let mut manager = Command::new(std::env::current_exe()?);
    manager.args(["run", "--config"]).arg(file).args([
        "--pool",
        name,
        "--under",
        &std::process::id().to_string(),
    ]);
    // It is closed here when the manager has it.
    let _reporter = relay.add(name, &mut manager);
    manager.spawn()
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
