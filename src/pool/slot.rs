//! What a slot of the pool holds.

use std::time::Duration;

use super::answer::Recycle;
use super::watch::Watch;

/// The first pause before a wake-up is repeated; it doubles up to [`WAKE_PAUSE_MAX`].
const WAKE_PAUSE: Duration = Duration::from_millis(10);
const WAKE_PAUSE_MAX: Duration = Duration::from_secs(1);

/// What a slot holds, for the manager and the scoreboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlotState {
    /// Nothing.
    Empty,
    /// A worker that has not entered its first Accept.
    Starting,
    /// A worker that has, and serves requests.
    Ready,
    /// A worker that was asked to exit.
    Retiring,
    /// A worker that was killed, and is about to be reaped.
    Killed,
}

/// The reason for a fork, which decides when it may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// To fill the pool for the first time.
    First,
    /// To make the pool larger, because the load requires it.
    Growth,
    /// To replace a worker that died young.
    Replacement,
    /// To replace a young worker that had served and exited on its own.
    Departure,
    /// Anything else: a worker that had lived, a reload, a larger pool.
    Free,
}

/// What a slot holds.
#[derive(Clone, Debug)]
pub(super) enum Slot {
    Empty,
    /// The fork was requested, and its result has not been reported.
    Forking {
        generation: u64,
        reason: Reason,
        /// The worker is no longer wanted.
        doomed: bool,
    },
    Starting {
        generation: u64,
        born: Duration,
        /// When it must be ready.
        deadline: Option<Duration>,
        proof: Proof,
    },
    Ready(Serving),
    Retiring(Retirement),
    Killed {
        generation: u64,
    },
}

/// What proves that a worker is ready, besides its first Accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    /// Not known yet: its program has not been executed.
    Pending,
    /// It still runs at this time.
    Alive(Duration),
    /// Nothing else: it reports, and will report that it is ready.
    Accept,
}

/// The state of a worker that serves.
#[derive(Clone, Debug)]
pub(super) struct Serving {
    pub(super) generation: u64,
    pub(super) born: Duration,
    pub(super) ready_at: Duration,
    /// The limit that it reached: it is due for replacement.
    pub(super) due: Option<Recycle>,
    /// It has received a request.
    pub(super) served: bool,
    /// Requests that it reports to have finished.
    pub(super) requests: u64,
    pub(super) watch: Watch,
}

/// What serves in place of a retiring worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Successor {
    /// No other worker will be left.
    None,
    /// The other workers.
    Pool,
    /// A replacement: it reached a limit.
    Replacement,
}

/// The state of a retiring worker.
#[derive(Clone, Debug)]
pub(super) struct Retirement {
    pub(super) generation: u64,
    pub(super) successor: Successor,
    /// It waits for a request, so a wake-up reaches it.
    pub(super) idle: bool,
    pub(super) watch: Watch,
    /// When to wake it again.
    pub(super) wake_at: Duration,
    pause: Duration,
    /// The time at which it is killed.
    pub(super) kill_at: Option<Duration>,
    /// The time at which it is killed if it is not ready by then. Only for a worker that was not
    /// ready when it was asked to exit: it has accepted nothing.
    pub(super) start_by: Option<Duration>,
}

impl Retirement {
    pub(super) fn new(
        now: Duration,
        generation: u64,
        last: bool,
        watch: Watch,
        limit: Option<Duration>,
    ) -> Self {
        Self {
            generation,
            successor: if last {
                Successor::None
            } else {
                Successor::Pool
            },
            idle: false,
            watch,
            wake_at: now + WAKE_PAUSE,
            pause: WAKE_PAUSE,
            kill_at: limit.map(|limit| now.saturating_add(limit)),
            start_by: None,
        }
    }

    /// Sets the time of the next wake-up.
    pub(super) fn woken(&mut self, now: Duration) {
        self.pause = (self.pause * 2).min(WAKE_PAUSE_MAX);
        self.wake_at = now + self.pause;
    }
}

