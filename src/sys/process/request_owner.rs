//! Which process ends a request: a word in memory that the process that accepted it shares with the
//! children that it has forked since.
//!
//! The process that ends the request is its *keeper*, at first the one that accepted it. The keeper
//! may leave the request to its children; then the first child that takes it becomes the keeper.
//! The others may add to the response until the keeper has ended it.
//!
//! | state | event | next state |
//! |---|---|---|
//! | `KEPT` | the keeper leaves the request | `LEFT` |
//! | `LEFT` | a process takes the request, or takes it back | `KEPT` |
//! | `KEPT`, `LEFT` | the response is ended | `ENDED` |
//!
//! Only [`Ownership::is_left_within`] waits for another process, and has a time limit.

use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::sys::process;

/// The keeper will end the request: the initial state.
const KEPT: u32 = 0;
/// The keeper has left the request to the process that takes it.
const LEFT: u32 = 1;
/// The response has ended.
const ENDED: u32 = 2;
const STATE: u32 = 3;
/// A process other than the keeper reads the input from the connection.
const SHARED_INPUT: u32 = 4;
/// A process waits for the next change of the state.
const AWAITED: u32 = 8;
/// The unit of the number of processes that are about to add to the response.
const WRITER: u32 = 16;

/// How a request ends for the process that ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// This process ends the response, and has the connection alone.
    Whole,
    /// The same, but other processes use the connection, so it cannot serve another request.
    Shared,
    /// Another process ends the response, or has ended it.
    Lost,
}

/// Whether a process other than the keeper may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// It may, until [`Ownership::leave_writing`].
    Writer,
    /// The request was left, and this process is its keeper now.
    Keeper,
    /// The response has ended.
    Refused,
}

/// The word of the current request. After a request in which the process forked, the next request
/// gets another word, because the children keep this one.
#[derive(Debug)]
pub(crate) struct Ownership {
    page: *mut AtomicU32,
    /// Which word of the page.
    place: usize,
    /// The process that made the page. A child needs another one for further requests.
    owner: i32,
}

// SAFETY: the page is only touched through atomics, and is mapped for as long as this lives.
unsafe impl Send for Ownership {}
// SAFETY: as above.
unsafe impl Sync for Ownership {}

