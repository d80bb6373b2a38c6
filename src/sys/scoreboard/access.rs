//! The access log's part of a region: the settings, and a ring of lines on their way to the manager.
//!
//! The worker writes whole words, and fills the last one of a line with zeroes. So it makes no system
//! call, and the manager finds the lines of a worker that was killed. The worker may be hostile: the
//! manager remembers itself how far it has read, and never reads more than the size of the ring.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::time::Duration;

use super::tally::possible_requests;
use super::words::Words;

/// The maximum length of `access_format`.
pub const ACCESS_FORMAT_MAX: usize = 1_000;

/// The maximum length of the name of a parameter.
pub const ACCESS_NAME_MAX: usize = 120;

/// The maximum length of a line, with its end. Longer ones count as written by a hostile worker.
pub(crate) const LINE_MAX: usize = 4_096;

/// The size of the ring in words, 256 KiB. Memory that is not used costs nothing.
const WORDS: u64 = 32 * 1_024;

/// Beyond this, the worker notifies the manager.
const NOTIFY_AT: u64 = WORDS / 2;

/// The access log of one worker.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct AccessArea {
    settings: Settings,
    /// How many words the manager has taken.
    taken: AtomicU64,
    worker: WorkerLine,
    words: [AtomicU64; WORDS as usize],
}

/// What the manager sets before the worker starts.
#[derive(Debug)]
#[repr(C)]
struct Settings {
    is_logged: AtomicU32,
    is_identified: AtomicU32,
    format: Words<126>,
    request_id_param: Words<16>,
    request_start_param: Words<16>,
    pool: Words<16>,
}

#[derive(Debug)]
#[repr(C, align(64))]
struct WorkerLine {
    /// How many words it has written.
    written: AtomicU64,
    /// Lines for which there was no room.
    dropped: AtomicU64,
}

/// The settings of the access log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessSettings {
    /// There is an access log.
    pub is_logged: bool,
    /// The ids of running requests are reported.
    pub is_identified: bool,
    /// `access_format`.
    pub format: Vec<u8>,
    /// The name of the parameter with the id of a request.
    pub request_id_param: Vec<u8>,
    /// The name of the parameter with the time at which the web server received a request. It may be
    /// empty.
    pub request_start_param: Vec<u8>,
    /// The name of the pool.
    pub pool: Vec<u8>,
}

/// What the manager has taken from a ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccessPosition {
    words: u64,
    dropped: u64,
    /// When the dropped lines were read.
    at: Duration,
}

impl AccessPosition {
    /// Of a worker that starts.
    #[must_use]
    pub fn new(now: Duration) -> Self {
        Self {
            at: now,
            ..Self::default()
        }
    }
}

/// How much a ring contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Nothing.
    Empty,
    /// Less than half of what it can contain.
    Some,
    /// At least half.
    Half,
}

impl AccessArea {
    /// Sets what a new worker does.
    pub fn set(&self, settings: &AccessSettings) {
        let own = &self.settings;
        own.format.store(&settings.format);
        own.request_id_param.store(&settings.request_id_param);
        own.request_start_param.store(&settings.request_start_param);
        own.pool.store(&settings.pool);
        let is_identified = u32::from(settings.is_identified);
        own.is_identified.store(is_identified, Ordering::Release);
        let is_logged = u32::from(settings.is_logged);
        own.is_logged.store(is_logged, Ordering::Release);
    }

    /// What the worker does.
    pub(crate) fn settings(&self) -> AccessSettings {
        let own = &self.settings;
        AccessSettings {
            is_logged: own.is_logged.load(Ordering::Acquire) != 0,
            is_identified: own.is_identified.load(Ordering::Acquire) != 0,
            format: own.format.load().0,
            request_id_param: own.request_id_param.load().0,
            request_start_param: own.request_start_param.load().0,
            pool: own.pool.load().0,
        }
    }

