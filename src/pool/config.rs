//! What a pool is created with.

use std::mem;
use std::time::Duration;

/// What a pool is created with. A reload of the program may change it.
#[derive(Clone, Debug)]
pub struct Config {
    /// The number of workers, or the maximum that [`Sizing`] may choose; at least 1.
    pub processes: usize,
    /// The maximum that [`Event::Resize`](super::Event::Resize) can request.
    pub max_processes: usize,
    /// The number of slots. Every worker has one, retiring workers included.
    pub slots: usize,
    /// Additional workers during a reload; 0: a quarter of the pool, at least 1.
    pub reload_surge: usize,
    /// Pause between the first forks.
    pub start_delay: Duration,
    /// Maximum time from the fork to the first Accept.
    pub start_timeout: Option<Duration>,
    /// A program that was executed ([`WorkerEvent::Executed`](super::WorkerEvent::Executed)) and reports nothing counts as ready
    /// after this time; `None`: only its first Accept counts.
    pub ready_delay: Option<Duration>,
    /// Maximum time from the request to exit to the exit.
    pub die_timeout: Option<Duration>,
    /// Time from [`Event::Drain`](super::Event::Drain) to the stop.
    pub drain_delay: Duration,
    /// How the number of workers is chosen.
    pub sizing: Sizing,
    /// Requests after which a worker is replaced; 0: no limit.
    pub max_requests: u64,
    /// Up to this many more, chosen for each worker.
    pub max_requests_jitter: u64,
    /// Bytes of private memory above which a worker is replaced; 0: no limit.
    pub max_memory: u64,
    /// Age at which a worker is replaced.
    pub max_lifetime: Option<Duration>,
    /// Maximum time for a whole request. Then the worker is notified.
    pub request_timeout: Option<Duration>,
    /// Time from the notice to the kill.
    pub request_timeout_grace: Duration,
    /// A request that takes this long is reported once.
    pub slow_request: Option<Duration>,
    /// Seed of the jitter: the pool has no randomness of its own.
    pub seed: u64,
}

impl Config {
    /// Another configuration, but for what stays during the life of a pool.
    pub(super) fn renewed(&self, config: Self) -> Self {
        let is_same_kind = mem::discriminant(&self.sizing) == mem::discriminant(&config.sizing);
        Self {
            processes: self.processes,
            sizing: if is_same_kind {
                config.sizing
            } else {
                self.sizing
            },
            seed: self.seed,
            ..config
        }
    }

    /// The number of additional workers during a reload or recycling.
    #[must_use]
    pub fn surge(&self, wanted: usize) -> usize {
        match self.reload_surge {
            0 => (wanted / 4).max(1),
            surge => surge,
        }
    }
}

/// How the number of workers is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizing {
    /// Always [`Config::processes`] workers.
    Static,
    /// By load, up to [`Config::processes`] workers.
    Dynamic {
        /// The initial number of workers; 0: `min_spare`.
        start: usize,
        /// With fewer idle workers than this, more are started.
        min_spare: usize,
        /// With more idle workers than this, some are retired.
        max_spare: usize,
    },
    /// None until a connection waits, up to [`Config::processes`] workers.
    OnDemand {
        /// A worker that was idle for this long is retired.
        idle_timeout: Option<Duration>,
    },
}
