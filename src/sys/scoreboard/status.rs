//! The content of the scoreboard as plain values. The numbers of the enums are part of the layout.

use std::time::Duration;

use super::exits::{CAUSES, ExitCause};
use super::tally::Tallies;
use super::version::PLACE_SHIFT;

/// What a request loop reports that it is doing; for a worker with several loops, the busiest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Activity {
    /// No loop has entered Accept yet, or all loops have ended.
    Starting = 0,
    /// Waits for a request.
    Idle = 1,
    /// Has a connection and waits for its parameters.
    Reading = 2,
    /// Runs the application.
    Busy = 3,
    /// Knows that it has to exit, and accepts no more.
    Exiting = 4,
    /// Has finished a request and has not returned to Accept yet.
    Finished = 5,
}

impl Activity {
    pub(super) const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Starting),
            1 => Some(Self::Idle),
            2 => Some(Self::Reading),
            3 => Some(Self::Busy),
            4 => Some(Self::Exiting),
            5 => Some(Self::Finished),
            _ => None,
        }
    }
}

/// What the manager asks of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Order {
    /// Continue to serve.
    Serve = 0,
    /// Exit after the current request; hand over idle keep-alive connections to other workers.
    Retire = 1,
    /// Exit after the current request; there are no workers left to hand connections over to.
    RetireLast = 2,
}

/// Counters of the whole life of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Total {
    /// Workers forked.
    Forks = 0,
    /// Workers that exited or were killed, for any reason.
    Deaths = 1,
    /// Workers replaced because they reached a limit of requests, age or memory.
    Recycled = 2,
    /// Requests finished by workers that no longer exist.
    Requests = 3,
    /// Reloads that succeeded.
    ReloadsDone = 4,
    /// Reloads that failed.
    ReloadsFailed = 5,
    /// Requests that workers which no longer exist did not run, because their clients had
    /// disconnected.
    Disconnected = 6,
    /// Requests that the manager refused, because they had waited too long.
    Overloaded = 7,
    /// Requests that exceeded `slow_request`.
    Slow = 8,
    /// Requests that exceeded `request_timeout`.
    TimedOut = 9,
    /// Times that the pool needed more workers than its maximum.
    Saturated = 10,
    /// Lines of the access log that were dropped.
    AccessDropped = 11,
}

pub(super) const TOTALS: usize = 12;

pub(super) const FIGURES: usize = 8;

/// Reloads whose outcome is kept.
pub(super) const OUTCOMES: usize = 8;

/// How many workers there are, and what they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Workers to keep.
    pub wanted: u64,
    /// Processes that exist.
    pub processes: u64,
    /// Forked and not ready yet.
    pub starting: u64,
    /// Ready, and not retiring.
    pub ready: u64,
    /// Asked to exit.
    pub retiring: u64,
    /// Ready ones that waited for a request at the manager's last poll.
    pub idle: u64,
    /// The other ready ones.
    pub busy: u64,
    /// The maximum number of workers: what a signal that resizes the pool changes.
    pub most: u64,
}

impl Figures {
    pub(super) fn as_array(&self) -> [u64; FIGURES] {
        let Self {
            wanted,
            processes,
            starting,
            ready,
            retiring,
            idle,
            busy,
            most,
        } = *self;
        [
            wanted, processes, starting, ready, retiring, idle, busy, most,
        ]
    }

    pub(super) fn from_array(array: [u64; FIGURES]) -> Self {
        let [
            wanted,
            processes,
            starting,
            ready,
            retiring,
            idle,
            busy,
            most,
        ] = array;
        Self {
            wanted,
            processes,
            starting,
            ready,
            retiring,
            idle,
            busy,
            most,
        }
    }
}

/// How the last reload went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Reload {
    /// There was none.
    None = 0,
    /// In progress.
    Running = 1,
    /// All workers were replaced.
    Done = 2,
    /// It failed, and the old workers continue.
    Failed = 3,
}

/// The end of a reload: every new worker is ready and no old one accepts, or it has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReloadEnd {
    /// The number of the last request for a reload that it covered.
    pub through: u64,
    /// The old workers continue.
    pub has_failed: bool,
    /// The generation of its new workers.
    pub generation: u64,
}

/// Whether a pool is ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum End {
    /// No.
    None = 0,
    /// Its workers were asked to exit.
    Stopping = 1,
    /// It will stop soon, and still serves everything.
    Draining = 2,
}

/// The stage of the worker in a slot, as the manager sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Stage {
    /// There is no worker.
    Empty = 0,
    /// It has not entered its first Accept.
    Starting = 1,
    /// It has, and serves.
    Ready = 2,
    /// It was asked to exit.
    Retiring = 3,
    /// It was killed, and is about to be reaped.
    Killed = 4,
}