    /// Adds a line. If there is no room, it is dropped and counted. True: the manager should be
    /// notified. Not for two threads at a time.
    pub(crate) fn add_line(&self, line: &[u8]) -> bool {
        let own = &self.worker;
        let written = own.written.load(Ordering::Relaxed);
        let used = written.wrapping_sub(self.taken.load(Ordering::Acquire));
        let more = line.len().div_ceil(8) as u64;
        if used.saturating_add(more) > WORDS {
            let dropped = own.dropped.load(Ordering::Relaxed).wrapping_add(1);
            own.dropped.store(dropped, Ordering::Relaxed);
            return false;
        }
        let mut place = written;
        let mut chunks = line.chunks_exact(8);
        for chunk in chunks.by_ref() {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(chunk);
            self.word(place)
                .store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
            place = place.wrapping_add(1);
        }
        if let rest @ [_, ..] = chunks.remainder() {
            let mut bytes = [0; 8];
            for (byte, rest) in bytes.iter_mut().zip(rest) {
                *byte = *rest;
            }
            self.word(place)
                .store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
        }
        own.written
            .store(written.wrapping_add(more), Ordering::Release);
        // Either the manager sees this line after it has taken the ones before, or this loop sees that.
        fence(Ordering::SeqCst);
        let was_empty = self.taken.load(Ordering::Relaxed) == written;
        was_empty || used < NOTIFY_AT && used + more >= NOTIFY_AT
    }

    /// How much is to be taken.
    #[must_use]
    pub fn fill(&self, position: &AccessPosition) -> Fill {
        let written = self.worker.written.load(Ordering::Acquire);
        let dropped = self.worker.dropped.load(Ordering::Relaxed);
        match written.wrapping_sub(position.words) {
            0 if dropped == position.dropped => Fill::Empty,
            0..NOTIFY_AT => Fill::Some,
            _ => Fill::Half,
        }
    }

    /// How many lines the worker has dropped since the last call; no more than it can have written in
    /// this time.
    pub fn take_dropped(&self, position: &mut AccessPosition, now: Duration) -> u64 {
        let dropped = self.worker.dropped.load(Ordering::Relaxed);
        let more = dropped.wrapping_sub(std::mem::replace(&mut position.dropped, dropped));
        let since = std::mem::replace(&mut position.at, now);
        more.min(possible_requests(now.saturating_sub(since)))
    }

    /// Moves whole lines of printable ASCII to the end of `out`.
    pub fn take_lines(&self, position: &mut AccessPosition, out: &mut Vec<u8>) {
        let written = self.worker.written.load(Ordering::Acquire);
        let mut lines = Lines { out, length: 0 };
        // A larger number was not written by this code, and there is nothing to find.
        let count = Some(written.wrapping_sub(position.words)).filter(|count| *count <= WORDS);
        for place in 0..count.unwrap_or_default() {
            let word = self.word(position.words.wrapping_add(place));
            lines.add(word.load(Ordering::Relaxed));
        }
        lines.end();
        position.words = written;
        self.taken.store(written, Ordering::Release);
        fence(Ordering::SeqCst);
    }

    fn word(&self, place: u64) -> &AtomicU64 {
        &self.words[(place % WORDS) as usize]
    }
}

/// Lines of printable characters, none longer than [`LINE_MAX`], from words that may contain anything.
struct Lines<'o> {
    out: &'o mut Vec<u8>,
    /// The length of the line that is not complete.
    length: usize,
}

impl Lines<'_> {
    #[inline]
    fn add(&mut self, word: u64) {
        let bytes = word.to_ne_bytes();
        if is_printable(word) && self.length + 8 < LINE_MAX {
            self.out.extend_from_slice(&bytes);
            self.length += 8;
            return;
        }
        for byte in bytes.into_iter().filter(|byte| *byte != 0) {
            let is_end = byte == b'\n' || self.length + 1 == LINE_MAX;
            self.length = if is_end { 0 } else { self.length + 1 };
            self.out.push(match byte {
                _ if is_end => b'\n',
                b' '..=b'~' => byte,
                _ => b'?',
            });
        }
    }

    fn end(self) {
        if self.length > 0 {
            self.out.push(b'\n');
        }
    }
}

