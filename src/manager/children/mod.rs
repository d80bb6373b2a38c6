//! The worker processes of the manager, by slot: their pidfds, and what they report by pipes.

mod exec_status;
mod fork;
pub(super) mod guardian;
mod memory;
mod startup_output;

use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

pub(super) use exec_status::{ExecFailure, ExecStatus};
pub(super) use fork::{ChildsEnds, Forking, Newborn, stderr_pipe};
pub(super) use startup_output::{OutputPause, StartupOutput};

use self::memory::Measured;
use self::startup_output::Forwarded;
use crate::manager::watch::{REAP_INTERVAL, Ready, Source, Watch};
use crate::pool::Exit;
use crate::sys::fd::io;
use crate::sys::fd::packets::Packets;
use crate::sys::fd::sent_copy::CopyInbox;
use crate::sys::fd::worker_fd::{Taken, WorkerFd};
use crate::sys::process::child::{Child, Ended};
use crate::sys::signal::wakeup::WAKE_SIGNAL;
use crate::worker::{Page, Snapshot};

/// How often children are checked of whose exit neither a pidfd nor a signal notifies the manager.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// The maximum number of descriptors that workers exchanged while they were copied: each stays open.
const EXCHANGED_MAX: usize = 16;

#[derive(Debug)]
pub(super) struct Children {
    slots: Vec<Worker>,
    /// Output of former workers: a child of theirs may still write.
    detached: Vec<StartupOutput>,
    output_pause: OutputPause,
    /// Descriptors that workers exchanged while they were copied.
    exchanged: usize,
    /// SIGCHLD wakes the manager for a worker without a pidfd.
    has_sigchld: bool,
}

/// The worker in a slot, or the last one that was there.
#[derive(Debug, Default)]
struct Worker {
    pid: i32,
    /// `None` after its exit.
    child: Option<Child>,
    /// The wait status of the last one.
    status: i32,
    output: Option<StartupOutput>,
    /// Closed when the worker has executed its program.
    exec_status: Option<OwnedFd>,
    /// Why it could not.
    exec_failure: Option<String>,
    /// Here it is asked to fork a template.
    orders: Option<Packets>,
    /// Here it sends a copy of its connection.
    copies: Option<CopyInbox>,
    /// Its page when it was last reported to the pool.
    snapshot: Option<Snapshot>,
    /// Its count of offered connections when it was last polled.
    offers: u32,
    measured: Option<Measured>,
    /// No descriptor can, or may, be copied from it.
    fd_access_denied: bool,
}

/// How a process ended, in the pool's terms.
pub(super) const fn exit_of(ended: Ended) -> Exit {
    match ended {
        Ended::Status(status) if libc::WIFSIGNALED(status) => Exit::Signal(libc::WTERMSIG(status)),
        Ended::Status(status) => Exit::Code(libc::WEXITSTATUS(status)),
        Ended::Unknown => Exit::Unknown,
    }
}

impl Children {
    pub(super) fn new(has_sigchld: bool) -> Self {
        Self {
            slots: Vec::new(),
            detached: Vec::new(),
            output_pause: OutputPause::default(),
            exchanged: 0,
            has_sigchld,
        }
    }

