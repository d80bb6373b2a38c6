//! Clients that hung up while their request waited: it is not run.
//!
//! A look costs a system call, so it is only taken where somebody may have waited for long: behind a
//! request that took its time, while the worker started, and now and then. One that has hung up is seldom the only one.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Duration;

use crate::options::{Opt, Options};
use crate::server::accept::idle_set::Parked;
use crate::server::connection::Link;
use crate::server::first_record::FirstRecord;
use crate::sys::clock;
use crate::sys::fd::io::{self, Ends};
use crate::sys::log::{self, Level};
use crate::sys::socket::arrivals;
use crate::worker;
use crate::worker::LoopStatus;

/// Connections that are looked at in a row, once there is a reason to.
const IN_A_ROW: u32 = 256;

/// Without any reason, one of so many is.
const ONE_OF: u32 = 64;

/// How often there is a line in the log at most.
const SAID: Duration = Duration::from_secs(1);

/// What counts as hung up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Nothing,
    /// No answer can reach the peer.
    Closed,
    /// The same, or nothing more can come from it.
    End,
}

/// Which connections a loop looks at, and what it found.
#[derive(Debug)]
pub(in crate::server) struct HungUp {
    wanted: Wanted,
    /// Nothing has been accepted.
    is_first: bool,
    /// Connections that are looked at, whatever else.
    looks: u32,
    /// The others that came, since one was looked at.
    unseen: u32,
    /// When the application got its last request.
    busy_since: Option<Duration>,
    /// Requests that were not run, and not told of.
    untold: u64,
    said: Duration,
}

impl HungUp {
    pub(in crate::server) fn new(options: &Options) -> Self {
        Self {
            wanted: match options.word(Opt::SkipDisconnected) {
                "no" => Wanted::Nothing,
                "eof" => Wanted::End,
                _ => Wanted::Closed,
            },
            is_first: true,
            looks: 0,
            unseen: 0,
            busy_since: None,
            untold: 0,
            said: Duration::ZERO,
        }
    }

    /// The application gets a request.
    #[inline]
    pub(in crate::server) fn begin(&mut self) {
        if self.wanted != Wanted::Nothing {
            self.busy_since = Some(clock::recently());
        }
    }

    /// The application is back.
    #[inline]
    pub(in crate::server) fn end(&mut self) {
        if let Some(since) = self.busy_since.take() {
            let taken = clock::recently().saturating_sub(since);
            // The clock goes in ticks: the second one says that at least one has passed. The first may come at any
            // time, and the more surely the longer the request was.
            if taken >= 2 * clock::tick() {
                self.looks = IN_A_ROW;
            } else if !taken.is_zero() {
                self.looks = self.looks.max(1);
            }
        }
    }

    /// Whether the peer of a new connection hung up, if it is one of those that are looked at.
    pub(in crate::server) fn is(
        &mut self,
        link: &Link,
        status: &LoopStatus,
        listener: BorrowedFd<'_>,
    ) -> bool {
        if std::mem::take(&mut self.is_first) && self.wanted != Wanted::Nothing {
            // They may have waited while the worker started.
            let behind = arrivals::waiting(listener).and_then(|count| u32::try_from(count).ok());
            let waiting = behind.unwrap_or(IN_A_ROW).saturating_add(1);
            self.looks = self.looks.max(waiting);
        }
        self.unseen += 1;
        if self.looks == 0 && self.unseen < ONE_OF {
            return false;
        }
        self.unseen = 0;
        self.looks = self.looks.saturating_sub(1);
        self.look(link, status)
    }

    /// Whether the peer of a connection hung up, of which nothing has been read.
    pub(in crate::server) fn look(&mut self, link: &Link, status: &LoopStatus) -> bool {
        if self.wanted == Wanted::Nothing {
            return false;
        }
        match io::ends(link.fd.as_fd()) {
            Ends::Closed => {}
            Ends::Input if self.wanted == Wanted::End => {}
            Ends::Input | Ends::None => return false,
        }
        self.count(link, status);
        true
    }

    /// Whether that counts of a connection that stood aside, and is closed.
    pub(in crate::server) fn counts_closed(
        &mut self,
        parked: &Parked,
        status: &LoopStatus,
    ) -> bool {
        if self.wanted == Wanted::Nothing {
            return false;
        }
        // Else the rest of what the last request did not read is there.
        if parked.state.is_between_records() {
            self.count(&parked.link, status);
        }
        true
    }

    /// Counts the request that it sent, if it did.
    fn count(&mut self, link: &Link, status: &LoopStatus) {
        let FirstRecord::Request(_) = FirstRecord::of(link.fd.as_fd()) else {
            return;
        };
        self.looks = IN_A_ROW;
        status.hung_up();
        self.untold += 1;
        let now = worker::now();
        if now.saturating_sub(self.said) >= SAID {
            self.said = now;
            self.tell();
        }
    }

    /// Says what was not said yet.
    pub(in crate::server) fn tell(&mut self) {
        let plural = match std::mem::take(&mut self.untold) {
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
    fn the_longer_a_request_took_the_more_are_looked_at_behind_it() {
        let behind = |ticks: u32| {
            let mut hung_up = HungUp::new(&Options::new());
            hung_up.busy_since = Some(clock::recently() - ticks * clock::tick());
            hung_up.end();
            hung_up.looks
        };
        // Another tick may come at any time.
        assert!([1, IN_A_ROW].contains(&behind(1)));
        assert_eq!(behind(2), IN_A_ROW);
    }
}
