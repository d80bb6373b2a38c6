//! Processes: which one this is, without a system call in the steady state; children, executables,
//! identity.

pub(crate) mod adopted;
pub(crate) mod child;
pub(crate) mod current;
pub(crate) mod disposable;
pub mod environment;
pub(crate) mod exec;
pub(crate) mod executable;
pub(crate) mod filtered;
pub(crate) mod fork_hooks;
pub(crate) mod forks;
pub(crate) mod guardian;
pub(crate) mod helper;
pub(in crate::sys) mod hidden_child;
pub(crate) mod identity;
pub(crate) mod inspect;
pub(crate) mod log_writer;
pub(crate) mod origin;
pub(crate) mod other;
pub(crate) mod request_owner;
pub(crate) mod title;
mod usage;

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use once_cell::sync::Lazy;

pub(crate) use self::usage::ThreadUsage;

/// A page that the kernel clears in every child of a fork (madvise(2), MADV_WIPEONFORK).
struct WipedPage(*const AtomicI32);

// SAFETY: the page is never unmapped, and is only touched through an atomic.
unsafe impl Sync for WipedPage {}
// SAFETY: as above.
unsafe impl Send for WipedPage {}

static PAGE: Lazy<Option<WipedPage>> = Lazy::new(|| {
    let length = page_size();
    // SAFETY: an anonymous mapping at an address of the kernel's choice.
    let page = unsafe {
        libc::mmap(
            ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return None;
    }
    // SAFETY: the range is the mapping just made.
    if unsafe { libc::madvise(page, length, libc::MADV_WIPEONFORK) } != 0 {
        // SAFETY: as above; nothing refers to it yet.
        unsafe { libc::munmap(page, length) };
        return None;
    }
    Some(WipedPage(page.cast()))
});

/// Stands for the page until there is one. It stays 0.
static UNKNOWN: AtomicI32 = AtomicI32::new(0);

/// Where this process's id is stored; 0 until the first call of [`pid`].
static KNOWN: AtomicPtr<AtomicI32> = AtomicPtr::new((&raw const UNKNOWN).cast_mut());

/// This process's id, also in a child of a fork. Every call of the library needs it: two loads and
/// a comparison, where getpid(2) is a system call.
#[inline]
pub(crate) fn pid() -> i32 {
    // SAFETY: a static, or the page, which is mapped for the life of the process, aligned, and set
    // to zero (a valid value) on fork.
    let known = unsafe { &*KNOWN.load(Ordering::Acquire) };
    match known.load(Ordering::Relaxed) {
        0 => query_pid(),
        pid => pid,
    }
}

#[cold]
fn query_pid() -> i32 {
    let pid = std::process::id() as i32;
    if let Some(page) = PAGE.as_ref() {
        // SAFETY: as in `pid`.
        unsafe { &*page.0 }.store(pid, Ordering::Relaxed);
        KNOWN.store(page.0.cast_mut(), Ordering::Release);
    }
    pid
}

/// The calling thread's id. A system call is made only the first time in each thread, and after a
/// fork.
pub(crate) fn thread_id() -> i32 {
    thread_local! {
        static KNOWN: Cell<(i32, i32)> = const { Cell::new((0, 0)) };
    }
    let pid = pid();
    let query = || nix::unistd::gettid().as_raw();
    // While a thread ends, its storage may no longer exist.
    let remembered = KNOWN.try_with(|known| match known.get() {
        (owner, thread) if owner == pid => thread,
        _ => {
            let thread = query();
            known.set((pid, thread));
            thread
        }
    });
    remembered.unwrap_or_else(|_| query())
}

/// The parent's process id.
pub(crate) fn parent_pid() -> i32 {
    nix::unistd::getppid().as_raw()
}

/// How many descriptors this process may have (the current RLIMIT_NOFILE).
pub(crate) fn descriptor_limit() -> usize {
    usize::try_from(FileLimit::now().soft).unwrap_or(usize::MAX)
}

/// RLIMIT_NOFILE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileLimit {
    pub(crate) soft: u64,
    pub(crate) hard: u64,
}

impl FileLimit {
    /// The current limit.
    pub(crate) fn now() -> Self {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
        Self { soft, hard }
    }

    /// Sets the limit. Returns whether that was allowed.
    pub(crate) fn set(self) -> bool {
        setrlimit(Resource::RLIMIT_NOFILE, self.soft, self.hard).is_ok()
    }
}

/// How many descriptors are open; a small number without /proc.
pub(crate) fn open_descriptors() -> usize {
    // Without the one that reads the directory.
    std::fs::read_dir("/proc/self/fd").map_or(8, |entries| entries.count().saturating_sub(1))
}

/// How many threads this process has; `None` without /proc.
pub(crate) fn threads() -> Option<usize> {
    std::fs::read_dir("/proc/self/task")
        .ok()
        .map(Iterator::count)
}

/// Size of a memory page in bytes.
pub(crate) fn page_size() -> usize {
    // SAFETY: sysconf with a constant name has no preconditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}
