//! One line on standard error, without waiting and without a signal.

use std::os::fd::BorrowedFd;
use std::ptr;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use once_cell::sync::Lazy;
use parking_lot::Mutex;

/// The kernel writes so much to a pipe in one piece (POSIX: at least 512; Linux: 4,096).
const LINE_MAX: usize = 4_096;

/// Writes a line of this process's own. Peers can cause them, so that of each second only the first
/// few are written, and how many were left out.
pub(crate) fn log(text: &str) {
    const PER_SECOND: u64 = 20;
    static BUDGET: Mutex<(u64, u64)> = Mutex::new((0, 0));
    // A child that was forked while another thread has it writes nothing.
    let Some(mut budget) = BUDGET.try_lock() else {
        return;
    };
    let now = since_start().as_secs();
    let (second, lines) = *budget;
    if second != now {
        *budget = (now, 0);
        if let Some(left_out) = lines.checked_sub(PER_SECOND).filter(|n| *n > 0) {
            line(&format!(
                "fcgipm: (pid {}) {left_out} more lines like these",
                super::process::pid()
            ));
        }
    }
    budget.1 += 1;
    if budget.1 > PER_SECOND {
        return;
    }
    line(&format!("fcgipm: (pid {}) {text}", super::process::pid()));
}

fn since_start() -> Duration {
    static START: Lazy<Instant> = Lazy::new(Instant::now);
    START.elapsed()
}

/// Writes a line with one write(2). It is dropped when standard error is closed or full, so that a
/// reader who stands still does not stop the manager; a pipe that another process fills between the
/// look and the write can.
pub(crate) fn line(text: &str) {
    // SAFETY: descriptor 2 may be closed, and then every call here fails with EBADF.
    let stderr = unsafe { BorrowedFd::borrow_raw(2) };
    let mut polled = [PollFd::new(stderr, PollFlags::POLLOUT)];
    let writable = poll(&mut polled, PollTimeout::ZERO).is_ok()
        && polled[0]
            .revents()
            .is_some_and(|events| events == PollFlags::POLLOUT);
    if !writable {
        return;
    }
    let mut bytes: Vec<u8> = text
        .bytes()
        .map(|byte| if byte < b' ' { b' ' } else { byte })
        .take(LINE_MAX - 1)
        .collect();
    bytes.push(b'\n');
    without_sigpipe(|| {
        let _ = nix::unistd::write(stderr, &bytes);
    });
}

/// Runs something that may raise SIGPIPE, and takes that signal back.
pub(crate) fn without_sigpipe(run: impl FnOnce()) {
    let mut pipe = SigSet::empty();
    pipe.add(Signal::SIGPIPE);
    let before = pending(Signal::SIGPIPE);
    let Ok(mask) = pipe.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK) else {
        return;
    };
    run();
    if !before && pending(Signal::SIGPIPE) {
        let now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the set and the time are live locals, and no siginfo is asked for.
        unsafe { libc::sigtimedwait(pipe.as_ref(), ptr::null_mut(), &raw const now) };
    }
    let _ = mask.thread_set_mask();
}

fn pending(signal: Signal) -> bool {
    // SAFETY: sigpending fills the zeroed set, which sigismember then reads.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigpending(&raw mut set) == 0 && libc::sigismember(&raw const set, signal as i32) == 1
    }
}