impl Ownership {
    pub(crate) fn new() -> Self {
        // SAFETY: an anonymous mapping at an address of the kernel's choice. It uses no memory
        // until it is written to.
        let page = unsafe {
            libc::mmap(
                ptr::null_mut(),
                process::page_size(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        let page = if page == libc::MAP_FAILED {
            ptr::null_mut()
        } else {
            page.cast()
        };
        Self {
            page,
            place: 0,
            owner: process::pid(),
        }
    }

    /// `None` if there was no memory: then children have no part in a request.
    fn word(&self) -> Option<&AtomicU32> {
        if self.page.is_null() {
            return None;
        }
        // SAFETY: `place` stays within the page, which is mapped for as long as this lives; all
        // bits are valid.
        Some(unsafe { &*self.page.add(self.place) })
    }

    /// Changes the word by `next`, which is called again if another process was faster; if it
    /// returns `None`, nothing is changed. Returns the old value.
    fn change(&self, next: impl Fn(u32) -> Option<u32>) -> Result<u32, u32> {
        let Some(word) = self.word() else {
            return Err(ENDED);
        };
        let changed = word.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
        if changed.is_ok_and(|before| before & AWAITED != 0) {
            wake(word);
        }
        changed
    }

    fn state(&self) -> u32 {
        self.word()
            .map_or(ENDED, |word| word.load(Ordering::SeqCst) & STATE)
    }

    /// The keeper ends the response: from here on no process adds to it. `left`: it left the
    /// request before.
    pub(crate) fn end(&self, left: bool) -> Ending {
        let expected = if left { LEFT } else { KEPT };
        if self.word().is_none() {
            return Ending::Whole;
        }
        match self.change(|word| (word & STATE == expected).then_some(word & !STATE | ENDED)) {
            Ok(before) if before & SHARED_INPUT != 0 || before >= WRITER => Ending::Shared,
            Ok(_) => Ending::Whole,
            Err(_) => Ending::Lost,
        }
    }

    /// A process other than the keeper ends the response. False: it has ended before.
    pub(crate) fn take_end(&self) -> bool {
        self.change(|word| (word & STATE != ENDED).then_some(word & !STATE | ENDED))
            .is_ok()
    }

    /// The keeper leaves the request to others. False: another process has ended it.
    pub(crate) fn leave(&self) -> bool {
        self.change(|word| (word & STATE == KEPT).then_some(word & !STATE | LEFT))
            .is_ok()
    }

    /// Takes a request that was left, or takes it back. False: it was not left, or another process
    /// was faster.
    pub(crate) fn take(&self) -> bool {
        self.change(|word| (word & STATE == LEFT).then_some(word & !STATE | KEPT))
            .is_ok()
    }

    /// A process other than the keeper wants to send.
    pub(crate) fn enter_writing(&self) -> Entry {
        if self.take() {
            return Entry::Keeper;
        }
        match self.change(|word| (word & STATE == KEPT).then(|| word.wrapping_add(WRITER))) {
            Ok(_) => Entry::Writer,
            Err(word) if word & STATE == LEFT => self.enter_writing(),
            Err(_) => Entry::Refused,
        }
    }

    pub(crate) fn leave_writing(&self) {
        let _ = self.change(|word| Some(word.saturating_sub(WRITER)));
    }

    /// A process other than the keeper wants to read from the connection. False: the request has
    /// ended.
    pub(crate) fn share_input(&self) -> bool {
        self.change(|word| (word & STATE != ENDED).then_some(word | SHARED_INPUT))
            .is_ok()
    }

    /// Whether the response has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.state() == ENDED
    }

    /// Whether the request is left, now or within this time.
    pub(crate) fn is_left_within(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        loop {
            let Ok(before) = self.change(|word| (word & STATE == KEPT).then_some(word | AWAITED))
            else {
                return self.state() == LEFT;
            };
            let left = until.saturating_duration_since(Instant::now());
            let Some(word) = self.word().filter(|_| !left.is_zero()) else {
                return false;
            };
            wait(word, before | AWAITED, left);
        }
    }

    /// Begins the next request, with a word that no child has.
    pub(crate) fn renew(&mut self) {
        self.place += 1;
        if self.owner != process::pid()
            || self.place >= process::page_size() / size_of::<AtomicU32>()
        {
            *self = Self::new();
        }
    }
}

impl Drop for Ownership {
    fn drop(&mut self) {
        if !self.page.is_null() {
            // SAFETY: `new` mapped it, and nothing refers to it any more. Other processes keep
            // their mappings.
            unsafe { libc::munmap(self.page.cast(), process::page_size()) };
        }
    }
}

/// futex(2) between processes. It may return early.
fn wait(word: &AtomicU32, expected: u32, patience: Duration) {
    let timeout = libc::timespec {
        tv_sec: libc::time_t::try_from(patience.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: libc::c_long::from(patience.subsec_nanos()),
    };
    // SAFETY: a mapped word, an integer, and a live local.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT,
            expected,
            &raw const timeout,
        )
    };
}

fn wake(word: &AtomicU32) {
    // SAFETY: a mapped word and integers.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_ended_once() {
        let ownership = Ownership::new();
        assert_eq!(ownership.enter_writing(), Entry::Writer);
        ownership.leave_writing();
        assert_eq!(ownership.end(false), Ending::Whole);
        assert_eq!(ownership.end(false), Ending::Lost);
        assert!(!ownership.take_end() && !ownership.leave() && !ownership.share_input());
        assert_eq!(ownership.enter_writing(), Entry::Refused);
    }

    #[test]
    fn a_connection_that_other_processes_use_is_shared() {
        let mut ownership = Ownership::new();
        assert_eq!(ownership.enter_writing(), Entry::Writer);
        assert_eq!(ownership.end(false), Ending::Shared);
        ownership.renew();
        assert!(ownership.share_input());
        assert_eq!(ownership.end(false), Ending::Shared);
        ownership.renew();
        assert_eq!(ownership.end(false), Ending::Whole);
    }

    #[test]
    fn a_left_request_is_taken_once() {
        let mut ownership = Ownership::new();
        assert!(!ownership.take());
        assert!(ownership.leave());
        assert!(ownership.is_left_within(Duration::ZERO));
        assert_eq!(ownership.enter_writing(), Entry::Keeper);
        assert!(!ownership.take());
        assert_eq!(ownership.end(true), Ending::Lost);
        assert!(!ownership.has_ended());
        ownership.renew();
        assert!(ownership.leave());
        assert_eq!(ownership.end(true), Ending::Whole);
    }

    #[test]
    fn pages_do_not_run_out_of_words() {
        let mut ownership = Ownership::new();
        for _ in 0..3000 {
            assert_eq!(ownership.end(false), Ending::Whole);
            ownership.renew();
        }
    }

    #[test]
    fn a_wait_ends_when_the_request_is_left() {
        let ownership = Ownership::new();
        assert!(!ownership.is_left_within(Duration::from_millis(1)));
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| ownership.is_left_within(Duration::from_secs(40)));
            while ownership.word().unwrap().load(Ordering::SeqCst) & AWAITED == 0 {
                std::thread::yield_now();
            }
            assert!(ownership.leave());
            assert!(waits.join().unwrap());
        });
    }
}
