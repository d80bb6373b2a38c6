//! One line on standard error, without waiting and without a signal.

use std::os::fd::BorrowedFd;
use std::ptr;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};

/// The kernel writes so much to a pipe in one piece (POSIX: at least 512; Linux: 4,096).
const LINE_MAX: usize = 4_096;

/// Writes a line of this process's own.
pub(crate) fn log(text: &str) {
    line(&format!("fcgipm: (pid {}) {text}", super::process::pid()));
}

/// Writes a line with one write(2). It is dropped when standard error is closed or full: whoever
/// reads the log must not be able to stop the manager.
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
