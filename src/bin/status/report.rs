//! The report, in the form that `--json` prints.

use std::collections::BTreeSet;
use std::time::Duration;

use fcgipm::server::listen;
use fcgipm::worker::{Activity, End, LastExit, Reload, SlotStatus, Snapshot, Stage, Total, now};
use serde::Serialize;

use super::files::{self, FileReport};
use crate::managers::find::Found;
use crate::managers::sockets::{self, Bound};

/// A snapshot of a pool and its workers.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) manager: i32,
    /// Of the library that the manager runs.
    pub(super) version: String,
    pub(super) files: Vec<FileReport>,
    pub(super) uptime: f64,
    pub(super) pm: String,
    pub(super) draining: bool,
    pub(super) stopping: bool,
    pub(super) wanted: u64,
    pub(super) max: u64,
    pub(super) processes: usize,
    pub(super) starting: usize,
    pub(super) ready: usize,
    pub(super) retiring: usize,
    pub(super) idle: usize,
    pub(super) busy: usize,
    pub(super) listen_queue: Option<u32>,
    pub(super) listeners: Vec<ListenerReport>,
    pub(super) reload: ReloadReport,
    pub(super) forks: u64,
    pub(super) deaths: u64,
    pub(super) recycled: u64,
    pub(super) requests: u64,
    pub(super) disconnected: u64,
    pub(super) overloaded: u64,
    /// The latest of all slots.
    pub(super) last_exit: Option<ExitReport>,
    pub(super) workers: Vec<WorkerReport>,
}

#[derive(Debug, Serialize)]
pub(super) struct ListenerReport {
    pub(super) address: String,
    pub(super) waiting: Option<u32>,
}

#[derive(Debug, Serialize)]
pub(super) struct ReloadReport {
    pub(super) state: &'static str,
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) message: String,
    pub(super) age: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(super) struct WorkerReport {
    pub(super) slot: usize,
    pub(super) pid: i32,
    pub(super) state: &'static str,
    /// The state that the worker reports.
    pub(super) activity: Option<&'static str>,
    pub(super) age: f64,
    /// How long it has been in that state.
    pub(super) since: Option<f64>,
    pub(super) generation: u64,
    pub(super) requests: Option<u64>,
    pub(super) disconnected: u64,
    pub(super) method: Option<String>,
    pub(super) uri: Option<String>,
    pub(super) request_age: Option<f64>,
    pub(super) last_exit: Option<ExitReport>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct ExitReport {
    pub(super) pid: i32,
    pub(super) code: Option<i32>,
    pub(super) signal: Option<i32>,
    pub(super) text: String,
    pub(super) age: f64,
}

impl Report {
    pub(super) fn of(found: &Found) -> Self {
        let pool = found.view.pool();
        let mut workers = Vec::new();
        let mut exits = Vec::new();
        for slot in 0..pool.slots_used {
            let Some(status) = found.view.slot(slot) else {
                break;
            };
            exits.extend(status.last_exit);
            match status.stage {
                Stage::Empty => {}
                Stage::Starting | Stage::Ready | Stage::Retiring | Stage::Killed => {
                    workers.push((worker(found, slot, &status), status.stage));
                }
            }
        }
        let staged = |stage| workers.iter().filter(|(_, other)| *other == stage).count();
        let idle = workers
            .iter()
            .filter(|(worker, _)| worker.state == "idle")
            .count();
        let silent = workers.iter().filter(|(w, _)| w.state == "silent").count();
        let ready = staged(Stage::Ready);
        let listeners = listeners(found, &pool.listeners);
        let waiting = listeners.iter().filter_map(|listener| listener.waiting);
        let served = workers.iter().filter_map(|(worker, _)| worker.requests);
        let disconnected = workers.iter().map(|(worker, _)| worker.disconnected);
        let latest = exits.iter().max_by_key(|exit| exit.at);
        Self {
            manager: found.pid,
            version: pool.release.clone(),
            files: files(found.pid, &workers),
            uptime: age(pool.started),
            draining: pool.end == End::Draining,
            stopping: pool.end == End::Stopping,
            wanted: pool.figures.wanted,
            max: pool.figures.most,
            processes: workers.len(),
            starting: staged(Stage::Starting),
            ready,
            retiring: staged(Stage::Retiring),
            idle,
            busy: ready - idle - silent,
            listen_queue: waiting.reduce(u32::saturating_add),
            listeners,
            reload: ReloadReport {
                state: match pool.reload {
                    Reload::None => "none",
                    Reload::Running => "running",
                    Reload::Done => "done",
                    Reload::Failed => "failed",
                },
                done: pool.total(Total::ReloadsDone),
                failed: pool.total(Total::ReloadsFailed),
                age: (pool.reload != Reload::None).then(|| age(pool.reload_at)),
                message: pool.reload_message.clone(),
            },
            forks: pool.total(Total::Forks),
            deaths: pool.total(Total::Deaths),
            recycled: pool.total(Total::Recycled),
            requests: served.fold(pool.total(Total::Requests), u64::saturating_add),
            disconnected: disconnected.fold(pool.total(Total::Disconnected), u64::saturating_add),
            overloaded: pool.total(Total::Overloaded),
            last_exit: latest.map(exit),
            workers: workers.into_iter().map(|(worker, _)| worker).collect(),
            pm: pool.pm,
        }
    }
}

/// The files of the manager and of the workers that serve, each once.
fn files(manager: i32, workers: &[(WorkerReport, Stage)]) -> Vec<FileReport> {
    let serving = workers.iter().filter(|(_, stage)| *stage == Stage::Ready);
    let pids = serving.map(|(worker, _)| worker.pid).chain([manager]);
    let all: BTreeSet<_> = pids.flat_map(files::of_process).collect();
    all.into_iter().collect()
}

fn worker(found: &Found, slot: usize, status: &SlotStatus) -> WorkerReport {
    let look = found.view.snapshot(slot);
    let details = look.and_then(|look| found.view.details(slot, &look));
    let since = look.map(|look| look.since);
    WorkerReport {
        slot,
        pid: status.pid,
        state: state(status.stage, look),
        activity: look.map(|look| word(look.activity)),
        age: age(status.born),
        since: since.filter(|since| !since.is_zero()).map(age),
        generation: status.generation,
        requests: look.map(|look| look.requests),
        disconnected: found.view.disconnected(slot),
        request_age: details.as_ref().and(since).map(age),
        method: details.as_ref().map(|details| details.method.clone()),
        uri: details.map(|details| details.uri),
        last_exit: status.last_exit.as_ref().map(exit),
    }
}

fn state(stage: Stage, look: Option<Snapshot>) -> &'static str {
    match (stage, look) {
        (Stage::Empty | Stage::Killed, _) => "killed",
        (Stage::Starting, _) => "starting",
        (Stage::Retiring, _) => "retiring",
        // Nothing was ever written: the program does not report its state.
        (Stage::Ready, Some(look)) if look.since.is_zero() => "silent",
        (Stage::Ready, Some(look)) => word(look.activity),
        (Stage::Ready, None) => "unknown",
    }
}