    pub(super) fn watch<'a>(&'a self, watch: &mut Watch<'a>) {
        let from = Some(self.output_pause.end());
        for (slot, worker) in self.slots.iter().enumerate() {
            let pipe = worker.output.iter().filter_map(StartupOutput::pipe);
            watch.add_from(from, Source::Output(slot), pipe);
        }
        let detached = self.detached.iter().filter_map(StartupOutput::pipe);
        watch.add_from(from, Source::DetachedOutput, detached);
        for (slot, worker) in self.slots.iter().enumerate() {
            if let Some(pipe) = &worker.exec_status {
                watch.add(Source::ExecStatus(slot), pipe.as_fd());
            }
        }
        for (slot, child) in self.iter() {
            match child.pidfd() {
                Some(_) if child.is_held() => watch.until(Some(watch.now() + REAP_INTERVAL)),
                Some(pidfd) => watch.add(Source::Child(slot), pidfd),
                None if self.has_sigchld => {}
                None => watch.until(Some(watch.now() + CHECK_INTERVAL)),
            }
        }
    }

    /// The workers that have not been reaped.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Child)> {
        let children = self.slots.iter().enumerate();
        children.filter_map(|(slot, worker)| Some((slot, worker.child.as_ref()?)))
    }

    /// The number of slots that have had a worker.
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// The pid of the worker in a slot, or of the last one; 0: there was none.
    pub(super) fn pid(&self, slot: usize) -> i32 {
        self.slots.get(slot).map_or(0, |worker| worker.pid)
    }

    /// The wait status of the last worker in a slot.
    pub(super) fn status(&self, slot: usize) -> i32 {
        self.slots.get(slot).map_or(0, |worker| worker.status)
    }

    fn child(&self, slot: usize) -> Option<&Child> {
        self.slots.get(slot)?.child.as_ref()
    }

    pub(super) fn signal(&self, slot: usize, signal: i32) {
        if let Some(child) = self.child(slot) {
            child.signal(signal);
        }
    }

    /// Interrupts a worker's wait, so that it reads its page. A worker that only serves requests reads
    /// it after each of them, and a signal would end the application's own select(2), which is never
    /// restarted (signal(7)).
    pub(super) fn wake(&self, slot: usize, page: &Page) {
        if !page.only_serves() {
            self.signal(slot, WAKE_SIGNAL);
        }
    }

    /// Kills a worker, and with `group` all of its process group.
    pub(super) fn kill(&self, slot: usize, group: bool) {
        match self.child(slot) {
            Some(child) if group => child.kill_group(),
            Some(child) => child.signal(libc::SIGKILL),
            None => {}
        }
    }

    /// Forwards what workers wrote to standard error before they were ready.
    pub(super) fn forward_output(&mut self, ready: &Ready, now: Duration) {
        for source in ready.sources() {
            if let Source::Output(slot) = source {
                if let Some(output) = self.slots.get_mut(slot).and_then(|w| w.output.as_mut()) {
                    self.output_pause.note(output.forward(), now);
                }
            }
        }
        if ready.has(Source::DetachedOutput) {
            self.detached.retain_mut(|output| {
                let forwarded = output.forward();
                self.output_pause.note(forwarded, now);
                forwarded != Forwarded::End
            });
        }
    }

    /// Reads what a worker reports of its program.
    pub(super) fn read_exec_status(&mut self, slot: usize) -> ExecStatus {
        let mut bytes = [0; 1_024];
        let Some(worker) = self.slots.get_mut(slot) else {
            return ExecStatus::Pending;
        };
        let Some(pipe) = &worker.exec_status else {
            return ExecStatus::Pending;
        };
        match io::read(pipe.as_fd(), &mut bytes) {
            Ok(io::Received::Nothing) => ExecStatus::Pending,
            Ok(io::Received::Bytes(count)) => {
                let failure = ExecFailure::decode(&bytes[..count]);
                worker.exec_status = None;
                worker.exec_failure = Some(failure.0.to_string());
                ExecStatus::Failed(failure)
            }
            Ok(io::Received::End) | Err(_) => {
                worker.exec_status = None;
                ExecStatus::Executed
            }
        }
    }

    /// Reaps the workers that have exited: those whose pidfd is ready, and those whose exit no pidfd
    /// shows.
    pub(super) fn reap(&mut self, ready: &Ready) -> Vec<(usize, Ended)> {
        // Both iterators ascend by slot.
        let mut exited = ready.sources().filter_map(|source| match source {
            Source::Child(slot) => Some(slot),
            _ => None,
        });
        let mut next = exited.next();
        let mut reaped = Vec::new();
        for (slot, worker) in self.slots.iter_mut().enumerate() {
            let is_ready = next == Some(slot);
            if is_ready {
                next = exited.next();
            }
            let Some(child) = &mut worker.child else {
                continue;
            };
            if is_ready || child.pidfd().is_none() || child.is_held() {
                if let Some(ended) = child.try_wait() {
                    reaped.push((slot, ended));
                }
            }
        }
        reaped
    }

    /// A worker was reaped.
    pub(super) fn remove(&mut self, slot: usize, status: i32) {
        let worker = &mut self.slots[slot];
        worker.child = None;
        worker.status = status;
        worker.exec_status = None;
        worker.orders = None;
        if let Some(output) = &mut worker.output {
            output.forward_rest();
        }
    }

    /// Why a worker could not execute its program, or else the last lines that it wrote.
    pub(super) fn stderr_tail(&self, slot: usize) -> Option<String> {
        let worker = self.slots.get(slot)?;
        let tail = || worker.output.as_ref()?.tail();
        worker.exec_failure.clone().or_else(tail)
    }

    /// The connection on which a worker is asked to fork a template.
    pub(super) fn orders(&self, slot: usize) -> Option<&Packets> {
        self.slots.get(slot)?.orders.as_ref()
    }

    /// Where a worker sends a copy of its connection.
    pub(super) fn copies(&self, slot: usize) -> Option<&CopyInbox> {
        self.slots.get(slot)?.copies.as_ref()
    }

    /// The same, to be closed.
    pub(super) fn take_copies(&mut self, slot: usize) -> Option<CopyInbox> {
        self.slots.get_mut(slot)?.copies.take()
    }

    /// Its page when it was last reported to the pool.
    pub(super) fn snapshot(&self, slot: usize) -> Option<&Snapshot> {
        self.slots.get(slot)?.snapshot.as_ref()
    }

    pub(super) fn set_snapshot(&mut self, slot: usize, snapshot: Option<Snapshot>) {
        self.slots[slot].snapshot = snapshot;
    }

    /// Its count of offered connections when it was last polled.
    pub(super) fn offers(&self, slot: usize) -> u32 {
        self.slots[slot].offers
    }

    pub(super) fn set_offers(&mut self, slot: usize, offers: u32) {
        self.slots[slot].offers = offers;
    }

    /// The private memory of a worker, or an upper bound that is below the limit.
    pub(super) fn private_memory(&mut self, slot: usize, now: Duration, limit: u64) -> Option<u64> {
        let worker = &mut self.slots[slot];
        memory::private_memory(worker.pid, now, limit, &mut worker.measured)
    }

    pub(super) fn is_fd_access_denied(&self, slot: usize) -> bool {
        self.slots[slot].fd_access_denied
    }

    /// No descriptor is copied from this worker any more.
    pub(super) fn deny_fd_access(&mut self, slot: usize) {
        self.slots[slot].fd_access_denied = true;
    }

    /// A copy of a worker's socket. From a worker that exchanges the descriptor meanwhile, nothing is
    /// copied any more.
    pub(super) fn take_socket(&mut self, slot: usize, number: i32) -> Option<WorkerFd> {
        let worker = self.slots.get_mut(slot)?;
        if worker.fd_access_denied || self.exchanged >= EXCHANGED_MAX {
            return None;
        }
        match WorkerFd::take(worker.child.as_ref()?, number) {
            Taken::Socket(socket) => Some(socket),
            Taken::Nothing => None,
            Taken::Exchanged => {
                worker.fd_access_denied = true;
                self.exchanged += 1;
                None
            }
        }
    }
}
