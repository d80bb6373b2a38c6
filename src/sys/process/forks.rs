//! Whether this process has forked: its children have copies of its descriptors, and while a child
//! has one, a close here does not end the connection.
//!
//! Only forks that run the handlers of pthread_atfork(3) are counted, that is, fork(3) and what is
//! built on it. A child of vfork(2) or posix_spawn(3) executes a program, and close-on-exec closes
//! the descriptors.

use std::sync::atomic::{AtomicU64, Ordering};

use once_cell::sync::Lazy;

/// One more than the number of forks; 0 while they are not counted. With 64 bits it never reaches
/// [`UNKNOWN`].
static FORKS: AtomicU64 = AtomicU64::new(0);

/// A value that [`FORKS`] never has.
const UNKNOWN: u64 = u64::MAX;

/// Called before the fork: a thread that closes a connection meanwhile treats it as copied.
extern "C" fn count_fork() {
    FORKS.fetch_add(1, Ordering::SeqCst);
}

/// Whether forks are counted.
static IS_COUNTING: Lazy<bool> = Lazy::new(|| {
    // SAFETY: the handler only changes an atomic. The library is never unloaded.
    let is_counting = unsafe { libc::pthread_atfork(Some(count_fork), None, None) == 0 };
    if is_counting {
        // From here on not 0, even if another thread has forked meanwhile.
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

    /// A point before any fork that this process could know of.
    pub(crate) const fn unknown() -> Self {
        Self(UNKNOWN)
    }

    /// Whether the process may have forked since then. In a child, the fork that created it counts.
    #[inline]
    pub(crate) fn has_forked_since(self) -> bool {
        self.0 != FORKS.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forks_are_counted() {
        let before = Mark::now();
        assert!(!before.has_forked_since());
        let made = super::super::child::fork().unwrap();
        let super::super::child::Fork::Parent(mut child) = made else {
            // SAFETY: ends the child without the parent's exit handlers.
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