/// Whether all bytes of a word are printable ASCII, computed for all of them together.
#[inline]
const fn is_printable(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH: u64 = 0x80 * ONES;
    // A byte below 0x20 borrows into its highest bit, and one of 0x7f becomes 0, which borrows, too.
    let below = word.wrapping_sub(0x20 * ONES);
    let delete = (word ^ (0x7f * ONES)).wrapping_sub(ONES);
    (word | below | delete) & HIGH == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::scoreboard::Scoreboard;

    const NOW: Duration = Duration::from_secs(1);

    fn board() -> Scoreboard {
        let mut board = Scoreboard::new(1).unwrap();
        board.begin(0, 1, 0);
        board
    }

    #[test]
    fn lines_arrive_whole_and_in_order_around_the_end_of_the_ring() {
        let board = board();
        let page = board.page(0).access();
        let mut position = AccessPosition::default();
        for number in 0..80_000 {
            let line = format!("{number} {}\n", "x".repeat(number % 50));
            page.add_line(line.as_bytes());
            if number % 97 == 0 {
                let mut out = Vec::new();
                page.take_lines(&mut position, &mut out);
                assert_eq!(page.take_dropped(&mut position, NOW), 0);
                let last = String::from_utf8(out).unwrap();
                assert!(last.ends_with(&line), "{last}");
            }
        }
    }

    #[test]
    fn what_has_no_room_is_dropped_and_counted_and_the_manager_is_notified_twice() {
        let board = board();
        let page = board.page(0).access();
        let line = [b"a".repeat(79), b"\n".to_vec()].concat();
        let notified = (0..4_000).filter(|_| page.add_line(&line)).count();
        // The first one, and the one with which it is half full.
        assert_eq!(notified, 2);
        let (mut position, mut out) = (AccessPosition::default(), Vec::new());
        let room = WORDS as usize / 10;
        page.take_lines(&mut position, &mut out);
        let dropped = page.take_dropped(&mut position, NOW);
        assert_eq!(dropped as usize, 4_000 - room);
        assert_eq!(out, line.repeat(room));
        assert!(page.add_line(&line));
        out.clear();
        page.take_lines(&mut position, &mut out);
        assert_eq!((page.take_dropped(&mut position, NOW), out), (0, line));
    }

    #[test]
    fn what_is_not_printable_is_found_in_each_byte_of_a_word() {
        for byte in 0..=u8::MAX {
            for place in 0..8 {
                for filler in [b' ', b'x', b'~'] {
                    let mut bytes = [filler; 8];
                    bytes[place] = byte;
                    let word = u64::from_ne_bytes(bytes);
                    let is_plain = (b' '..=b'~').contains(&byte);
                    assert_eq!(is_printable(word), is_plain, "{bytes:?}");
                }
            }
        }
    }

    #[test]
    fn a_hostile_worker_adds_no_control_characters_and_no_endless_lines() {
        let board = board();
        let page = board.page(0).access();
        let (mut position, mut out) = (AccessPosition::default(), Vec::new());
        page.add_line(&b"\x1b[2J\r\xff".repeat(4_000));
        page.take_lines(&mut position, &mut out);
        assert!(out.iter().all(|byte| matches!(byte, b'\n' | b' '..=b'~')));
        assert!(out.ends_with(b"\n"));
        assert!(
            out.split(|byte| *byte == b'\n')
                .all(|line| line.len() < LINE_MAX)
        );
        // Numbers that no ring can have.
        for wild in [u64::MAX, 1 << 60, 0] {
            page.worker.written.store(wild, Ordering::Relaxed);
            page.worker.dropped.store(wild, Ordering::Relaxed);
            out.clear();
            page.take_lines(&mut position, &mut out);
            assert!(page.take_dropped(&mut position, NOW) <= 1_000_000);
            assert!(out.len() <= 8 * WORDS as usize + 1);
        }
        page.add_line(b"again\n");
        out.clear();
        page.take_lines(&mut position, &mut out);
        assert_eq!(out, b"again\n");
    }
}
