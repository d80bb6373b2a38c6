//! How many descriptors the manager needs for its workers, and what it does if the limit is lower.
//!
//! A manager of programs owns its process, and raises its soft limit. The programs get the original
//! limit back. In a host the limit is the host's, because select(2) supports no descriptor above
//! 1,023: there a lack is only logged.

use crate::error::{Code, Error, Result};
use crate::manager::event;
use crate::manager::settings::Settings;
use crate::sys::process::{self, FileLimit};

/// What the manager opens for itself: pipes, queues, the scoreboard, the pid file.
const OWN: usize = 16;

/// Left for connections that are handed over, refused or closed, and for the host.
const RESERVE: usize = 64;

/// The descriptors of this process when the manager starts.
#[derive(Debug)]
pub(super) struct Descriptors {
    /// The limit that this process was started with.
    original: FileLimit,
    /// Descriptors that do not belong to one worker.
    shared: usize,
    are_programs: bool,
    /// One more for each worker: the connection on which it sends a copy of its own.
    workers_send_copies: bool,
}

/// Too few descriptors for a number of workers.
#[derive(Debug)]
pub(super) struct Shortage {
    /// For the log.
    pub(super) line: String,
    /// The workers must not be started.
    pub(super) is_fatal: bool,
}

impl Descriptors {
    /// Raises the limit for the workers that the options request. Returns a line for the log if it is
    /// too low and belongs to the host.
    ///
    /// # Errors
    /// [`Code::Descriptors`]: the hard limit is too low for the workers of a program.
    pub(super) fn reserve(
        settings: &Settings,
        workers_send_copies: bool,
    ) -> Result<(Self, Option<String>)> {
        let this = Self {
            original: FileLimit::now(),
            shared: process::open_descriptors() + OWN + RESERVE,
            are_programs: settings.program.is_some(),
            workers_send_copies,
        };
        match this.check(settings.pool.processes, settings) {
            Ok(()) => Ok((this, None)),
            Err(lack) if this.are_programs => Err(Error::new(Code::Descriptors, lack)),
            Err(lack) => Ok((this, Some(lack))),
        }
    }

    /// In a worker that is about to execute a program.
    pub(super) fn restore_limit(&self) {
        // To lower it needs no privilege.
        let _ = self.original.set();
    }

    /// Whether the pool may grow to this many workers. `Err` has a line for the log: it may not, or
    /// it may and the host's limit is too low.
    pub(super) fn check_growth(
        &self,
        workers: usize,
        settings: &Settings,
    ) -> std::result::Result<(), Shortage> {
        self.check(workers, settings).map_err(|line| Shortage {
            line,
            is_fatal: self.are_programs,
        })
    }

    /// Checks the limit for this many workers, and raises it if possible.
    ///
    /// # Errors
    /// What they need, and the limit.
    fn check(&self, workers: usize, settings: &Settings) -> std::result::Result<(), String> {
        let all = workers + settings.pool.surge(workers);
        // Connections to each worker: for a copy that it sends, and for the order to fork a template.
        let has_orders = settings.refork_after.is_some();
        let connections = usize::from(self.workers_send_copies) + usize::from(has_orders);
        let needed = self.shared
            + connections * (workers + all)
            + match self.are_programs {
                // While it starts: its pidfd, its standard error, its region of the scoreboard, and the
                // pipe that reports its exec. The first three stay for a program that reports nothing.
                // After a reload the whole old generation may still exist.
                true => (4 * all).max(3 * (workers + all)),
                // Its pidfd, and its standard error while it starts.
                false => 2 * all,
            };
        let limit = FileLimit::now();
        if limit.soft >= needed as u64 {
            return Ok(());
        }
        let raised = FileLimit {
            soft: needed as u64,
            ..limit
        };
        if self.are_programs && needed as u64 <= limit.hard && raised.set() {
            return Ok(());
        }
        let (which, most) = if self.are_programs {
            ("hard limit", limit.hard)
        } else {
            ("limit", limit.soft)
        };
        let workers = event::count(workers, "worker");
        Err(format!(
            "the manager of {workers} may need {needed} open files, but its {which} (RLIMIT_NOFILE) is {most}"
        ))
    }
}
