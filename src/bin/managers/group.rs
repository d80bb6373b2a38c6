//! What a target names: a manager, or the process above the managers of several pools.

use std::fs;

use fcgipm::manager::OtherProcess;
use nix::sys::signal::Signal;

use super::find::{self, Found};
use super::target::Target;

/// One manager.
#[derive(Debug)]
pub(crate) struct Member {
    /// The name of one pool among several.
    pub(crate) pool: Option<String>,
    pub(crate) process: OtherProcess,
    pub(crate) found: Found,
}

/// The managers that a target names, and the process that gets their signals.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) leader: OtherProcess,
    pub(crate) members: Vec<Member>,
}

impl Group {
    /// Finds what the argument of a command names.
    pub(crate) fn of(text: &str) -> Result<Self, String> {
        let target = Target::of(text)?;
        let failure = match find::manager(&target) {
            Ok(found) => {
                let process = OtherProcess::open(found.pid);
                let leader = OtherProcess::open(found.pid);
                // The first one may have ended before the descriptors were opened.
                let found = find::again(found.pid)?;
                let member = Member {
                    pool: None,
                    process,
                    found,
                };
                return Ok(Self {
                    leader,
                    members: vec![member],
                });
            }
            Err(failure) => failure,
        };
        let leader = match target {
            Target::Pid(pid) | Target::PidFile(_, pid) => OtherProcess::open(pid),
            Target::Address(_) => return Err(failure),
        };
        let members = members_under(leader.pid());
        if members.is_empty() {
            return Err(failure);
        }
        Ok(Self { leader, members })
    }

    /// Sends a signal to the manager, or to the process that forwards it to all managers.
    pub(crate) fn signal(&self, signal: Signal) -> Result<(), String> {
        let pid = self.leader.pid();
        // The process above several managers waits for signals instead (sigwait(3)).
        let is_manager = self.members.iter().any(|member| member.pool.is_none());
        if is_manager && !self.leader.catches(signal as i32) {
            return Err(format!(
                "process {pid} does not handle {signal}, which could end it: its program passes \
                 signals on itself (option no_signals)"
            ));
        }
        self.leader
            .signal(signal as i32)
            .map_err(|error| format!("process {pid}: {signal}: {error}"))
    }

    /// The only manager. A command that changes one pool must not guess which.
    pub(crate) fn single(&self) -> Result<&Member, String> {
        match &self.members[..] {
            [member] => Ok(member),
            several => {
                let pools = several.iter().map(|member| {
                    let pool = member.pool.as_deref().unwrap_or_default();
                    format!("{} (pool '{pool}')", member.process.pid())
                });
                Err(format!(
                    "process {} has several pools: use one of the pids {}",
                    self.leader.pid(),
                    Vec::from_iter(pools).join(", ")
                ))
            }
        }
    }
}

impl Member {
    /// What begins a line about it.
    pub(crate) fn label(&self) -> String {
        match &self.pool {
            Some(pool) => format!("pool '{pool}': "),
            None => String::new(),
        }
    }
}

/// The managers that `fcgipm run` has started as this process, in the order of their pids.
fn members_under(parent: i32) -> Vec<Member> {
    let under = parent.to_string();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids: Vec<i32> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| find::parent(*pid) == Some(parent))
        .collect();
    pids.sort_unstable();
    let member = |pid| {
        let process = OtherProcess::open(pid);
        let pool = pool_of(pid, &under)?;
        let found = find::again(pid).ok()?;
        Some(Member {
            pool: Some(pool),
            process,
            found,
        })
    };
    pids.into_iter().filter_map(member).collect()
}

/// The name of the pool, from the command line of its manager.
fn pool_of(pid: i32, under: &str) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<_> = line
        .split(|byte| *byte == 0)
        .map(String::from_utf8_lossy)
        .collect();
    let value = |flag: &str| {
        let at = words.iter().position(|word| word == flag)?;
        words.get(at + 1).cloned()
    };
    let pool = value("--pool")?;
    (value("--under")? == under).then(|| pool.escape_debug().to_string())
}
