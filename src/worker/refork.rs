//! A worker is asked to fork a template of itself (option `refork_after`).

use parking_lot::Mutex;

use crate::error::Result;
use crate::sys::fd::packets::{Packets, Received};

/// What became of the request to fork a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refork {
    /// This process continues as it was.
    Unchanged,
    /// This process is a new worker, a copy of the template.
    NewWorker,
    /// The host forks, when accept returns.
    HostForks,
}

/// What a worker does that is asked to fork a template.
pub(crate) type ForkTemplate = fn() -> Result<Refork>;

/// The connection on which the manager asks, and what the worker does then.
#[derive(Debug)]
pub(crate) struct Orders {
    connection: Mutex<Option<Packets>>,
    fork: ForkTemplate,
}

impl Orders {
    pub(crate) const fn new(connection: Packets, fork: ForkTemplate) -> Self {
        Self {
            connection: Mutex::new(Some(connection)),
            fork,
        }
    }

    /// Does what the manager asks for.
    ///
    /// # Errors
    /// This process is a new worker whose start has failed.
    pub(super) fn fork_template(&self) -> Result<Refork> {
        (self.fork)()
    }

    /// The connection of the template that is to be forked, if one is. Of several requests only the last
    /// one counts: the manager has given up the others.
    pub(crate) fn take(&self) -> Option<Packets> {
        let connection = self.connection.lock();
        let mut latest = None;
        while let Ok(Received::Packet(_, descriptors)) = connection
            .as_ref()?
            .receive(Some(std::time::Duration::ZERO))
        {
            latest = descriptors.into_iter().next().map(Packets::from_fd);
        }
        latest
    }

    /// In a copy of the worker.
    pub(crate) fn close(&self) {
        self.connection.lock().take();
    }
}
