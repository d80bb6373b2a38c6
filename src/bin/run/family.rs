//! Several pools: a manager for each, and a parent process that forwards signals.
//!
//! Each manager is a process with one thread and one pool, so that a failure in one pool does not
//! affect the others. The parent starts and stops managers as the file says, and starts one again that
//! was killed. It logs what happens, and exits when the last manager has exited. If it dies, the kernel
//! sends TERM to each manager.
//!
//! A reload reads the file again: pools that are new are started, pools that are missing are stopped, a
//! pool with other settings starts its program again (USR2), which applies them, and all others get the
//! signal.

use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use fcgipm::manager;
use fcgipm::server::listen;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::getppid;

use super::member::Member;
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

/// How long a manager that was killed is left alone before it is started again.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// A manager that is started again.
struct Again {
    name: String,
    at: Instant,
    pause: Duration,
}

/// All pools of a file.
struct Family<'f> {
    file: &'f Path,
    pools: Vec<Pool>,
    members: Vec<Member>,
    again: Vec<Again>,
    relay: Relay,
    is_stopping: bool,
    has_failed: bool,
}

/// The signals that the parent waits for.
fn awaited() -> SigSet {
    FORWARDED.into_iter().chain([Signal::SIGCHLD]).collect()
}

/// Runs all pools until they have stopped; returns the exit status.
pub(super) fn run(file: &Path, pools: Vec<Pool>) -> u8 {
    let awaited = awaited();
    // Before any manager is started, so that a signal that arrives now is forwarded to all.
    if let Err(errno) = awaited.thread_block() {
        report(&format!("sigprocmask: {}", errno.desc()));
        return 1;
    }
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    let signals = match SignalFd::with_flags(&awaited, flags) {
        Ok(signals) => signals,
        Err(errno) => {
            report(&format!("signalfd: {}", errno.desc()));
            return 1;
        }
    };
    // Each manager gets all sockets of the service manager, and closes those of the others.
    let relay = Relay::connect();
    listen::pass_on();
    let mut family = Family {
        file,
        pools,
        members: Vec::new(),
        again: Vec::new(),
        relay,
        is_stopping: false,
        has_failed: false,
    };
    family.start_missing();
    while !family.members.is_empty() || !family.again.is_empty() {
        match next_signal(&signals, &mut family) {
            Ok(None) => {}
            Ok(Some(Signal::SIGCHLD)) => family.reap(),
            Ok(Some(signal @ (Signal::SIGTERM | Signal::SIGINT | Signal::SIGQUIT))) => {
                family.stop(signal);
            }
            Ok(Some(signal @ (Signal::SIGHUP | Signal::SIGUSR2))) => family.reload(signal),
            Ok(Some(signal)) => family.members.iter().for_each(|one| one.signal(signal)),
            Err(errno) => {
                // The kernel sends TERM to the managers when this process dies.
                report(&format!("waiting for signals: {}", errno.desc()));
                return 1;
            }
        }
        family.kill_hung();
        family.start_again();
    }
    u8::from(family.has_failed)
}

