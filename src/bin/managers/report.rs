//! What a pool and its workers are doing, in the form that `fcgipm status --json` prints.

use std::collections::BTreeSet;
use std::time::Duration;

use fcgipm::server::listen;
use fcgipm::worker::{
    Activity, End, LastExit, Reload, SlotStatus, Snapshot, Stage, Total, now, possible_requests,
};
use serde::Serialize;

use super::counted::{Counted, Exits};
use super::files::{self, FileReport};
use super::find::Found;
use super::sockets::{self, Bound};
use super::usage::Usage;

/// A snapshot of a pool and its workers.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) manager: i32,
    /// Of the library that the manager runs.
    pub(crate) version: String,
    pub(crate) files: Vec<FileReport>,
    pub(crate) uptime: f64,
    /// On the clock of the scoreboard.
    #[serde(skip)]
    pub(crate) started: Duration,
    /// When it was read, on the same clock.
    #[serde(skip)]
    pub(crate) read_at: Duration,
    pub(crate) pm: String,
    pub(crate) draining: bool,
    pub(crate) stopping: bool,
    pub(crate) wanted: u64,
    pub(crate) max: u64,
    pub(crate) processes: usize,
    pub(crate) starting: usize,
    pub(crate) ready: usize,
    pub(crate) retiring: usize,
    pub(crate) idle: usize,
    pub(crate) busy: usize,
    pub(crate) listen_queue: Option<u32>,
    pub(crate) listeners: Vec<ListenerReport>,
    pub(crate) reload: ReloadReport,
    pub(crate) forks: u64,
    pub(crate) deaths: u64,
    pub(crate) recycled: u64,
    pub(crate) requests: u64,
    pub(crate) disconnected: u64,
    pub(crate) overloaded: u64,
    pub(crate) slow: u64,
    pub(crate) timed_out: u64,
    pub(crate) saturated: u64,
    /// Lines of the access log.
    pub(crate) access_log_dropped: u64,
    #[serde(flatten)]
    pub(crate) counted: Counted,
    pub(crate) exits: Exits,
    /// Of the process that reads again and again.
    #[serde(skip)]
    pub(crate) highest: Highest,
    /// The latest of all slots.
    pub(crate) last_exit: Option<ExitReport>,
    pub(crate) workers: Vec<WorkerReport>,
}

/// The highest numbers of several readings.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Highest {
    pub(crate) busy: usize,
    pub(crate) waiting: Option<u32>,
}

impl Highest {
    pub(crate) fn raise_to(&mut self, report: &Report) {
        self.busy = self.busy.max(report.busy);
        self.waiting = self.waiting.max(report.listen_queue);
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct ListenerReport {
    pub(crate) address: String,
    pub(crate) waiting: Option<u32>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ReloadReport {
    pub(crate) state: &'static str,
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) message: String,
    pub(crate) age: Option<f64>,
    /// When it began or ended, on the clock of the scoreboard.
    #[serde(skip)]
    pub(crate) at: Duration,
}

#[derive(Debug, Serialize)]
pub(crate) struct WorkerReport {
    pub(crate) slot: usize,
    pub(crate) pid: i32,
    pub(crate) state: &'static str,
    /// The state that the worker reports.
    pub(crate) activity: Option<&'static str>,
    pub(crate) age: f64,
    /// How long it has been in that state.
    pub(crate) since: Option<f64>,
    pub(crate) generation: u64,
    pub(crate) requests: Option<u64>,
    pub(crate) disconnected: u64,
    pub(crate) method: Option<String>,
    pub(crate) uri: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) trace_id: Option<String>,
    pub(crate) request_age: Option<f64>,
    /// Resident memory in bytes.
    pub(crate) memory: Option<u64>,
    /// Proportional, where it was measured.
    #[serde(skip)]
    pub(crate) pss: Option<u64>,
    /// Processor time in seconds.
    pub(crate) cpu: Option<f64>,
    /// On the clock of the scoreboard.
    #[serde(skip)]
    pub(crate) born: Duration,
    #[serde(skip)]
    pub(crate) stage: Stage,
    pub(crate) last_exit: Option<ExitReport>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct ExitReport {
    pub(crate) pid: i32,
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) text: String,
    pub(crate) age: f64,
}

impl Report {
    pub(crate) fn of(found: &Found) -> Self {
        let mut report = Self::without_files(found);
        report.files = report.files_in_use();
        report
    }