const fn word(activity: Activity) -> &'static str {
    match activity {
        Activity::Starting => "starting",
        Activity::Idle => "idle",
        Activity::Reading => "reading",
        Activity::Busy => "busy",
        Activity::Exiting => "exiting",
        Activity::Finished => "finishing",
    }
}

/// The listening sockets of the pool: those that the manager names, or all that it has.
fn listeners(found: &Found, named: &[u64]) -> Vec<ListenerReport> {
    let ours = |inode: &u64| {
        if named.is_empty() {
            found.sockets.contains(inode)
        } else {
            named.contains(inode)
        }
    };
    let all = sockets::listeners(Some(found.pid)).into_iter();
    all.filter(|listener| ours(&listener.inode))
        .map(|listener| match listener.address {
            Bound::Tcp(address) => ListenerReport {
                address: address.to_string(),
                waiting: listener.waiting,
            },
            Bound::Unix(name) => ListenerReport {
                address: name.escape_debug().to_string(),
                waiting: listen::waiting_on_unix(listener.inode).map(|count| count as u32),
            },
        })
        .collect()
}

fn exit(exit: &LastExit) -> ExitReport {
    let status = exit.status;
    let known = status >= 0;
    // The format of wait(2).
    let signal = Some(status & 0x7f).filter(|signal| known && *signal != 0);
    let code = Some(status >> 8 & 0xff).filter(|_| known && signal.is_none());
    ExitReport {
        pid: exit.pid,
        code,
        signal,
        text: match (code, signal) {
            (Some(code), _) => format!("status {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "unknown".to_owned(),
        },
        age: age(exit.at),
    }
}

/// The seconds since a time, to the millisecond; 0 for a time in the future.
fn age(since: Duration) -> f64 {
    now().saturating_sub(since).as_millis() as f64 / 1000.0
}