impl Family<'_> {
    /// Starts the manager of a pool; `pause`: again, after one that was killed.
    fn start(&mut self, name: &str, pause: Option<Duration>) {
        let pool = self.pools.iter().find(|one| one.is_named(name));
        let address = pool.map_or_else(String::new, Pool::address);
        match Member::start(self.file, name, &address, pause, &mut self.relay) {
            Ok(member) => self.members.push(member),
            Err(error) => {
                self.relay.remove(name);
                report(&format!("pool '{name}': not started: {error}"));
                match pause {
                    Some(pause) => self.wait(name.to_owned(), longer(pause)),
                    None => {
                        self.has_failed = true;
                        self.give_up(name);
                    }
                }
            }
        }
    }

    fn wait(&mut self, name: String, pause: Duration) {
        let at = Instant::now() + pause;
        self.again.push(Again { name, at, pause });
    }

    fn start_again(&mut self) {
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut self.again)
            .into_iter()
            .partition::<Vec<_>, _>(|one| one.at <= now);
        self.again = later;
        for one in due {
            self.start(&one.name, Some(one.pause));
        }
    }

    /// Reaped as every manager that was killed, and then started again.
    fn kill_hung(&mut self) {
        for name in self.relay.take_hung() {
            for member in self.members.iter().filter(|one| one.name == name) {
                let pid = member.child.id();
                report(&format!(
                    "pool '{name}': its manager (pid {pid}) hangs: it sends nothing for the watchdog, and is killed"
                ));
                member.signal(Signal::SIGKILL);
            }
        }
    }

    /// When a manager is to be started again.
    fn next_start(&self) -> Option<Duration> {
        let next = self.again.iter().map(|one| one.at).min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    /// Reaps managers that have exited, and orphans if this process has to.
    fn reap(&mut self) {
        let adopts = manager::is_reaper();
        loop {
            let mut ended = Vec::new();
            for (position, member) in self.members.iter_mut().enumerate() {
                match member.child.try_wait() {
                    Ok(None) => {}
                    Ok(Some(status)) => ended.push((position, Some(status))),
                    Err(error) => {
                        report(&format!("pool '{}': wait: {error}", member.name));
                        ended.push((position, None));
                    }
                }
            }
            for (position, status) in ended.into_iter().rev() {
                let member = self.members.remove(position);
                self.bury(member, status);
            }
            let members = &self.members;
            let is_known = |pid| {
                members
                    .iter()
                    .any(|one| i32::try_from(one.child.id()) == Ok(pid))
            };
            // As PID 1, this process inherits orphans of the programs. A manager that has exited
            // meanwhile is reaped first.
            if !adopts || manager::reap_adopted(is_known) {
                return;
            }
        }
    }

    fn bury(&mut self, member: Member, status: Option<ExitStatus>) {
        let is_removed = member.is_stopping && !self.is_stopping;
        let name = member.name.clone();
        self.relay.remove(&name);
        match status {
            Some(status) if self.is_started_again(&member, status) => return,
            Some(_) => {}
            None => self.has_failed = true,
        }
        self.give_up(&name);
        // It has come back meanwhile.
        if is_removed && self.pools.iter().any(|one| one.is_named(&name)) {
            self.start(&name, None);
        }
    }

    /// A manager has exited. Returns whether it is started again.
    fn is_started_again(&mut self, member: &Member, status: ExitStatus) -> bool {
        let name = &member.name;
        let pid = member.child.id();
        // One that cannot start has a mistake in its settings. One that could, and was killed, is
        // started again until it can start: its last workers may still hold the socket.
        let again = !member.is_stopping
            && (status.signal().is_some() || member.pause.is_some() && !status.success());
        if again {
            let pause = member.pause.map_or(PAUSE, longer);
            report(&format!(
                "pool '{name}': its manager (pid {pid}) exited ({status}), and is restarted in {pause:?}"
            ));
            self.wait(name.clone(), pause);
            return true;
        }
        self.has_failed |= !status.success();
        if !status.success() || !member.is_stopping {
            report(&format!(
                "pool '{name}': its manager (pid {pid}) exited ({status}) and is not restarted"
            ));
        }
        false
    }

    /// A pool has ended for good. If it was the last one, the service ends, and the next start gets
    /// its socket.
    fn give_up(&mut self, name: &str) {
        if !self.members.is_empty() || !self.again.is_empty() {
            self.relay.give_up(name);
        }
    }

    fn stop(&mut self, signal: Signal) {
        self.is_stopping = true;
        self.relay.stop();
        self.again.clear();
        for member in &mut self.members {
            member.is_stopping = true;
            member.signal(signal);
        }
    }

    /// Reads the file again. If it has mistakes, all pools keep their settings.
    fn reload(&mut self, signal: Signal) {
        if self.is_stopping {
            self.members.iter().for_each(|one| one.signal(signal));
            return;
        }
        self.relay.reload();
        let pools = match super::config::read(self.file).and_then(check) {
            Ok(pools) => pools,
            Err(mistakes) => {
                for mistake in mistakes {
                    report(&mistake);
                }
                report("the file has mistakes: the pools continue with their settings");
                self.members.iter().for_each(|one| one.signal(signal));
                return;
            }
        };
        let before = std::mem::replace(&mut self.pools, pools);
        let find = |pools: &[Pool], name: &str| pools.iter().position(|one| one.is_named(name));
        let (again, removed) = std::mem::take(&mut self.again)
            .into_iter()
            .partition(|one| find(&self.pools, &one.name).is_some());
        self.again = again;
        removed
            .iter()
            .for_each(|one: &Again| self.relay.give_up(&one.name));
        for member in &mut self.members {
            match find(&self.pools, &member.name) {
                None => {
                    report(&format!("pool '{}': removed from the file", member.name));
                    member.is_stopping = true;
                    // Its workers answer what waits in the queue.
                    self.relay.give_up(&member.name);
                    member.signal(Signal::SIGTERM);
                }
                // It is started when this one has exited.
                Some(_) if member.is_stopping => {}
                Some(now) => {
                    let old = find(&before, &member.name).map(|old| &before[old]);
                    member.is_renewed |= old != Some(&self.pools[now]);
                    let renewed = member.is_renewed.then_some(Signal::SIGUSR2);
                    member.signal(renewed.unwrap_or(signal));
                }
            }
        }
        self.start_missing();
    }

    /// Starts the pools of the file that have no manager.
    fn start_missing(&mut self) {
        let pools = self.pools.iter();
        let names: Vec<_> = pools.map(|one| one.label().to_owned()).collect();
        for name in names {
            let is_there = self.members.iter().any(|one| one.name == name)
                || self.again.iter().any(|one| one.name == name);
            if !is_there {
                self.start(&name, None);
            }
        }
    }
}

