//! Children that this process did not fork: if it is PID 1 or a subreaper, the orphans of its
//! descendants become its children, and stay zombies until it waits for them.

use std::mem;

use crate::error::{Error, Result};
use crate::sys::process;

/// The maximum number reaped in one call: a fork storm must not occupy the manager.
const BOUND: usize = 1_024;

/// Whether orphans become this process's children.
pub(crate) fn is_reaper() -> bool {
    process::pid() == 1 || nix::sys::prctl::get_child_subreaper().unwrap_or(false)
}

/// Whether this process is PID 1 of a container, or one of several that PID 1, which runs the same
/// program, has started.
pub(crate) fn is_of_pid_1() -> bool {
    let program = |process: &str| std::fs::read_link(format!("/proc/{process}/exe")).ok();
    let is_same = || program("1").is_some_and(|first| program("self") == Some(first));
    process::pid() == 1 || (nix::unistd::getppid().as_raw() == 1 && is_same())
}

/// From now on orphans of this process's descendants become its children.
///
/// # Errors
/// prctl(2) failed.
pub(crate) fn become_reaper() -> Result<()> {
    nix::sys::prctl::set_child_subreaper(true)
        .map_err(|errno| Error::system("prctl(PR_SET_CHILD_SUBREAPER)", errno as i32))
}

/// The children that this process has now.
pub(crate) fn children() -> Vec<i32> {
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return Vec::new();
    };
    let lists =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    let lists: Vec<_> = lists.collect();
    let pids = lists.iter().flat_map(|list| list.split_ascii_whitespace());
    pids.filter_map(|pid| pid.parse().ok()).collect()
}

/// Reaps exited children that are not known; the statuses of known ones are needed elsewhere.
/// Returns `false` if there may be more.
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
                return reap_all(is_known);
            }
            libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG);
        }
    }
    false
}

/// The same, without waitid(2), which only returns the first child that has exited: as long as nobody
/// reaps that one, it hides the others. `false`: the children are not known, without /proc.
fn reap_all(is_known: impl Fn(i32) -> bool) -> bool {
    let all = children();
    for pid in all.iter().copied().filter(|pid| !is_known(*pid)) {
        // SAFETY: integers and a NULL pointer; no other code waits for this child.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) };
    }
    !all.is_empty()
}
