//! Connections that others may have in their hands, closed by disposable processes: a last close can wait for
//! the peer, and so can any call on a socket that a worker has as well.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, RawFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::manager::event_loop::{EventLoop, Source};
use crate::sys::fd::poll;
use crate::sys::fd::worker_fd::{HeldFd, WorkerFd};
use crate::sys::process::disposable::{Disposable, Prepared};
use crate::sys::socket::listeners::Listener;

/// How long peers may take to read the end of their responses.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long anything else may take.
const QUICK: Duration = Duration::from_secs(1);

/// Disposable processes at once, at most.
const PROCESSES_MAX: usize = 32;

/// How often one is looked for that has nothing open, and has not ended.
const LOOK: Duration = Duration::from_millis(20);

/// A connection with the last records of its response.
#[derive(Debug)]
struct Ending {
    connection: WorkerFd,
    records: Vec<u8>,
}

/// What is to be closed, and who is at it.
#[derive(Debug, Default)]
pub(in crate::manager) struct Closing {
    endings: Vec<Ending>,
    plain: Vec<WorkerFd>,
    processes: Vec<Running>,
}

/// A disposable process.
#[derive(Debug)]
struct Running {
    process: Disposable,
    /// The worker of this slot and pid waits for it.
    passes_for: Option<(usize, i32)>,
    /// It has closed everything.
    has_ended: bool,
}

impl Closing {
    /// Has a connection closed.
    pub(in crate::manager) fn close(&mut self, connection: impl Into<WorkerFd>) {
        self.plain.push(connection.into());
    }

    /// Has these last records sent on a connection, and has it closed when its peer has read them: with something
    /// unread, a close would reset what was sent.
    pub(in crate::manager) fn end(&mut self, connection: impl Into<WorkerFd>, records: Vec<u8>) {
        self.endings.push(Ending {
            connection: connection.into(),
            records,
        });
    }

    /// What another process needs, if there may be one.
    pub(in crate::manager) fn prepare(&self) -> Option<Prepared> {
        self.has_room().then(|| Prepared::new().ok()).flatten()
    }

    /// Whether there may be another process.
    pub(in crate::manager) fn has_room(&self) -> bool {
        self.processes.len() < PROCESSES_MAX
    }

    /// A disposable process has begun.
    pub(in crate::manager) fn add(
        &mut self,
        process: Disposable,
        passes_for: Option<(usize, i32)>,
    ) {
        process.release();
        self.processes.push(Running {
            process,
            passes_for,
            has_ended: false,
        });
    }

    /// What becomes readable when a process has ended.
    pub(in crate::manager) fn watched(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let running = self.processes.iter().filter(|one| !one.has_ended);
        running.map(|one| one.process.channel())
    }

    /// How long a wait may last until a process is to be looked for.
    pub(in crate::manager) fn look_within(&self) -> Option<Duration> {
        let is_ending = self.processes.iter().any(|one| one.has_ended);
        is_ending.then_some(LOOK)
    }
}

impl EventLoop {
    /// Looks for disposable processes that have ended.
    pub(in crate::manager) fn reap_disposable(&mut self, ready: &[Source]) {
        if self.closing.processes.is_empty() {
            return;
        }
        let told = ready.contains(&Source::Disposable);
        let mut ended = Vec::new();
        self.closing.processes.retain_mut(|one| {
            let is_gone = one.process.has_ended();
            if is_gone || (told && is_at_its_end(one.process.channel())) {
                one.has_ended = true;
                ended.extend(one.passes_for.take());
            }
            !is_gone
        });
        for (slot, pid) in ended {
            // It may have been ended in the middle.
            if self.workers.get(slot).is_some_and(|one| one.pid == pid) {
                self.page(slot).offers().abort_taking();
            }
            self.handed_over = true;
        }
    }

    /// Has everything closed that is to be.
    pub(in crate::manager) fn close_apart(&mut self) {
        let plain = std::mem::take(&mut self.closing.plain);
        if !plain.is_empty() {
            let keep: Vec<_> = plain.iter().map(WorkerFd::number).collect();
            let started = self.apart(QUICK, keep, plain, |_| ());
            if let Err(plain) = started {
                plain.into_iter().for_each(WorkerFd::close_here);
            }
        }
        let endings = std::mem::take(&mut self.closing.endings);
        if !endings.is_empty() {
            let keep: Vec<_> = endings.iter().map(|one| one.connection.number()).collect();
            let listeners = std::mem::take(&mut self.parts.listeners);
            let started = self.apart(PATIENCE, keep, endings, |endings| {
                end_all(endings, &listeners);
            });
            self.parts.listeners = listeners;
            if let Err(endings) = started {
                let connections = endings.into_iter().map(|one| one.connection);
                connections.for_each(WorkerFd::close_here);
            }
        }
    }

    /// Has a disposable process keep the hand-over queue open until the result is dropped: this process must not be
    /// the last to close it where something is in it.
    pub(in crate::manager) fn keep_queue(&self) -> Option<Disposable> {
        let (send, receive) = &self.parts.handover;
        let mut queued = Vec::new();
        poll::wait(
            std::iter::once(receive.as_fd()),
            Some(Duration::ZERO),
            &mut queued,
        );
        if queued.is_empty() {
            return None;
        }
        let keep = [send.as_raw_fd(), receive.as_raw_fd()];
        let prepared = Prepared::new().ok()?;
        prepared.start(PATIENCE, keep, (), |()| ()).ok()
    }

    /// Has a disposable process do this. Where none can be had, what it was to work on comes back.
    fn apart<T>(
        &mut self,
        limit: Duration,
        keep: Vec<RawFd>,
        subject: T,
        work: impl FnOnce(T),
    ) -> Result<(), T> {
        let Some(prepared) = self.closing.prepare() else {
            return Err(subject);
        };
        let process = prepared.start(limit, keep, subject, work)?;
        self.closing.add(process, None);
        Ok(())
    }
}

fn is_at_its_end(channel: BorrowedFd<'_>) -> bool {
    let mut watched = [PollFd::new(channel, PollFlags::POLLIN)];
    poll(&mut watched, PollTimeout::ZERO) == Ok(1)
}

/// In a disposable process: sends what is left to send, and waits until the peers have read it. It does not close:
/// when it ends, everything is closed at once, and nothing waits.
fn end_all(endings: Vec<Ending>, listeners: &[Listener]) {
    let (mut open, mut done) = (Vec::new(), Vec::new());
    for Ending {
        connection,
        records,
    } in endings
    {
        match connection.accepted_by(listeners) {
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
pub(in crate::manager) fn wait_for_ends(mut open: Vec<HeldFd>) {
    let mut done = Vec::new();
    while !open.is_empty() {
        let mut watched: Vec<_> = open
            .iter()
            .map(|held| PollFd::new(held.as_fd(), PollFlags::POLLIN))
            .collect();
        // Its time is limited from outside.
        let waited = poll(&mut watched, PollTimeout::NONE);
        debug_assert!(waited.is_ok(), "no signal but the last one comes");
        let readable: Vec<_> = watched.iter().map(|one| one.any() == Some(true)).collect();
        for (position, _) in readable.iter().enumerate().rev().filter(|(_, is)| **is) {
            if open[position].discard() {
                done.push(open.swap_remove(position));
            }
        }
    }
    std::mem::forget(done);
}