/// All mistakes in these pools.
fn check(pools: Vec<Pool>) -> Result<Vec<Pool>, Vec<String>> {
    let mistakes = super::check::mistakes(&pools);
    if mistakes.is_empty() {
        Ok(pools)
    } else {
        Err(mistakes)
    }
}

fn longer(pause: Duration) -> Duration {
    (pause * 2).min(PAUSE_MAX)
}

fn report(text: &str) {
    console::error(&format!("fcgipm run: {text}"));
}

/// Waits for a signal, or a message of a manager. `None`: there was no signal.
fn next_signal(signals: &SignalFd, family: &mut Family<'_>) -> nix::Result<Option<Signal>> {
    let sources = std::iter::once(signals.as_fd()).chain(family.relay.sources());
    let mut polled: Vec<_> = sources
        .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
        .collect();
    let limits = [family.relay.limit(), family.next_start()];
    let limit = limits
        .into_iter()
        .flatten()
        .min()
        .map(PollTimeout::try_from);
    match poll(
        &mut polled,
        limit.and_then(Result::ok).unwrap_or(PollTimeout::NONE),
    ) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => return Err(errno),
    }
    family.relay.receive();
    let Some(info) = signals.read_signal()? else {
        return Ok(None);
    };
    let number = i32::try_from(info.ssi_signo).unwrap_or_default();
    Ok(Signal::try_from(number).ok())
}

/// In the manager of a pool: unblocks its signals, and makes the death of the parent stop the pool.
pub(super) fn join(parent: i32, sockets: Vec<i32>) {
    // It fails only for an invalid signal.
    let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGTERM);
    if getppid().as_raw() != parent {
        // The parent died before prctl(2). Nothing was served yet.
        std::process::exit(1);
    }
    listen::inherit_from(parent, sockets);
    // The signal mask survived exec(2).
    let _ = awaited().thread_unblock();
}
