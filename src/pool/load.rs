//! The load, as far as it is known.

use std::time::Duration;

use super::config::{Config, Sizing};

/// The time between two polls of a growing pool.
pub(super) const GROWTH_PAUSE: Duration = Duration::from_millis(50);

/// The load, as far as it is known.
#[derive(Debug)]
pub(super) struct Load {
    /// The maximum number of workers.
    pub(super) most: usize,
    /// How many workers the next growth adds.
    pub(super) step: usize,
    /// A connection was seen to wait since the last poll.
    pub(super) connection: bool,
    /// A worker has changed its state since the last poll.
    pub(super) changed: bool,
    /// Polls in a row at which a connection waited and no worker had changed.
    pub(super) unserved: u32,
    /// When to check the effect of the last change.
    pub(super) follow_up: Option<Duration>,
    /// No idle worker is retired before this time.
    pub(super) shrink_at: Duration,
    /// When to poll the listening socket again.
    pub(super) watch: Option<Duration>,
}

impl Load {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            most: config.processes.max(1),
            step: 1,
            connection: false,
            changed: false,
            unserved: 0,
            follow_up: None,
            shrink_at: Duration::ZERO,
            watch: None,
        }
    }

    pub(super) fn initial(&self, config: &Config) -> usize {
        match config.sizing {
            Sizing::Static => self.most,
            Sizing::Dynamic {
                start, min_spare, ..
            } => {
                let wanted = if start == 0 { min_spare } else { start };
                wanted.clamp(1, self.most)
            }
            Sizing::OnDemand { .. } => 0,
        }
    }

    /// A worker has become ready. A request may have been waiting for it.
    pub(super) fn worker_ready(&mut self, now: Duration, sizing: Sizing) {
        self.changed = true;
        match sizing {
            Sizing::Dynamic { .. } => self.follow_up_by(now + GROWTH_PAUSE),
            Sizing::Static | Sizing::OnDemand { .. } => {}
        }
    }

    /// A poll found a worker in another state.
    pub(super) fn worker_changed(&mut self) {
        self.changed = true;
    }

    /// A worker died young: growth starts again with a small step.
    pub(super) fn worker_failed(&mut self) {
        self.step = 1;
    }

    /// Whether a connection was seen to wait since the last poll.
    pub(super) fn connection_waits(&self) -> bool {
        self.connection
    }

    pub(super) fn follow_up_by(&mut self, at: Duration) {
        self.follow_up = Some(self.follow_up.map_or(at, |follow_up| follow_up.min(at)));
    }
}
