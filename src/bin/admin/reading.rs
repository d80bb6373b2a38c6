//! Reading the shared memory and /proc, in a thread of its own, and for all clients together.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as Shared, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use fcgipm::worker::{Tallies, now};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::history::{History, INTERVAL};
use crate::console;
use crate::managers::files::FileReport;
use crate::managers::follow::{Followed, Seen, State};
use crate::managers::report::{Highest, Report, WorkerReport};
use crate::managers::usage;

/// The maximum time to wait for a reading. The kernel may let a reader of /proc wait.
const LIMIT: Duration = Duration::from_secs(5);
/// A reading is used again for this many times as long as it took, so that any number of clients
/// costs at most a tenth of a processor,
const REUSE: u32 = 10;
/// but not for longer than this: on a loaded machine, a reading takes longer than it costs.
const REUSE_MAX: Duration = Duration::from_millis(500);
/// How long the list of files is used again: finding them reads the memory maps of all workers.
const FILES_PAUSE: Duration = Duration::from_secs(10);
/// How long a reading measures the proportional memory of a pool's workers.
const PSS_LIMIT: Duration = Duration::from_millis(10);

/// The name of the only pool, where one is needed.
pub(super) const UNNAMED: &str = "default";

/// What was read at one time.
#[derive(Debug)]
pub(super) struct Reading {
    /// An error: there is no manager.
    pub(super) pools: Result<Vec<Seen>, String>,
    /// How long it took.
    pub(super) took: Duration,
    /// The time since the epoch at which the clock of the scoreboard was 0.
    pub(super) epoch: Duration,
    at: Instant,
    has: Wanted,
}

/// What takes more time than the rest, and is read on demand.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wanted {
    pub(super) files: bool,
    /// The proportional memory of workers.
    pub(super) pss: bool,
}

/// Those that can be read, by their names.
pub(super) type Pools<'r> = Vec<(&'r str, &'r Report)>;

/// Reads when a reading is needed.
#[derive(Debug)]
pub(super) struct Reader {
    source: Arc<Mutex<Source>>,
    /// Outside of it: a reading that takes long keeps nobody from the history.
    history: Arc<Shared<History>>,
    epoch: Duration,
}

#[derive(Debug)]
struct Source {
    history: Arc<Shared<History>>,
    followed: Followed,
    epoch: Duration,
    last: Option<Arc<Reading>>,
    /// By the name of the pool.
    memories: BTreeMap<Option<String>, Memory>,
    /// The problem that was logged last.
    problem: Option<String>,
}

/// The proportional memory of a worker.
#[derive(Debug)]
struct Proportional {
    at: Instant,
    bytes: u64,
}

/// What is remembered of a pool.
#[derive(Debug, Default)]
struct Memory {
    /// The pid of its manager, and when that started.
    manager: (i32, Duration),
    requests: u64,
    disconnected: u64,
    counted: Tallies,
    files: Option<(Instant, Vec<FileReport>)>,
    highest: Highest,
    /// By pid, and when the worker was forked.
    pss: BTreeMap<(i32, Duration), Proportional>,
}

impl Reader {
    pub(super) fn new(target: String) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        // Once, so that a start time is the same number in all readings.
        let epoch = since.unwrap_or_default().saturating_sub(now());
        let history = Arc::default();
        let source = Source {
            history: Arc::clone(&history),
            followed: Followed::new(target),
            epoch,
            last: None,
            memories: BTreeMap::new(),
            problem: None,
        };
        Self {
            source: Arc::new(Mutex::new(source)),
            history,
            epoch,
        }
    }

    /// Reads again and again for the history, which each reading is added to. Never returns.
    pub(super) async fn keep_history(&self) {
        let mut times = interval(INTERVAL);
        times.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            times.tick().await;
            // One that fails or takes too long is missing in the history.
            let _ = self.read(Wanted::default()).await;
        }
    }

    /// As /history.json shows it.
    pub(super) fn history(&self) -> Value {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.json(self.epoch)
    }

    /// Logs that there is no manager, if that is so.
    pub(super) async fn log_first(&self) {
        let _ = self.read(Wanted::default()).await;
    }

    /// A reading that is recent enough.
    pub(super) async fn read(&self, wanted: Wanted) -> Result<Arc<Reading>, String> {
        let reading = async {
            // The thread has the lock, even if nobody waits for it any more.
            let mut source = Arc::clone(&self.source).lock_owned().await;
            if let Some(recent) = source.recent(wanted) {
                return Ok(recent);
            }
            tokio::task::spawn_blocking(move || source.read(wanted))
                .await
                .map_err(|error| format!("reading failed: {error}"))
        };
        match timeout(LIMIT, reading).await {
            Ok(result) => result,
            Err(_) => Err(format!(
                "reading the shared memory takes longer than {} s",
                LIMIT.as_secs()
            )),
        }
    }
}

impl Source {
    fn recent(&self, wanted: Wanted) -> Option<Arc<Reading>> {
        let last = self.last.as_ref()?;
        let is_recent = last.at.elapsed() < REUSE_MAX.min(last.took * REUSE);
        let has_all = (last.has.files || !wanted.files) && (last.has.pss || !wanted.pss);
        (is_recent && has_all).then(|| Arc::clone(last))
    }

