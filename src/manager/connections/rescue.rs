//! A clean end for the client of a worker that is killed in the middle of its request.
//!
//! Before the kill the manager takes a copy of the connection, so that the worker's death does not
//! reset it. When the worker is dead, its page changes no more, and says how far the response was.

use crate::conn::timeout_response;
use crate::manager::event_loop::EventLoop;
use crate::sys::fd::worker_fd::{Taken, WorkerFd};
use crate::worker::{Details, Snapshot};

/// What END_REQUEST says of an application that was killed: as a shell puts SIGKILL.
const APP_STATUS: u32 = 128 + 9;

/// Descriptors that workers exchanged while they were taken, at most: each stays open.
const EXCHANGED_MAX: usize = 16;

/// A connection that was taken over from a worker that is about to die.
#[derive(Debug)]
pub(in crate::manager) struct Rescue {
    connection: WorkerFd,
    request: u64,
}

impl EventLoop {
    /// Takes the connection over that a worker serves. The number is the worker's word: what is behind it is
    /// looked at by the disposable process that ends the response.
    pub(in crate::manager) fn begin_rescue(&mut self, slot: usize) {
        let Some((look, details)) = self.request_in(slot) else {
            return;
        };
        let rescue = self.take_socket(slot, details.fd).map(|connection| Rescue {
            connection,
            request: look.request,
        });
        let before = std::mem::replace(&mut self.workers[slot].rescue, rescue);
        if let Some(Rescue { connection, .. }) = before {
            self.closing.close(connection);
        }
    }

    /// A copy of a worker's socket. Who put something else in its place is never asked again.
    pub(in crate::manager) fn take_socket(&mut self, slot: usize, number: i32) -> Option<WorkerFd> {
        let worker = &mut self.workers[slot];
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

    /// The request that the worker in a slot runs, by its own word.
    pub(in crate::manager) fn request_in(&self, slot: usize) -> Option<(Snapshot, Details)> {
        let page = self.page(slot);
        let look = page.snapshot()?;
        let details = page.details(&look)?;
        Some((look, details))
    }

    /// The worker is dead: ends the response that it left behind.
    pub(in crate::manager) fn end_rescue(&mut self, slot: usize) {
        let Some(Rescue {
            connection,
            request,
        }) = self.workers[slot].rescue.take()
        else {
            return;
        };
        let details = self.request_in(slot);
        match details {
            // In the middle of a record there is no clean end.
            Some((look, details)) if look.request == request && !details.mid_record => {
                let records = timeout_response::ending(details.id, details.begun, APP_STATUS);
                self.closing.end(connection, records);
            }
            // It may have come to the end by itself.
            Some(_) | None => self.closing.close(connection),
        }
    }
}
