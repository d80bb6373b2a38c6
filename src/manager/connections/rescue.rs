//! A clean end for the client of a worker that is killed during its request.
//!
//! Before the kill the manager copies the connection, so that the death of the worker does not reset
//! it. After its death the page of the worker no longer changes, and shows how much of the response was
//! sent.

use super::closing::ClosingSet;
use crate::conn::timeout_response;
use crate::manager::children::Children;
use crate::sys::fd::worker_fd::WorkerFd;
use crate::worker::{Details, Page, Scoreboard, Snapshot};

/// The application status in END_REQUEST for an application that was killed: as shells report SIGKILL.
const APP_STATUS: u32 = 128 + 9;

/// The connections of workers that are being killed.
#[derive(Debug, Default)]
pub(crate) struct Rescues(Vec<Rescue>);

#[derive(Debug)]
struct Rescue {
    slot: usize,
    connection: WorkerFd,
    request: u64,
}

impl Rescues {
    /// Copies the connection that a worker serves. The worker chose its number, so the disposable
    /// process that ends the response checks what it is.
    pub(crate) fn begin(
        &mut self,
        slot: usize,
        children: &mut Children,
        page: &Page,
        closing: &mut ClosingSet,
    ) {
        let Some((snapshot, details)) = current_request(page) else {
            return;
        };
        let connection = children.take_socket(slot, details.fd);
        if let Some(before) = self.remove(slot) {
            closing.close(before.connection);
        }
        self.0.extend(connection.map(|connection| Rescue {
            slot,
            connection,
            request: snapshot.request,
        }));
    }

    /// The worker is dead: ends its response, if that is possible.
    pub(crate) fn end(&mut self, slot: usize, scoreboard: &Scoreboard, closing: &mut ClosingSet) {
        let Some(rescue) = self.remove(slot) else {
            return;
        };
        match current_request(scoreboard.page(slot)) {
            // In the middle of a record there is no clean end.
            Some((snapshot, details))
                if snapshot.request == rescue.request && !details.mid_record =>
            {
                let records = timeout_response::records(details.id, details.begun, APP_STATUS);
                closing.end(rescue.connection, records);
            }
            // The request may have ended before the kill.
            Some(_) | None => closing.close(rescue.connection),
        }
    }

    fn remove(&mut self, slot: usize) -> Option<Rescue> {
        let at = self.0.iter().position(|rescue| rescue.slot == slot)?;
        Some(self.0.swap_remove(at))
    }
}

/// The request that a worker serves, by its own page.
pub(crate) fn current_request(page: &Page) -> Option<(Snapshot, Details)> {
    let snapshot = page.snapshot()?;
    let details = page.details(&snapshot)?;
    Some((snapshot, details))
}
