//! What the manager waits for, and what the wait found.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::sys::fd::poll::{self, Waited};

/// The time between two attempts to reap a process that has closed everything and not ended yet.
pub(super) const REAP_INTERVAL: Duration = Duration::from_millis(20);

/// What can wake the manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A signal arrived.
    Signals,
    /// A worker notifies the manager: it is ready or exits, has reached a limit, or offers
    /// connections.
    Wake,
    /// A connection waits to be accepted, and the pool may grow.
    Connection,
    /// A connection waits to be accepted, and the pool may not grow.
    Saturation,
    /// A disposable process has ended.
    Disposable,
    /// The process that refuses connections reports something.
    Refuser,
    /// A template reports something, has written to standard error, or has exited.
    Template,
    /// The guardian has ended.
    Guardian,
    /// The admin listener has ended.
    AdminListener,
    /// The backtrace of a slow request is there.
    Backtrace,
    /// The writer of the access log reports something, or has ended.
    LogWriter,
    /// The worker in this slot wrote to standard error.
    Output(usize),
    /// A child of a former worker did.
    DetachedOutput,
    /// The worker in this slot has executed its program, or could not.
    ExecStatus(usize),
    /// The worker in this slot, which is to be killed, has sent a copy of its connection.
    Copy(usize),
    /// The worker in this slot has exited.
    Child(usize),
}

/// What to wait for. Times are the pool's.
#[derive(Debug)]
pub(super) struct Watch<'a> {
    now: Duration,
    watched: Vec<(Source, BorrowedFd<'a>)>,
    deadline: Option<Duration>,
}

/// What a wait found, in the order in which it was watched.
#[derive(Debug)]
pub(super) struct Ready {
    sources: Vec<Source>,
    is_interrupted: bool,
}

impl<'a> Watch<'a> {
    pub(super) const fn new(now: Duration) -> Self {
        Self {
            now,
            watched: Vec::new(),
            deadline: None,
        }
    }

    pub(super) const fn now(&self) -> Duration {
        self.now
    }

    pub(super) fn add(&mut self, source: Source, fd: BorrowedFd<'a>) {
        self.watched.push((source, fd));
    }

    /// Waits no longer than until then; `None` is no limit.
    pub(super) fn until(&mut self, deadline: Option<Duration>) {
        self.deadline = self.deadline.into_iter().chain(deadline).min();
    }

    /// Adds descriptors from a certain time on; `None`: not at all.
    pub(super) fn add_from(
        &mut self,
        from: Option<Duration>,
        source: Source,
        descriptors: impl Iterator<Item = BorrowedFd<'a>>,
    ) {
        match from {
            Some(from) if from <= self.now => {
                self.watched.extend(descriptors.map(|fd| (source, fd)));
            }
            later => self.until(later),
        }
    }

    pub(super) fn wait(self) -> Ready {
        let timeout = self.deadline.map(|at| at.saturating_sub(self.now));
        let mut ready = Vec::new();
        let waited = poll::wait(self.watched.iter().map(|(_, fd)| *fd), timeout, &mut ready);
        let found = ready
            .into_iter()
            .filter_map(|position| self.watched.get(position));
        Ready {
            sources: found.map(|(source, _)| *source).collect(),
            is_interrupted: waited == Waited::Interrupted,
        }
    }
}

impl Ready {
    pub(super) fn has(&self, source: Source) -> bool {
        self.sources.contains(&source)
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = Source> + '_ {
        self.sources.iter().copied()
    }

    /// A signal ended the wait.
    pub(super) const fn is_interrupted(&self) -> bool {
        self.is_interrupted
    }
}
