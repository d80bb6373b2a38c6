//! System calls that the library can do without, if a filter (seccomp(2)) refuses them, or kills
//! the process.
//!
//! Each is tried in a process of its own when a manager starts under a filter.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;

use crate::sys::process::hidden_child::HiddenChild;

/// A system call with an alternative.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    /// What is lost without it.
    pub(crate) loss: &'static str,
    /// Tried with invalid arguments: without a filter, the kernel returns an error for these.
    number: libc::c_long,
    is_refused: AtomicBool,
}

const fn call(number: libc::c_long, name: &'static str, loss: &'static str) -> Call {
    Call {
        name,
        loss,
        number,
        is_refused: AtomicBool::new(false),
    }
}

pub(crate) static PIDFD_OPEN: Call = call(
    libc::SYS_pidfd_open,
    "pidfd_open",
    "the death of a worker is noticed only by SIGCHLD, and idle connections stay with busy workers",
);
pub(crate) static PIDFD_SEND_SIGNAL: Call = call(
    libc::SYS_pidfd_send_signal,
    "pidfd_send_signal",
    "workers are signalled by their pids",
);
pub(crate) static PIDFD_GETFD: Call = call(
    libc::SYS_pidfd_getfd,
    "pidfd_getfd",
    "idle connections stay with busy workers, and a worker that is killed for its request must send its connection itself, so that the client gets an answer",
);
pub(crate) static MEMFD_CREATE: Call = call(
    libc::SYS_memfd_create,
    "memfd_create",
    "`fcgipm status` does not see this manager, and programs do not share a scoreboard with it",
);

static CALLS: [&Call; 4] = [&PIDFD_OPEN, &PIDFD_SEND_SIGNAL, &PIDFD_GETFD, &MEMFD_CREATE];

impl Call {
    /// Whether it may be used: no filter is known to refuse it.
    pub(crate) fn is_allowed(&self) -> bool {
        !self.is_refused.load(Ordering::Relaxed)
    }
}

/// Tries which of the calls a filter refuses. The process has one thread.
pub(crate) fn probe() -> Vec<&'static Call> {
    if !is_filtered() {
        return Vec::new();
    }
    let refused = CALLS.into_iter().filter(|call| !is_survived(call));
    refused
        .inspect(|call| call.is_refused.store(true, Ordering::Relaxed))
        .collect()
}

/// Whether a filter is in force. Without /proc, one may be.
fn is_filtered() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    lines
        .find_map(|line| line.strip_prefix("Seccomp:"))
        .map(str::trim)
        != Some("0")
}

/// Tries a call in a process of its own.
fn is_survived(call: &Call) -> bool {
    let child = HiddenChild::start(|| {
        // SAFETY: no argument is a valid pointer or descriptor.
        let failed = unsafe { libc::syscall(call.number, -1, 0, 0, 0) } < 0;
        let refused = matches!(Errno::last(), Errno::EPERM | Errno::ENOSYS | Errno::EACCES);
        crate::sys::process::exec::exit_now(i32::from(failed && refused));
    });
    // If no process can be started, it counts as allowed.
    child.map_or(true, |child| child.end() == Some(0))
}
