//! How many connections may be parked.

use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::sys::log::{self, Level};
use crate::sys::{clock, process};

/// A connection that has been idle for this long may be closed for a new one.
pub(super) const LONG: Duration = Duration::from_secs(1);

/// When descriptors have run out, nothing is accepted for this long, unless a connection ends.
const PAUSE: Duration = Duration::from_millis(100);

/// How many connections a worker's descriptors suffice for.
#[derive(Debug)]
pub(super) struct Capacity {
    /// RLIMIT_NOFILE.
    descriptors: usize,
    /// Descriptors have run out. Until then nothing is accepted.
    pub(super) exhausted_until: Option<Duration>,
    /// At the limit: when the connection that has been idle for longest may be closed, or accept is
    /// tried again.
    pub(super) next_check: Option<Instant>,
    is_logged: bool,
}

impl Capacity {
    pub(super) fn new() -> Self {
        Self {
            descriptors: process::descriptor_limit(),
            exhausted_until: None,
            next_check: None,
            is_logged: false,
        }
    }

    /// With this many parked, whether none may come from the listening socket: half of the descriptors
    /// are the application's.
    pub(super) fn is_full(&self, parked: usize) -> bool {
        parked >= (self.descriptors / 2).max(1) || self.exhausted_until.is_some()
    }

    /// The same from the hand-over queue: with those of retiring workers, which may have as many.
    pub(super) fn is_full_for_handover(&self, parked: usize) -> bool {
        parked >= (self.descriptors / 4 * 3).max(1)
    }

    /// accept(2) found no free descriptor.
    pub(super) fn exhaust(&mut self, parked: usize, errno: Errno) {
        self.exhausted_until = Some(clock::recently() + PAUSE);
        self.log_once(|_| {
            format!(
                "accept: {}; new connections wait in the listen queue until one of {parked} idle ones ends",
                errno.desc()
            )
        });
    }

    pub(super) fn log_limit(&mut self, parked: usize) {
        self.log_once(|descriptors| {
            format!(
                "{parked} connections are idle, as many as half of RLIMIT_NOFILE = {descriptors} allows: \
                 new connections wait in the listen queue until one ends, or has been idle for {LONG:?} \
                 and is closed for them"
            )
        });
    }

    fn log_once(&mut self, text: impl FnOnce(usize) -> String) {
        if !std::mem::replace(&mut self.is_logged, true) {
            log::limited(Level::Warning, &text(self.descriptors));
        }
    }
}