impl Slot {
    /// The generation of the process in the slot, or of the one that is about to be forked.
    pub(super) fn generation(&self) -> Option<u64> {
        match self {
            Self::Empty => None,
            Self::Forking { generation, .. }
            | Self::Starting { generation, .. }
            | Self::Killed { generation } => Some(*generation),
            Self::Ready(serving) => Some(serving.generation),
            Self::Retiring(retirement) => Some(retirement.generation),
        }
    }

    /// The generation of a worker that counts towards the pool, and whether it is ready.
    pub(super) fn member(&self) -> Option<(u64, bool)> {
        match self {
            Self::Forking {
                generation,
                doomed: false,
                ..
            }
            | Self::Starting { generation, .. } => Some((*generation, false)),
            Self::Ready(serving) => Some((serving.generation, true)),
            Self::Forking { doomed: true, .. }
            | Self::Empty
            | Self::Retiring(_)
            | Self::Killed { .. } => None,
        }
    }

    /// What is known of the requests of a worker that is or was ready.
    pub(super) fn watch(&self) -> Option<&Watch> {
        match self {
            Self::Ready(serving) => Some(&serving.watch),
            Self::Retiring(retirement) => Some(&retirement.watch),
            Self::Empty | Self::Forking { .. } | Self::Starting { .. } | Self::Killed { .. } => {
                None
            }
        }
    }

    pub(super) fn watch_mut(&mut self) -> Option<&mut Watch> {
        match self {
            Self::Ready(serving) => Some(&mut serving.watch),
            Self::Retiring(retirement) => Some(&mut retirement.watch),
            Self::Empty | Self::Forking { .. } | Self::Starting { .. } | Self::Killed { .. } => {
                None
            }
        }
    }

    pub(super) fn serving(&self) -> Option<&Serving> {
        match self {
            Self::Ready(serving) => Some(serving),
            Self::Empty
            | Self::Forking { .. }
            | Self::Starting { .. }
            | Self::Retiring(_)
            | Self::Killed { .. } => None,
        }
    }

    pub(super) fn state(&self) -> SlotState {
        match self {
            Self::Empty => SlotState::Empty,
            Self::Forking { .. } | Self::Starting { .. } => SlotState::Starting,
            Self::Ready(_) => SlotState::Ready,
            Self::Retiring(_) => SlotState::Retiring,
            Self::Killed { .. } => SlotState::Killed,
        }
    }

    /// The earliest time at which a tick has something to do for this slot.
    pub(super) fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Starting {
                deadline,
                proof: Proof::Alive(at),
                ..
            } => Some(deadline.map_or(*at, |deadline| deadline.min(*at))),
            Self::Starting {
                deadline,
                proof: Proof::Pending | Proof::Accept,
                ..
            } => *deadline,
            Self::Retiring(retirement) => {
                let kills = retirement.kill_at.into_iter().chain(retirement.start_by);
                kills.chain([retirement.wake_at]).min()
            }
            Self::Empty | Self::Forking { .. } | Self::Ready(_) | Self::Killed { .. } => None,
        }
    }

    /// When a worker must be ready that certainly accepts nothing before.
    pub(super) fn start_by(&self) -> Option<Duration> {
        match self {
            Self::Starting {
                deadline,
                proof: Proof::Pending | Proof::Accept,
                ..
            } => *deadline,
            Self::Starting {
                proof: Proof::Alive(_),
                ..
            }
            | Self::Empty
            | Self::Forking { .. }
            | Self::Ready(_)
            | Self::Retiring(_)
            | Self::Killed { .. } => None,
        }
    }

    /// Postpones all deadlines by the time during which the manager was stopped.
    pub(super) fn postpone(&mut self, by: Duration) {
        match self {
            Self::Starting {
                deadline, proof, ..
            } => {
                if let Some(at) = deadline {
                    *at += by;
                }
                if let Proof::Alive(at) = proof {
                    *at += by;
                }
            }
            Self::Ready(serving) => serving.watch.postpone(by),
            Self::Retiring(retirement) => {
                retirement.watch.postpone(by);
                retirement.wake_at += by;
                for at in [&mut retirement.kill_at, &mut retirement.start_by] {
                    *at = at.map(|at| at.saturating_add(by));
                }
            }
            Self::Empty | Self::Forking { .. } | Self::Killed { .. } => {}
        }
    }
}
