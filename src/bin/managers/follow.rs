//! A target that a long-lived command reads again and again, across restarts of its managers.

use std::collections::BTreeMap;
use std::time::Duration;

use fcgipm::manager::OtherProcess;
use fcgipm::worker::End;

use super::find::{self, Found};
use super::group::Group;
use super::readiness;
use super::report::Report;
use super::sockets;
use super::target::Target;

/// A target, and what it named at the last reading.
#[derive(Debug)]
pub(crate) struct Followed {
    target: String,
    /// The only manager, if there was one.
    manager: Option<OtherProcess>,
    /// The process above several managers.
    leader: i32,
    /// The pools that were found under it. The memory of a manager outlives it here.
    pools: BTreeMap<String, Found>,
}

/// One pool.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Its name, if it is one of several.
    pub(crate) pool: Option<String>,
    /// An error: its manager has ended, or cannot be inspected.
    pub(crate) state: Result<State, String>,
}

/// What a pool does, without its files.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) report: Report,
    /// As `fcgipm check` prints it.
    pub(crate) readiness: Result<String, String>,
}

impl Followed {
    pub(crate) const fn new(target: String) -> Self {
        Self {
            target,
            manager: None,
            leader: 0,
            pools: BTreeMap::new(),
        }
    }

    /// Reads all pools. An error: the target names no manager now.
    pub(crate) fn read(&mut self) -> Result<Vec<Seen>, String> {
        if let Some(found) = self.manager_again() {
            return Ok(vec![Seen::single(&found)]);
        }
        self.manager = None;
        let group = Group::of(&self.target)?;
        if group.members.iter().all(|member| member.pool.is_none()) {
            self.pools.clear();
            let seen = group.members.iter().map(|m| Seen::single(&m.found));
            let seen = seen.collect();
            self.manager = Some(group.leader);
            return Ok(seen);
        }
        let members = group.members.into_iter();
        let now = members
            .map(|member| (member.pool.unwrap_or_default(), member.found))
            .collect();
        Ok(self.several(group.leader.pid(), now))
    }

    /// Reads the manager of the last reading again, if the target still names it. This avoids the
    /// search for it among all processes.
    fn manager_again(&self) -> Option<Found> {
        let process = self.manager.as_ref()?;
        let target = Target::of(&self.target).ok()?;
        let found = find::again(process.pid()).ok()?;
        let is_named = match target {
            Target::Pid(pid) | Target::PidFile(_, pid) => pid == process.pid(),
            Target::Address(address) => {
                let inodes = sockets::listening_on(address.place()).ok()?;
                inodes.iter().any(|inode| found.sockets.contains(inode))
            }
        };
        // It was read before this, so the pid was not another process's.
        (is_named && !process.ends_within(Duration::ZERO)).then_some(found)
    }

    /// Compares the pools that exist with those of the last reading.
    fn several(&mut self, leader: i32, now: BTreeMap<String, Found>) -> Vec<Seen> {
        if self.leader != leader {
            self.leader = leader;
            self.pools.clear();
        }
        let mut seen: Vec<_> = now
            .iter()
            .map(|(pool, found)| Seen {
                pool: Some(pool.clone()),
                state: Ok(State::of(found)),
            })
            .collect();
        let before = std::mem::replace(&mut self.pools, now);
        for (pool, found) in before {
            let has_stopped = found.view.pool().end == End::Stopping;
            // A pool that was stopped on purpose, or removed from the file, is not missed.
            if self.pools.contains_key(&pool) || has_stopped {
                continue;
            }
            seen.push(Seen {
                pool: Some(pool.clone()),
                state: Err(format!(
                    "its manager (pid {}) has ended, or cannot be inspected",
                    found.pid
                )),
            });
            self.pools.insert(pool, found);
        }
        seen
    }
}

impl Seen {
    fn single(found: &Found) -> Self {
        Self {
            pool: None,
            state: Ok(State::of(found)),
        }
    }
}

impl State {
    fn of(found: &Found) -> Self {
        Self {
            report: Report::without_files(found),
            readiness: readiness::of_pool(&found.view),
        }
    }
}
