//! A request loop's record on its worker's page.
//!
//! A record has two lines, written alternately, each with its version and a seal, a hash over all
//! of it. So a reader in the middle of a write, or of a worker that was stopped or killed in one,
//! finds the previous line; and a line that was not written by this code does not count.

use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Duration;

use super::status::Activity;
use super::tally::{Served, Tallies, Tally};
use super::version::MAGIC;
use super::words::Words;

/// What one request loop reports.
#[derive(Debug)]
#[repr(C, align(256))]
pub(crate) struct Record {
    lines: [Line; 2],
    pub(super) method: Words<2>,
    pub(super) uri: Words<50>,
    pub(super) request_id: Words<8>,
    pub(super) trace_id: Words<5>,
    tally: Tally,
}

#[derive(Debug)]
#[repr(C)]
struct Line {
    version: AtomicU64,
    number: AtomicU64,
    finished: AtomicU64,
    since: AtomicU64,
    state: AtomicU64,
    seal: AtomicU64,
}

/// The content of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(super) version: u64,
    /// The number of the current request, or of the last one.
    pub(super) number: u64,
    pub(super) finished: u64,
    /// Microseconds on CLOCK_MONOTONIC.
    pub(super) since: u64,
    /// The activity, flags, the FastCGI request id, the descriptor.
    pub(super) state: u64,
}

/// A bit of `state`: bytes of STDOUT may have been sent.
pub(super) const BEGUN: u64 = 1 << 8;
/// A bit of `state`: the sent bytes may end in the middle of a record.
pub(super) const MID_RECORD: u64 = 1 << 9;

/// The result of reading a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    NeverUsed,
    Unreadable,
    Entry(Entry),
}

impl Record {
    /// Writes the next line. Costs a few stores.
    #[inline]
    pub(crate) fn publish(&self, entry: &mut Entry) {
        entry.version = entry.version.wrapping_add(1);
        let line = &self.lines[(entry.version & 1) as usize];
        // A reader that sees any of the stores below also sees the previous line complete.
        fence(Ordering::Release);
        line.version.store(entry.version, Ordering::Relaxed);
        line.number.store(entry.number, Ordering::Relaxed);
        line.finished.store(entry.finished, Ordering::Relaxed);
        line.since.store(entry.since, Ordering::Relaxed);
        line.state.store(entry.state, Ordering::Relaxed);
        line.seal.store(entry.seal(), Ordering::Release);
    }

    /// Writes the method and URI of the request of the next line.
    #[inline]
    pub(crate) fn describe(&self, method: &[u8], uri: &[u8]) {
        // A reader that sees any of the stores below also sees that the previous request has ended.
        fence(Ordering::Release);
        self.method.store(method);
        self.uri.store(uri);
    }

    /// Writes the ids of the request of the next line.
    pub(crate) fn identify(&self, request_id: &[u8], trace_id: &[u8]) {
        // As of the method and the URI.
        fence(Ordering::Release);
        self.request_id.store(request_id);
        self.trace_id.store(trace_id);
    }

    /// A request has ended that began at the time of this entry. Published with the next line.
    #[inline]
    pub(crate) fn count(&self, entry: &mut Entry, now: Duration, served: &Served) {
        let micros = (now.as_micros() as u64).saturating_sub(entry.since);
        self.tally.add(micros, served);
        entry.finished = entry.finished.wrapping_add(1);
    }

    /// Forgets what was counted, with a line that cannot be read.
    pub(super) fn reset_tally(&self) {
        self.tally.store(&Tallies::default());
    }

    /// What the loop has counted in this time. `None`: nothing valid.
    pub(super) fn tallies(&self, age: Duration) -> Option<Tallies> {
        let finished = || match self.find() {
            Found::Entry(entry) => Some(entry.finished),
            Found::NeverUsed | Found::Unreadable => None,
        };
        let before = finished()?;
        let sums = self.tally.load();
        // Requests that were counted meanwhile are in the line that is read now, but for the latest.
        fence(Ordering::Acquire);
        sums.believed((before, finished()?), age)
    }

    /// The latest complete line.
    pub(super) fn find(&self) -> Found {
        self.find_with(|| ())
    }

    /// The same, with a call between reading the two lines.
    pub(super) fn find_with(&self, between: impl FnOnce()) -> Found {
        let [first, second] = &self.lines;
        let (one, sealed) = first.load();
        between();
        let (two, sealed_too) = second.load();
        match (one.seal() == sealed, two.seal() == sealed_too) {
            (true, true) if one.version > two.version => Found::Entry(one),
            (_, true) => Found::Entry(two),
            // The second is being written. If the first is unchanged, it is the previous line. If
            // not, it is older than lines that a reader may have found before.
            (true, false) => {
                fence(Ordering::Acquire);
                if first.load() == (one, sealed) {
                    Found::Entry(one)
                } else {
                    Found::Unreadable
                }
            }
            (false, false) => {
                let blank = (Entry::default(), 0);
                if (one, sealed) == blank && (two, sealed_too) == blank {
                    Found::NeverUsed
                } else {
                    Found::Unreadable
                }
            }
        }
    }
}

impl Line {
    fn load(&self) -> (Entry, u64) {
        let seal = self.seal.load(Ordering::Acquire);
        let entry = Entry {
            version: self.version.load(Ordering::Relaxed),
            number: self.number.load(Ordering::Relaxed),
            finished: self.finished.load(Ordering::Relaxed),
            since: self.since.load(Ordering::Relaxed),
            state: self.state.load(Ordering::Relaxed),
        };
        (entry, seal)
    }
}

impl Entry {
    /// Each step is a bijection of the sum so far, so that every word of the line matters.
    #[inline]
    const fn seal(&self) -> u64 {
        const fn mix(sum: u64, word: u64) -> u64 {
            let sum = (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            sum ^ (sum >> 29)
        }
        let sum = mix(MAGIC, self.version);
        let sum = mix(sum, self.number);
        let sum = mix(sum, self.finished);
        let sum = mix(sum, self.since);
        mix(sum, self.state)
    }

    pub(crate) fn activity(&self) -> Option<Activity> {
        Activity::from_number(self.state as u8)
    }

    /// That of the connection with the request.
    pub(super) fn descriptor(&self) -> i32 {
        (self.state >> 32) as u32 as i32
    }

    /// The loop does something else now, without a request.
    pub(crate) fn set_activity(&mut self, activity: Activity, now: Duration) {
        self.since = now.as_micros() as u64;
        self.state = activity as u64;
    }

    /// A request begins, on the descriptor and with the FastCGI id.
    pub(crate) fn begin(&mut self, fd: i32, id: u16, now: Duration) {
        self.number = self.number.wrapping_add(1);
        self.set_activity(Activity::Busy, now);
        self.state |= u64::from(fd as u32) << 32 | u64::from(id) << 16;
    }

    /// Sets the progress of the response. Returns whether it has changed.
    pub(crate) fn respond(&mut self, begun: bool, mid_record: bool) -> bool {
        let before = self.state;
        self.state &= !(BEGUN | MID_RECORD);
        self.state |= if begun { BEGUN } else { 0 };
        self.state |= if mid_record { MID_RECORD } else { 0 };
        self.state != before
    }
}
