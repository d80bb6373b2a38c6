//! How many descriptors the manager needs for its workers, and what it does when the limit is lower.
//!
//! A manager of programs has the process for itself, and raises its own soft limit; the programs get the one
//! back that it was started with. In a host the limit is the host's (select(2) knows no descriptor beyond
//! 1,023), so it is only named.

use crate::error::{Code, Error, Result};
use crate::manager::event::Event;
use crate::manager::event_loop::EventLoop;
use crate::manager::setup::Settings;
use crate::pool;
use crate::sys::process::{self, FileLimit};

/// What the manager opens for itself: pipes, queues, the scoreboard, the pid file.
const OWN: usize = 16;

/// Left for connections that are handed over, refused or ended, and for what the host opens.
const RESERVE: usize = 64;

/// What is known of descriptors when the manager starts.
#[derive(Debug)]
pub(in crate::manager) struct Descriptors {
    /// The limit that this process was started with.
    original: FileLimit,
    /// Those that are not for a single worker.
    shared: usize,
    are_programs: bool,
}

impl Descriptors {
    /// Makes room for the workers that the options ask for. A line for the log comes back where there is not
    /// enough and the limit is the host's.
    ///
    /// # Errors
    /// [`Code::Descriptors`]: the hard limit does not suffice for a program's workers.
    pub(in crate::manager) fn make_room(settings: &Settings) -> Result<(Self, Option<String>)> {
        let this = Self {
            original: FileLimit::now(),
            shared: process::open_descriptors() + OWN + RESERVE,
            are_programs: settings.program.is_some(),
        };
        match this.room_for(settings.pool.processes, &settings.pool) {
            Ok(()) => Ok((this, None)),
            Err(lack) if this.are_programs => Err(Error::new(Code::Descriptors, lack)),
            Err(lack) => Ok((this, Some(lack))),
        }
    }

    /// In a worker that is about to become a program.
    pub(in crate::manager) fn restore_limit(&self) {
        // To lower it takes no right.
        let _ = self.original.set();
    }

    /// Sees to it that so many workers can be had.
    ///
    /// # Errors
    /// What they need, and what there is.
    fn room_for(&self, workers: usize, pool: &pool::Config) -> std::result::Result<(), String> {
        let all = workers + pool.surge(workers);
        let needed = self.shared
            + match self.are_programs {
                // While it starts: its pidfd, its standard error, its region of the scoreboard, and the pipe that tells
                // of its exec. The first three stay, of a program that says nothing of itself, and behind a reload the
                // whole old generation may still be there.
                true => (4 * all).max(3 * (workers + all)),
                // Its standard error only while it starts.
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
        let plural = if workers == 1 { "" } else { "s" };
        Err(format!(
            "the manager of {workers} worker{plural} may need {needed} open files, and its {which} (RLIMIT_NOFILE) is {most}"
        ))
    }
}

impl EventLoop {
    pub(in crate::manager) fn may_grow_by_one(&mut self) -> bool {
        let most = self.pool.most() + 1;
        most > self.settings.pool.max_processes || self.may_grow_to(most)
    }

    /// Whether the pool may grow to so many workers; if not, that is told.
    pub(in crate::manager) fn may_grow_to(&mut self, workers: usize) -> bool {
        let descriptors = &self.parts.descriptors;
        let Err(lack) = descriptors.room_for(workers, &self.settings.pool) else {
            return true;
        };
        let refused = descriptors.are_programs;
        let stays = match refused {
            true => format!(": the number of workers stays at {}", self.pool.most()),
            false => String::new(),
        };
        self.publish(Event::notice(lack + &stays));
        !refused
    }
}
