//! Connections that other processes have, or had, closed by disposable processes: a last close may have
//! to wait for the peer, and so may any call on a socket that a worker shares.

use std::os::fd::RawFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::manager::watch::{REAP_INTERVAL, Ready, Source, Watch};
use crate::sys::fd::poll::readable_within;
use crate::sys::fd::sent_copy::CopyInbox;
use crate::sys::fd::worker_fd::{HeldFd, WorkerFd};
use crate::sys::process::disposable::{Disposable, Prepared};
use crate::sys::socket::listeners::Listener;

/// How long peers may take to read the end of their responses.
const READ_LIMIT: Duration = Duration::from_secs(2);

/// How long a process may take to close connections.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// The maximum number of disposable processes at a time.
const PROCESSES_MAX: usize = 32;

/// A connection with the last records of its response.
#[derive(Debug)]
struct Ending {
    copy: ConnectionCopy,
    records: Vec<u8>,
}

/// A copy of the connection that a worker served.
#[derive(Debug)]
pub(crate) enum ConnectionCopy {
    Taken(WorkerFd),
    /// What the worker has sent for this request.
    Sent {
        inbox: CopyInbox,
        request: u64,
    },
}

impl ConnectionCopy {
    fn number(&self) -> RawFd {
        match self {
            Self::Taken(fd) => fd.number(),
            Self::Sent { inbox, .. } => inbox.number(),
        }
    }

    /// In a disposable process: the connection, if one of these sockets accepted it.
    fn accepted_by(self, listeners: &[Listener]) -> Option<HeldFd> {
        let fd = match self {
            Self::Taken(fd) => fd,
            Self::Sent { inbox, request } => {
                let received = inbox.receive(request);
                // The end of the process closes it.
                std::mem::forget(inbox);
                received?
            }
        };
        fd.accepted_by(listeners)
    }
}

/// The worker in this slot, with this pid, waits for a disposable process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claimant {
    pub(crate) slot: usize,
    pub(crate) pid: i32,
}

/// Connections to be closed, and the processes that do it.
#[derive(Debug, Default)]
pub(crate) struct ClosingSet {
    endings: Vec<Ending>,
    plain: Vec<WorkerFd>,
    /// Copies that nobody needs.
    inboxes: Vec<CopyInbox>,
    processes: Vec<Running>,
}

/// A disposable process that has not been reaped.
#[derive(Debug)]
struct Running {
    process: Disposable,
    claimant: Option<Claimant>,
    /// It has closed everything.
    has_ended: bool,
}

impl ClosingSet {
    /// Closes a connection.
    pub(crate) fn close(&mut self, connection: WorkerFd) {
        self.plain.push(connection);
    }

    /// Sends these last records on a connection, and closes it when its peer has read them: a close
    /// with unread data would reset the connection, and lose what was sent.
    pub(crate) fn end(&mut self, copy: ConnectionCopy, records: Vec<u8>) {
        self.endings.push(Ending { copy, records });
    }

    /// Closes the connection on which a worker that has exited may have sent something.
    pub(crate) fn close_inbox(&mut self, inbox: CopyInbox) {
        if !inbox.ends_empty() {
            self.inboxes.push(inbox);
        }
    }

    /// What another process needs, if there may be one.
    pub(crate) fn prepare(&self) -> Option<Prepared> {
        self.has_room().then(|| Prepared::new().ok()).flatten()
    }

    /// Whether there may be another process.
    pub(crate) fn has_room(&self) -> bool {
        self.processes.len() < PROCESSES_MAX
    }

    /// Releases a disposable process, and watches it.
    pub(crate) fn add(&mut self, process: Disposable, claimant: Option<Claimant>) {
        process.release();
        self.processes.push(Running {
            process,
            claimant,
            has_ended: false,
        });
    }