impl Stage {
    pub(super) const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Starting,
            2 => Self::Ready,
            3 => Self::Retiring,
            4 => Self::Killed,
            _ => Self::Empty,
        }
    }
}

/// The pool as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolStatus {
    /// The manager's pid, as the manager knows it.
    pub manager: i32,
    /// When the manager started, on CLOCK_MONOTONIC as all times here.
    pub started: Duration,
    /// Whether the pool is ending.
    pub end: End,
    /// How the number of workers is chosen.
    pub pm: String,
    /// The version of the library that the manager runs.
    pub release: String,
    /// When the manager last acted on a signal that resizes the pool.
    pub resized_at: Duration,
    /// The number of the last request for a reload.
    pub reloads_received: u64,
    /// When the manager noticed it. Its reload begins later.
    pub reload_received_at: Duration,
    /// How the latest reloads ended, in no order.
    pub reload_ends: Vec<ReloadEnd>,
    /// Number of slots, from the first on, that were ever used.
    pub slots_used: usize,
    /// The workers, counted.
    pub figures: Figures,
    pub(super) totals: [u64; TOTALS],
    pub(super) exits: [u64; CAUSES],
    /// What workers counted of their requests that no longer exist.
    pub retired: Tallies,
    /// Inode numbers of the listening sockets, as far as the manager knows them.
    pub listeners: Vec<u64>,
    /// How the last reload went.
    pub reload: Reload,
    /// When it began or ended.
    pub reload_at: Duration,
    /// A message about it, printable.
    pub reload_message: String,
}

impl PoolStatus {
    /// One of the counters.
    #[must_use]
    pub const fn total(&self, total: Total) -> u64 {
        self.totals[total as usize]
    }

    /// Workers that exited for this cause.
    #[must_use]
    pub const fn exits(&self, cause: ExitCause) -> u64 {
        self.exits[cause as usize]
    }
}

/// One slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotStatus {
    /// The stage of its worker.
    pub stage: Stage,
    /// The worker's pid, as the manager knows it; of an empty slot, the last one's.
    pub pid: i32,
    /// When it was forked.
    pub born: Duration,
    /// The number of reloads before it was forked.
    pub generation: u64,
    /// How the worker before it ended.
    pub last_exit: Option<LastExit>,
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastExit {
    /// The worker.
    pub pid: i32,
    /// Its wait status; -1: unknown.
    pub status: i32,
    /// When the manager learnt of it.
    pub at: Duration,
}

/// What a worker reports that it is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Of the busiest loop.
    pub activity: Activity,
    /// Identifies this request among all requests of the worker, in any loop. If the loop is not
    /// busy, its last request; 0: none yet.
    pub request: u64,
    /// Finished requests of all loops.
    pub requests: u64,
    /// Since when, on CLOCK_MONOTONIC. Of several busy loops, the one that has been busy longest.
    pub since: Duration,
    /// The place of that loop's record.
    pub record: usize,
}

impl Snapshot {
    /// Whether the worker reports that it has run the application for any request.
    #[must_use]
    pub fn has_taken_a_request(&self) -> bool {
        self.requests > 0 || self.request << (u64::BITS - PLACE_SHIFT) != 0
    }

    pub(super) fn shows_more_than(&self, other: &Self) -> bool {
        let rank = |activity| match activity {
            Activity::Starting => 0,
            Activity::Exiting => 1,
            Activity::Idle => 2,
            Activity::Finished => 3,
            Activity::Reading => 4,
            Activity::Busy => 5,
        };
        match rank(self.activity).cmp(&rank(other.activity)) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Greater => true,
            // The worker has been idle only since the last of its loops became idle.
            std::cmp::Ordering::Equal => match self.activity {
                Activity::Idle | Activity::Exiting | Activity::Starting => self.since > other.since,
                Activity::Finished | Activity::Reading | Activity::Busy => self.since < other.since,
            },
        }
    }
}

/// What a worker reports about the request that it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    /// The request's method, printable.
    pub method: String,
    /// Its URI, printable and truncated.
    pub uri: String,
    /// Its id, printable and truncated; empty if it has none, or that is not reported.
    pub request_id: String,
    /// The same for its trace id.
    pub trace_id: String,
    /// The connection's descriptor in the worker.
    pub fd: i32,
    /// The FastCGI request id.
    pub id: u16,
    /// Bytes of the response may have been sent.
    pub begun: bool,
    /// The last record that was sent may be incomplete.
    pub mid_record: bool,
}
