//! How many connections may be parked, and what happens when there is no room for more.
//!
//! At the limit the worker watches the listening socket no longer: new connections wait in its queue, and other workers may
//! take them. It watches it while a parked connection has been silent for so long that it can be closed for a
//! newcomer. One that is in use is never closed: its next request may be on its way.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::server::accept::idle_set::{Found, Parking, Standing};
use crate::sys::fd::io::{self, Direction};
use crate::sys::log::{self, Level};
use crate::sys::{clock, process};
use crate::worker::ManagerLink;

/// A connection that has been idle for so long may be closed for another one.
const LONG: Duration = Duration::from_secs(1);

/// The same for one on which nothing has ever arrived: a client that is about to write has done so by then.
const BRIEF: Duration = Duration::from_millis(500);

/// When descriptors have run out, nothing is accepted for this long, unless a connection ends.
const PAUSE: Duration = Duration::from_millis(100);

/// When a connection can be closed for another one.
enum Replaceable {
    /// This one, by its place.
    Now(usize),
    /// One will then, if it stays idle.
    Later(Duration),
    Never,
}

/// What a worker's descriptors leave room for.
#[derive(Debug)]
pub(in crate::server) struct Room {
    /// RLIMIT_NOFILE.
    descriptors: usize,
    /// Descriptors have run out. Until then nothing is accepted.
    exhausted_until: Option<Duration>,
    /// When the connection that has been silent for longest may be closed, or descriptors are tried again. None: there is
    /// room.
    pub(in crate::server) opens_at: Option<Instant>,
    /// The hand-over queue should be watched again, and is not.
    is_queue_unwatched: bool,
    is_told: bool,
}

impl Room {
    pub(in crate::server) fn new() -> Self {
        Self {
            descriptors: process::descriptor_limit(),
            exhausted_until: None,
            opens_at: None,
            is_queue_unwatched: false,
            is_told: false,
        }
    }

    /// Nothing new comes any more.
    pub(in crate::server) fn forget(&mut self) {
        self.opens_at = None;
        self.is_queue_unwatched = false;
    }

    /// Connections from the listening socket: half of the descriptors are the application's.
    fn newcomers(&self) -> usize {
        (self.descriptors / 2).max(1)
    }

    /// With those of workers that exit, who may have as many.
    fn handed_over(&self) -> usize {
        (self.descriptors / 4 * 3).max(1)
    }
}

impl Parking {
    fn is_full(&self) -> bool {
        self.parked.len() >= self.room.newcomers() || self.room.exhausted_until.is_some()
    }

    /// Whether nothing can be received from the hand-over queue.
    pub(in crate::server) fn is_full_for_handover(&self) -> bool {
        self.parked.len() >= self.room.handed_over()
    }

    /// Watches the listening socket and the hand-over queue if there is room for what comes from them, or can be made, and
    /// else not: it is another worker that is to be woken then.
    pub(in crate::server) fn regulate(
        &mut self,
        listener: BorrowedFd<'_>,
        link_to_manager: Option<&ManagerLink>,
    ) -> nix::Result<()> {
        self.room.opens_at = None;
        if !self.is_full() {
            self.watch_queue(link_to_manager);
            return self.listen_again(listener);
        }
        let now = clock::recently();
        if self.room.exhausted_until.is_some_and(|until| until <= now) {
            self.room.exhausted_until = None;
            return self.regulate(listener, link_to_manager);
        }
        let replaceable_at = match self.replaceable(now) {
            Replaceable::Now(_) => {
                self.watch_queue(link_to_manager);
                return self.listen_again(listener);
            }
            Replaceable::Later(at) => Some(at),
            Replaceable::Never => None,
        };
        self.tell();
        self.ignore_listener(listener);
        if self.is_full_for_handover() {
            self.ignore_queue(link_to_manager);
        } else {
            self.watch_queue(link_to_manager);
        }
        let times = replaceable_at.into_iter().chain(self.room.exhausted_until);
        // The clock goes in ticks.
        let left = times.min().map(|at| at.saturating_sub(now) + clock::tick());
        self.room.opens_at = left.map(|left| Instant::now() + left);
        Ok(())
    }