    fn read(&mut self, wanted: Wanted) -> Arc<Reading> {
        let begin = Instant::now();
        let mut pools = self.followed.read();
        self.log_changes(&pools);
        if let Ok(pools) = &mut pools {
            self.memories
                .retain(|name, _| pools.iter().any(|seen| seen.pool == *name));
            for seen in pools {
                let Ok(state) = &mut seen.state else { continue };
                let memory = self.memories.entry(seen.pool.clone()).or_default();
                memory.correct(state);
                if wanted.files {
                    memory.add_files(state);
                }
                if wanted.pss {
                    memory.add_pss(state);
                }
            }
        }
        let history = self.history.lock();
        let mut history = history.unwrap_or_else(PoisonError::into_inner);
        history.add(&pools, now());
        drop(history);
        let reading = Arc::new(Reading {
            pools,
            took: begin.elapsed(),
            epoch: self.epoch,
            at: Instant::now(),
            has: wanted,
        });
        self.last = Some(Arc::clone(&reading));
        reading
    }

    fn log_changes(&mut self, pools: &Result<Vec<Seen>, String>) {
        let problem = match pools {
            Ok(pools) => {
                let problems = pools.iter().filter_map(|seen| {
                    let reason = seen.state.as_ref().err()?;
                    Some(format!("{}{reason}", label(seen)))
                });
                Some(Vec::from_iter(problems).join("; ")).filter(|text| !text.is_empty())
            }
            Err(reason) => Some(reason.clone()),
        };
        match (&self.problem, &problem) {
            (old, Some(new)) if old.as_ref() != Some(new) => {
                console::error(&format!("fcgipm admin: {new}"));
            }
            (Some(_), None) => console::info("fcgipm admin: every pool can be read again"),
            (_, _) => {}
        }
        self.problem = problem;
    }
}

impl Memory {
    /// Counters of the same manager never decrease. They would for a moment: the requests of a worker
    /// that has exited are missing until the manager has added them to the total.
    fn correct(&mut self, state: &mut State) {
        let report = &mut state.report;
        let manager = (report.manager, report.started);
        if self.manager != manager {
            *self = Self {
                manager,
                ..Self::default()
            };
        }
        self.requests = self.requests.max(report.requests);
        self.disconnected = self.disconnected.max(report.disconnected);
        self.counted.raise_to(&report.counted.0);
        report.counted.0 = self.counted;
        self.highest.raise_to(report);
        report.highest = self.highest;
        report.requests = self.requests;
        report.disconnected = self.disconnected;
    }

    /// The kernel walks through all pages of a worker for it. So each reading does it for a limited time,
    /// for those first that were read longest ago.
    fn add_pss(&mut self, state: &mut State) {
        let workers = &mut state.report.workers;
        let key = |worker: &WorkerReport| (worker.pid, worker.born);
        let exists = |known: &(i32, Duration)| workers.iter().any(|worker| key(worker) == *known);
        self.pss.retain(|known, _| exists(known));
        let begin = Instant::now();
        let mut due: Vec<_> = workers
            .iter()
            .filter(|w| w.memory.is_some())
            .map(key)
            .collect();
        due.sort_by_key(|key| self.pss.get(key).map(|known| known.at));
        for key in due {
            if let Some(bytes) = usage::proportional_memory(key.0) {
                let at = Instant::now();
                self.pss.insert(key, Proportional { at, bytes });
            }
            // One at least, also where the processor is taken away.
            if begin.elapsed() > PSS_LIMIT {
                break;
            }
        }
        for worker in workers {
            worker.pss = self.pss.get(&key(worker)).map(|known| known.bytes);
        }
    }

    fn add_files(&mut self, state: &mut State) {
        let report = &mut state.report;
        let recent = self
            .files
            .take()
            .filter(|(at, _)| at.elapsed() < FILES_PAUSE);
        let (at, files) = recent.unwrap_or_else(|| (Instant::now(), report.files_in_use()));
        report.files.clone_from(&files);
        self.files = Some((at, files));
    }
}

/// What begins a line about a pool.
pub(super) fn label(seen: &Seen) -> String {
    match &seen.pool {
        Some(pool) => format!("pool '{pool}': "),
        None => String::new(),
    }
}

impl Reading {
    /// As `fcgipm status --json` prints it. An error has the reason why there is nothing.
    pub(super) fn json(&self) -> Result<Value, String> {
        let pools = self.pools.as_ref().map_err(Clone::clone)?;
        let value = |seen: &Seen| match &seen.state {
            Ok(state) => serde_json::to_value(&state.report).map_err(|error| error.to_string()),
            Err(reason) => Ok(json!({ "error": reason })),
        };
        match &pools[..] {
            [only] if only.pool.is_none() => value(only),
            several => {
                let named = several.iter().map(|seen| {
                    let name = seen.pool.clone().unwrap_or_default();
                    Ok::<_, String>((name, value(seen)?))
                });
                let named: serde_json::Map<_, _> = named.collect::<Result<_, _>>()?;
                Ok(json!({ "pools": named }))
            }
        }
    }

    /// The first pool that can be read, and its name.
    pub(super) fn first(&self) -> Option<(&str, &Report)> {
        let pools = self.pools.as_ref().ok()?;
        pools.iter().find_map(|seen| {
            let state = seen.state.as_ref().ok()?;
            Some((seen.pool.as_deref().unwrap_or(UNNAMED), &state.report))
        })
    }

    /// Whether every pool is ready, with a line for each.
    pub(super) fn readiness(&self) -> (bool, String) {
        let pools = match &self.pools {
            Ok(pools) => pools,
            Err(reason) => return (false, format!("not ready: {reason}\n")),
        };
        let mut is_ready = true;
        let lines = pools.iter().map(|seen| {
            let line = match &seen.state {
                Ok(state) => state.readiness.clone(),
                Err(reason) => Err(format!("not ready: {reason}")),
            };
            is_ready &= line.is_ok();
            let line = line.unwrap_or_else(|reason| reason);
            format!("{}{line}\n", label(seen))
        });
        let lines = lines.collect();
        (is_ready, lines)
    }
}
