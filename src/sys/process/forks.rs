//! Whether this process was copied: the children of a fork have its descriptors, and closing one here ends nothing
//! for the other side while a child still has it.
//!
//! Only forks that run the handlers of pthread_atfork(3) are counted, which are fork(3) and all that is built on it. A
//! child made by vfork(2) or posix_spawn(3) executes a program, and close-on-exec closes the descriptors there.

use std::sync::atomic::{AtomicU64, Ordering};

use once_cell::sync::Lazy;

/// One more than there were; 0 as long as they are not counted. 64 bits, so that it never gets as far as [`UNKNOWN`].
static FORKS: AtomicU64 = AtomicU64::new(0);

/// What [`FORKS`] never is.
const UNKNOWN: u64 = u64::MAX;

/// Before the copy is made: a thread that closes a connection meanwhile takes it for copied.
extern "C" fn count_fork() {
    FORKS.fetch_add(1, Ordering::SeqCst);
}

/// Whether forks are counted.
static IS_COUNTING: Lazy<bool> = Lazy::new(|| {
    // SAFETY: the handler touches an atomic and nothing else. The library is never unloaded.
    let is_counting = unsafe { libc::pthread_atfork(Some(count_fork), None, None) == 0 };
    if is_counting {
        // More than 0, even if another thread has forked meanwhile.
        FORKS.fetch_add(1, Ordering::SeqCst);
    }
    is_counting
});

/// A point in the life of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark(u64);

impl Mark {
    /// Now.
    #[inline]
    pub(crate) fn now() -> Self {
        match FORKS.load(Ordering::SeqCst) {
            0 => Self::first(),
            count => Self(count),
        }
    }

    #[cold]
    fn first() -> Self {
        if *IS_COUNTING {
            Self(FORKS.load(Ordering::SeqCst))
        } else {
            Self::unknown()
        }
    }

    /// Before anything that this process could know of.
    pub(crate) const fn unknown() -> Self {
        Self(UNKNOWN)
    }

    /// Whether the process has forked since then, or may have. In a child the fork that made it counts.
    #[inline]
    pub(crate) fn has_forked_since(self) -> bool {
        self.0 != FORKS.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forks_are_noticed() {
        let before = Mark::now();
        assert!(!before.has_forked_since());
        let made = super::super::child::fork().unwrap();
        let super::super::child::Fork::Parent(child) = made else {
            // SAFETY: ends the child without running anything of the parent's.
            unsafe { libc::_exit(i32::from(!before.has_forked_since())) };
        };
        assert!(before.has_forked_since());
        assert!(!Mark::now().has_forked_since());
        assert!(Mark::unknown().has_forked_since());
        let ended = loop {
            if let Some(ended) = child.try_wait() {
                break ended;
            }
            std::thread::yield_now();
        };
        assert_eq!(ended, super::super::child::Ended::Status(0));
    }
}