    fn watch_queue(&mut self, link_to_manager: Option<&ManagerLink>) {
        if self.room.is_queue_unwatched
            && let Some(link_to_manager) = link_to_manager
        {
            self.room.is_queue_unwatched = false;
            self.watch_handover(link_to_manager);
        }
    }

    fn ignore_queue(&mut self, link_to_manager: Option<&ManagerLink>) {
        if !self.room.is_queue_unwatched
            && let Some(link_to_manager) = link_to_manager
        {
            self.ignore_handover(link_to_manager);
            self.room.is_queue_unwatched = true;
        }
    }

    /// What a wait has found, if there is room for it; else what becomes of the connection that makes room.
    pub(in crate::server) fn if_room(&mut self, found: Found) -> Found {
        let is_full = match found {
            Found::Listener => self.is_full(),
            Found::Handover => self.is_full_for_handover(),
            _ => false,
        };
        if !is_full {
            return found;
        }
        match self.replaceable(clock::recently()) {
            Replaceable::Now(place) => {
                // With it ends the lack of descriptors, if there is one.
                self.room.exhausted_until = None;
                self.dismiss(place)
            }
            Replaceable::Later(_) | Replaceable::Never => Found::Nothing,
        }
    }

    /// Which connection can be closed for another one: one that was answered rather than one that never spoke, and that
    /// rather than one that is kept, and of several the one that has been idle for longest. A kept one stays while there
    /// is another that can be closed later.
    fn replaceable(&self, now: Duration) -> Replaceable {
        let candidates = self.parked.iter().enumerate().map(|(position, parked)| {
            let (rank, patience) = match parked.standing {
                Standing::Lingering { .. } => (0, LONG),
                Standing::Silent { .. } => (1, BRIEF),
                Standing::Kept { .. } => (2, LONG),
            };
            (rank, parked.since + patience, position)
        });
        match candidates.min() {
            Some((_, at, position)) if at <= now => Replaceable::Now(position),
            Some((_, at, _)) => Replaceable::Later(at),
            None => Replaceable::Never,
        }
    }

    /// A connection that is silent is to be closed, unless it has said something just now.
    pub(in crate::server) fn dismiss(&mut self, place: usize) -> Found {
        let now = Some(Instant::now());
        let parked = &self.parked[place];
        if parked.standing.is_lingering() {
            self.end(place);
            return Found::Nothing;
        }
        // This worker may have been busy when something came. If nothing has, it may come before the close.
        match io::wait(parked.link.fd.as_fd(), Direction::Read, now) {
            Ok(true) => Found::Connection(place),
            Ok(false) | Err(_) => Found::Idle(place),
        }
    }

    /// accept(2) found no descriptor left. False: no connection is here whose end would free one.
    pub(in crate::server) fn descriptors_ran_out(&mut self, errno: Errno) -> bool {
        if self.parked.is_empty() {
            return false;
        }
        self.room.exhausted_until = Some(clock::recently() + PAUSE);
        if !std::mem::replace(&mut self.room.is_told, true) {
            log::limited(
                Level::Warning,
                &format!(
                    "accept: {}; new connections wait in the listen queue until one of {} idle ones ends",
                    errno.desc(),
                    self.parked.len()
                ),
            );
        }
        true
    }

    /// Closes the connection that has lingered for longest, to get its descriptor back. False: none lingers.
    pub(in crate::server) fn end_lingering(&mut self) -> bool {
        let position = self
            .parked
            .iter()
            .position(|parked| parked.standing.is_lingering());
        let Some(position) = position else {
            return false;
        };
        self.end(position);
        true
    }

    /// Says once that the limit is reached.
    fn tell(&mut self) {
        if std::mem::replace(&mut self.room.is_told, true) {
            return;
        }
        log::limited(
            Level::Warning,
            &format!(
                "{} idle connections are kept, as many as half of RLIMIT_NOFILE = {} allows: new ones wait in the listen \
                 queue until one ends or has been idle for {LONG:?} and is closed for them",
                self.parked.len(),
                self.room.descriptors
            ),
        );
    }
}
