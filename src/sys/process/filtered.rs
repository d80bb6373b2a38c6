//! System calls that this library can do without, where a filter (seccomp(2)) refuses them, or kills who makes them.
//!
//! Which these are is found out in processes of their own, when a manager starts and a filter is in force.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;

use crate::sys::process::hidden_child::HiddenChild;

/// A call with alternatives.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    /// What is lost without it.
    pub(crate) loss: &'static str,
    /// Made with arguments that make no sense: the kernel answers with an error of its own.
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
    "the end of a worker is noticed by SIGCHLD only, and nothing is taken from busy or killed workers",
);
pub(crate) static PIDFD_SEND_SIGNAL: Call = call(
    libc::SYS_pidfd_send_signal,
    "pidfd_send_signal",
    "workers are signalled by their pids",
);
pub(crate) static PIDFD_GETFD: Call = call(
    libc::SYS_pidfd_getfd,
    "pidfd_getfd",
    "the client of a worker that is killed for its request gets no answer, and idle connections stay with busy workers",
);
pub(crate) static MEMFD_CREATE: Call = call(
    libc::SYS_memfd_create,
    "memfd_create",
    "`fcgipm status` does not see this manager, and programs do not share a scoreboard with it",
);

static CALLS: [&Call; 4] = [&PIDFD_OPEN, &PIDFD_SEND_SIGNAL, &PIDFD_GETFD, &MEMFD_CREATE];

impl Call {
    /// Whether it may be made: as far as is known, it kills nobody.
    pub(crate) fn is_allowed(&self) -> bool {
        !self.is_refused.load(Ordering::Relaxed)
    }
}

/// Finds out which of the calls a filter refuses. The process has one thread.
pub(crate) fn probe() -> Vec<&'static Call> {
    if !is_filtered() {
        return Vec::new();
    }
    let refused = CALLS.into_iter().filter(|call| !is_survived(call));
    refused
        .inspect(|call| call.is_refused.store(true, Ordering::Relaxed))
        .collect()
}

/// Whether a filter is in force. Where nobody says, there may be.
fn is_filtered() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    lines
        .find_map(|line| line.strip_prefix("Seccomp:"))
        .map(str::trim)
        != Some("0")
}

/// Makes a call in a process of its own.
fn is_survived(call: &Call) -> bool {
    let child = HiddenChild::start(|| {
        // SAFETY: no pointer in it is valid, and no descriptor.
        let failed = unsafe { libc::syscall(call.number, -1, 0, 0, 0) } < 0;
        let refused = matches!(Errno::last(), Errno::EPERM | Errno::ENOSYS | Errno::EACCES);
        crate::sys::process::exec::leave(i32::from(failed && refused));
    });
    // Where nobody can be asked, it is taken for allowed.
    child.map_or(true, |child| child.end() == Some(0))
}
