//! A clean end for the client of a worker that is killed in the middle of its request.
//!
//! Before the kill the manager takes a copy of the connection, so that the worker's death does not
//! reset it. When the worker is dead, its page changes no more, and says how far the response was.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{MsgFlags, Shutdown, send, shutdown};

use super::shell::{Shell, Source};
use crate::server::cut_off;
use crate::server::supervision::{Details, Look};
use crate::sys::io;

/// What END_REQUEST says of an application that was killed: as a shell puts SIGKILL.
const APP_STATUS: u32 = 128 + 9;

/// How long the peer may take to read the end before the connection is closed.
const PATIENCE: Duration = Duration::from_secs(2);

/// Connections that are seen off at most; the oldest goes first.
const FAREWELLS_MAX: usize = 256;

/// A connection that was taken over from a worker that is about to die.
#[derive(Debug)]
pub(super) struct Rescue {
    connection: OwnedFd,
    request: u64,
}

/// A connection that has been ended, and is closed when its peer has read that.
#[derive(Debug)]
pub(super) struct Farewell {
    connection: OwnedFd,
    pub(super) until: Duration,
}

impl Farewell {
    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

impl Shell {
    /// Takes the connection over that a worker serves. The number is the worker's word, so what is
    /// behind it is looked at: only a connection that came in by a listening socket counts.
    pub(super) fn begin_rescue(&mut self, slot: usize) {
        let Some((look, details)) = self.request_in(slot) else {
            return;
        };
        let worker = &mut self.workers[slot];
        let taken = worker
            .child
            .as_ref()
            .and_then(|child| child.take_descriptor(details.fd));
        let listeners = &self.parts.listeners;
        worker.rescue = taken
            .filter(|fd| listeners.iter().any(|one| one.accepted(fd.as_fd())))
            .map(|connection| Rescue {
                connection,
                request: look.request,
            });
    }

    /// The request that the worker in a slot runs, by its own word.
    pub(super) fn request_in(&self, slot: usize) -> Option<(Look, Details)> {
        let page = self.page(slot);
        let look = page.look()?;
        let details = page.details(&look)?;
        Some((look, details))
    }

    /// The worker is dead: ends the response that it left behind.
    pub(super) fn end_rescue(&mut self, slot: usize) {
        let Some(Rescue {
            connection,
            request,
        }) = self.workers[slot].rescue.take()
        else {
            return;
        };
        // It may have come to the end by itself.
        let Some((_, details)) = self
            .request_in(slot)
            .filter(|(look, _)| look.request == request)
        else {
            return;
        };
        // In the middle of a record there is no clean end.
        if details.mid_record {
            return;
        }
        let ending = cut_off::ending(details.id, details.begun, APP_STATUS);
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        if send(connection.as_raw_fd(), &ending, flags) != Ok(ending.len()) {
            return;
        }
        self.farewell(connection);
    }

    /// Closes a connection to which its last records were sent, when its peer has read them: with something
    /// unread, a close would reset what was sent.
    pub(super) fn farewell(&mut self, connection: OwnedFd) {
        let _ = shutdown(connection.as_raw_fd(), Shutdown::Write);
        if !discard(&connection) {
            if self.farewells.len() >= FAREWELLS_MAX {
                self.farewells.remove(0);
            }
            let until = self.now() + PATIENCE;
            self.farewells.push(Farewell { connection, until });
        }
    }

    /// Closes the connections whose peers have read the end, or do not.
    pub(super) fn see_off(&mut self, ready: &[Source]) {
        if self.farewells.is_empty() {
            return;
        }
        let now = self.now();
        let readable = ready.contains(&Source::Farewell);
        self.farewells.retain(|farewell| {
            farewell.until > now && !(readable && discard(&farewell.connection))
        });
    }
}

/// Throws away what the peer sent; whether its end came.
fn discard(connection: &OwnedFd) -> bool {
    const BOUND: usize = 1 << 20;
    io::discard(connection.as_fd(), &mut [0; 8192], BOUND)
}
