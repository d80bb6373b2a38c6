//! Children that this process did not fork: if it is PID 1 or a subreaper, the orphans of its
//! descendants become its children, and stay zombies until it waits for them.

use std::mem;

use crate::sys::process;

/// The maximum number reaped in one call: a fork storm must not occupy the manager.
const BOUND: usize = 1_024;

/// Whether orphans become this process's children.
pub(crate) fn is_reaper() -> bool {
    process::pid() == 1 || nix::sys::prctl::get_child_subreaper().unwrap_or(false)
}

/// Reaps exited children that are not known; the statuses of known ones are needed elsewhere.
/// Returns `false` if there may be more after a known one, which must be reaped first.
pub(crate) fn reap(is_known: impl Fn(i32) -> bool) -> bool {
    for _ in 0..BOUND {
        // SAFETY: zeroed is a valid siginfo, and the pointers are to live locals. waitpid is called
        // for a child that has exited, and for which no other code waits.
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