    /// The same, except that `files` is empty: finding them takes much longer than the rest.
    pub(crate) fn without_files(found: &Found) -> Self {
        let pool = found.view.pool();
        // In another pid namespace, other processes have the pids of the workers.
        let are_pids_ours = pool.manager == found.pid;
        let mut workers = Vec::new();
        let mut exits = Vec::new();
        let mut counted = pool.retired;
        for slot in 0..pool.slots_used {
            let Some(status) = found.view.slot(slot) else {
                break;
            };
            exits.extend(status.last_exit);
            match status.stage {
                Stage::Empty => {}
                Stage::Starting | Stage::Ready | Stage::Retiring | Stage::Killed => {
                    workers.push(worker(found, slot, &status, are_pids_ours));
                    // After the number of requests, so that it has all of these.
                    let age = now().saturating_sub(status.born);
                    counted.add(&found.view.tallies(slot, age));
                }
            }
        }
        let staged = |stage| workers.iter().filter(|w| w.stage == stage).count();
        let in_state = |state| workers.iter().filter(|w| w.state == state).count();
        let (idle, silent) = (in_state("idle"), in_state("silent"));
        let ready = staged(Stage::Ready);
        let listeners = listeners(found, &pool.listeners);
        let waiting = listeners.iter().filter_map(|listener| listener.waiting);
        let served = workers.iter().filter_map(|worker| worker.requests);
        let disconnected = workers.iter().map(|worker| worker.disconnected);
        let latest = exits.iter().max_by_key(|exit| exit.at);
        Self {
            manager: found.pid,
            version: pool.release.clone(),
            files: Vec::new(),
            uptime: age(pool.started),
            started: pool.started,
            read_at: now(),
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
                at: pool.reload_at,
            },
            forks: pool.total(Total::Forks),
            deaths: pool.total(Total::Deaths),
            recycled: pool.total(Total::Recycled),
            requests: served.fold(pool.total(Total::Requests), u64::saturating_add),
            disconnected: disconnected.fold(pool.total(Total::Disconnected), u64::saturating_add),
            overloaded: pool.total(Total::Overloaded),
            slow: pool.total(Total::Slow),
            timed_out: pool.total(Total::TimedOut),
            saturated: pool.total(Total::Saturated),
            access_log_dropped: pool.total(Total::AccessDropped),
            counted: Counted(counted),
            exits: Exits::of(&pool),
            highest: Highest::default(),
            last_exit: latest.map(exit),
            workers,
            pm: pool.pm,
        }
    }

    /// The files of the manager and of the workers that serve, each once.
    pub(crate) fn files_in_use(&self) -> Vec<FileReport> {
        let serving = self.workers.iter().filter(|w| w.stage == Stage::Ready);
        let pids = serving.map(|worker| worker.pid).chain([self.manager]);
        let all: BTreeSet<_> = pids.flat_map(files::of_process).collect();
        all.into_iter().collect()
    }
}

fn worker(found: &Found, slot: usize, status: &SlotStatus, are_pids_ours: bool) -> WorkerReport {
    let look = found.view.snapshot(slot);
    let details = look.and_then(|look| found.view.details(slot, &look));
    let since = look.map(|look| look.since);
    let most = possible_requests(now().saturating_sub(status.born));
    let usage = are_pids_ours.then(|| Usage::of(status.pid)).flatten();
    WorkerReport {
        slot,
        pid: status.pid,
        state: state(status.stage, look),
        activity: look.map(|look| word(look.activity)),
        age: age(status.born),
        since: since.filter(|since| !since.is_zero()).map(age),
        generation: status.generation,
        requests: look.map(|look| look.requests.min(most)),
        disconnected: found.view.disconnected(slot).min(most),
        request_age: details.as_ref().and(since).map(age),
        method: details.as_ref().map(|details| details.method.clone()),
        request_id: details.as_ref().and_then(|it| known(&it.request_id)),
        trace_id: details.as_ref().and_then(|it| known(&it.trace_id)),
        uri: details.map(|details| details.uri),
        memory: usage.map(|usage| usage.memory),
        pss: None,
        cpu: usage.map(|usage| usage.cpu),
        born: status.born,
        stage: status.stage,
        last_exit: status.last_exit.as_ref().map(exit),
    }
}

/// All that [`state`] returns.
pub(crate) const STATES: [&str; 10] = [
    "starting",
    "idle",
    "reading",
    "busy",
    "finishing",
    "silent",
    "exiting",
    "retiring",
    "killed",
    "unknown",
];

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

fn known(id: &str) -> Option<String> {
    (!id.is_empty()).then(|| id.to_owned())
}

/// The seconds since a time, to the millisecond; 0 for a time in the future.
fn age(since: Duration) -> f64 {
    now().saturating_sub(since).as_millis() as f64 / 1000.0
}