    pub(crate) fn watch<'a>(&'a self, watch: &mut Watch<'a>) {
        for running in &self.processes {
            if running.has_ended {
                watch.until(Some(watch.now() + REAP_INTERVAL));
            } else {
                watch.add(Source::Disposable, running.process.channel());
            }
        }
    }

    /// Reaps the processes that have ended. Returns the workers that waited for them.
    pub(crate) fn reap(&mut self, ready: &Ready) -> Vec<Claimant> {
        let mut claimants = Vec::new();
        let is_ready = ready.has(Source::Disposable);
        self.processes.retain_mut(|one| {
            let is_reaped = one.process.has_ended();
            if is_reaped || (is_ready && readable_within(one.process.channel(), Duration::ZERO)) {
                one.has_ended = true;
                claimants.extend(one.claimant.take());
            }
            !is_reaped
        });
        claimants
    }

    /// Starts the processes that close everything that is to be closed.
    pub(crate) fn close_all(&mut self, listeners: &[Listener]) {
        let plain = std::mem::take(&mut self.plain);
        if !plain.is_empty() {
            let keep: Vec<_> = plain.iter().map(WorkerFd::number).collect();
            if let Err(plain) = self.start(CLOSE_LIMIT, keep, plain, |_| ()) {
                plain.into_iter().for_each(WorkerFd::close_here);
            }
        }
        let endings = std::mem::take(&mut self.endings);
        if !endings.is_empty() {
            let keep: Vec<_> = endings.iter().map(|one| one.copy.number()).collect();
            let work = |endings| end_all(endings, listeners);
            if let Err(endings) = self.start(READ_LIMIT, keep, endings, work) {
                for ending in endings {
                    match ending.copy {
                        ConnectionCopy::Taken(fd) => fd.close_here(),
                        ConnectionCopy::Sent { inbox, .. } => self.inboxes.push(inbox),
                    }
                }
            }
        }
        let inboxes = std::mem::take(&mut self.inboxes);
        if !inboxes.is_empty() {
            let keep: Vec<_> = inboxes.iter().map(CopyInbox::number).collect();
            // Where no process can be started, they stay until one can.
            if let Err(inboxes) = self.start(CLOSE_LIMIT, keep, inboxes, std::mem::forget) {
                self.inboxes = inboxes;
            }
        }
    }

    /// Starts a disposable process for this work. Returns its subject where none can be started.
    fn start<T>(
        &mut self,
        limit: Duration,
        keep: Vec<RawFd>,
        subject: T,
        work: impl FnOnce(T),
    ) -> Result<(), T> {
        let Some(prepared) = self.prepare() else {
            return Err(subject);
        };
        let process = prepared.start(limit, keep, subject, work)?;
        self.add(process, None);
        Ok(())
    }
}

/// In a disposable process: sends the last records, and waits until the peers have read them. It does
/// not close: when the process ends, everything is closed, and nothing waits.
fn end_all(endings: Vec<Ending>, listeners: &[Listener]) {
    let (mut open, mut done) = (Vec::new(), Vec::new());
    for Ending { copy, records } in endings {
        match copy.accepted_by(listeners) {
            Some(held) if held.send(&records) => {
                held.shut_down();
                open.push(held);
            }
            other => done.extend(other),
        }
    }
    wait_for_ends(open);
    std::mem::forget(done);
}

/// In a disposable process: waits until the peers of these have read everything, and have closed.
pub(crate) fn wait_for_ends(mut open: Vec<HeldFd>) {
    let mut done = Vec::new();
    while !open.is_empty() {
        let mut watched: Vec<_> = open
            .iter()
            .map(|held| PollFd::new(held.as_fd(), PollFlags::POLLIN))
            .collect();
        // A timer limits the life of this process.
        let waited = poll(&mut watched, PollTimeout::NONE);
        debug_assert!(
            waited.is_ok(),
            "only the signal of the timer is not blocked"
        );
        let readable: Vec<_> = watched.iter().map(|one| one.any() == Some(true)).collect();
        for (position, _) in readable.iter().enumerate().rev().filter(|(_, is)| **is) {
            if open[position].discard() {
                done.push(open.swap_remove(position));
            }
        }
    }
    std::mem::forget(done);
}
