//! Children that this process did not make: the kernel gives it the orphans of its descendants when it is
//! PID 1 or a subreaper, and they stay zombies until it waits for them.

use std::mem;

use crate::sys::process;

/// What is reaped at once; a fork storm must not hold the manager.
const BOUND: usize = 1_024;

/// Whether orphans come to this process.
pub(crate) fn is_reaper() -> bool {
    process::pid() == 1 || nix::sys::prctl::get_child_subreaper().unwrap_or(false)
}

/// Reaps the children that have ended and are not known: the others' statuses are somebody's. Returns
/// `false` when there may be more behind a known one, which is to be waited for first.
pub(crate) fn reap(is_known: impl Fn(i32) -> bool) -> bool {
    for _ in 0..BOUND {
        // SAFETY: zeroed is a valid siginfo, and the pointers are to live locals. waitpid is called for a child that
        // has ended and that nobody else waits for.
        unsafe {
            let mut info: libc::siginfo_t = mem::zeroed();
            let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
            if libc::waitid(libc::P_ALL, 0, &raw mut info, flags) != 0 {
                // There is no child.
                return true;
            }
            let pid = info.si_pid();
            if pid == 0 {
                return true;
            }
            if is_known(pid) {
                return false;
            }
            libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG);
        }
    }
    false
}
