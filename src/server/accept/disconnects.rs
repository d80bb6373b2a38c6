//! Clients that disconnected while their request waited: it is not run.
//!
//! The check costs a system call. So it is made only where a client may have waited for long: after a
//! request that took long, while the worker started, and now and then. One that has disconnected is
//! seldom the only one.

use std::os::fd::AsFd as _;
use std::time::Duration;

use crate::options::{Opt, Options};
use crate::server::connection::{Connection, Parked};
use crate::server::first_record::FirstRecord;
use crate::sys::clock;
use crate::sys::fd::io::{self, Ends};
use crate::sys::fd::listen_fd::ListenFd;
use crate::sys::log::{self, Level};
use crate::sys::socket::arrivals;
use crate::worker::{self, LoopStatus};

/// Connections that are checked in a row, once there is a reason to.
const IN_A_ROW: u32 = 256;

/// Without any reason, one in this many is checked.
const ONE_IN: u32 = 64;

/// The minimum time between two log lines.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// What counts as disconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Criterion {
    Nothing,
    /// No response can reach the peer.
    Closed,
    /// The same, or nothing more can come from it.
    End,
}

/// Which connections a loop checks, and what it found.
#[derive(Debug)]
pub(in crate::server) struct DisconnectCheck {
    criterion: Criterion,
    /// Nothing has been accepted.
    is_first: bool,
    /// Connections to check, for whatever reason.
    due: u32,
    /// Connections that were not checked since the last one that was.
    unchecked: u32,
    /// When the application got its last request.
    busy_since: Option<Duration>,
    /// Requests that were not run, and not logged.
    unlogged: u64,
    logged_at: Duration,
}

impl DisconnectCheck {
    pub(in crate::server) fn new(options: &Options) -> Self {
        Self {
            criterion: match options.word(Opt::SkipDisconnected) {
                "no" => Criterion::Nothing,
                "eof" => Criterion::End,
                _ => Criterion::Closed,
            },
            is_first: true,
            due: 0,
            unchecked: 0,
            busy_since: None,
            unlogged: 0,
            logged_at: Duration::ZERO,
        }
    }

    /// The application gets a request.
    #[inline]
    pub(in crate::server) fn request_begins(&mut self) {
        if self.criterion != Criterion::Nothing {
            self.busy_since = Some(clock::recently());
        }
    }

    /// The application asks for the next one.
    #[inline]
    pub(in crate::server) fn request_ended(&mut self) {
        if let Some(since) = self.busy_since.take() {
            let taken = clock::recently().saturating_sub(since);
            // The clock advances in ticks. The second one proves that at least one has passed; the first may
            // come at any time, and is likelier the longer the request was.
            if taken >= 2 * clock::tick() {
                self.due = IN_A_ROW;
            } else if !taken.is_zero() {
                self.due = self.due.max(1);
            }
        }
    }

    /// Whether the peer of a new connection has disconnected, if it is one of those that are checked.
    #[inline]
    pub(super) fn skips(
        &mut self,
        connection: &Connection,
        status: &LoopStatus,
        listener: ListenFd<'_>,
    ) -> bool {
        if std::mem::take(&mut self.is_first) && self.criterion != Criterion::Nothing {
            // They may have waited while the worker started.
            let behind = arrivals::waiting(listener).and_then(|count| u32::try_from(count).ok());
            let waiting = behind.unwrap_or(IN_A_ROW).saturating_add(1);
            self.due = self.due.max(waiting);
        }
        self.unchecked += 1;
        if self.due == 0 && self.unchecked < ONE_IN {
            return false;
        }
        self.unchecked = 0;
        self.due = self.due.saturating_sub(1);
        self.has_disconnected(connection, status)
    }

    /// Whether the peer of a connection has disconnected, of which nothing has been read.
    pub(super) fn has_disconnected(
        &mut self,
        connection: &Connection,
        status: &LoopStatus,
    ) -> bool {
        if self.criterion == Criterion::Nothing {
            return false;
        }
        match io::ends(connection.as_fd()) {
            Ends::Closed => {}
            Ends::Input if self.criterion == Criterion::End => {}
            Ends::Input | Ends::None => return false,
        }
        self.count(connection, status);
        true
    }

    /// Whether a parked connection, which its peer has closed, is to be skipped.
    pub(super) fn skips_parked(&mut self, parked: &Parked, status: &LoopStatus) -> bool {
        if self.criterion == Criterion::Nothing {
            return false;
        }
        // Otherwise it holds the rest of what the last request did not read.
        if parked.framing.is_between_records() {
            self.count(&parked.connection, status);
        }
        true
    }

    /// Counts the request that it sent, if it did.
    fn count(&mut self, connection: &Connection, status: &LoopStatus) {
        let FirstRecord::Request(_) = FirstRecord::of(connection.as_fd()) else {
            return;
        };
        self.due = IN_A_ROW;
        status.disconnected();
        self.unlogged += 1;
        let now = worker::now();
        if now.saturating_sub(self.logged_at) >= LOG_INTERVAL {
            self.logged_at = now;
            self.log_pending();
        }
    }

    /// Logs what was not logged yet.
    pub(in crate::server) fn log_pending(&mut self) {
        let plural = match std::mem::take(&mut self.unlogged) {
            0 => return,
            1 => "a request was not run: its client".to_owned(),
            count => format!("{count} requests were not run: their clients"),
        };
        log::limited(
            Level::Info,
            &format!("{plural} had disconnected (option skip_disconnected)"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_a_request_took_the_more_connections_are_checked_after_it() {
        let due_after = |ticks: u32| {
            let mut disconnects = DisconnectCheck::new(&Options::new());
            disconnects.busy_since = Some(clock::recently() - ticks * clock::tick());
            disconnects.request_ended();
            disconnects.due
        };
        // Another tick may come at any time.
        assert!([1, IN_A_ROW].contains(&due_after(1)));
        assert_eq!(due_after(2), IN_A_ROW);
    }
}
