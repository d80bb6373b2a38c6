//! Ctrl-Z: the shell gets the terminal until it continues this process.

use nix::sys::signal::{Signal, kill, raise};
use nix::unistd::{Pid, getpgid, getpgrp, getpid, getppid, getsid};

use crate::managers::find::parent;

/// A bound for a chain of parents, because pids may be reused meanwhile.
const GENERATIONS_MAX: usize = 64;

/// Stops the process group, as the terminal does when its input is not raw. Other processes of the group,
/// as sudo, notice it, too. This process handles the signal, and stops by `stop`.
pub(super) fn stop_group() {
    let _ = kill(Pid::from_raw(0), Signal::SIGTSTP);
}

/// Stops this process, and returns when it is continued.
pub(super) fn stop() {
    let _ = raise(Signal::SIGSTOP);
}

/// Whether a shell can continue this process: a parent of the process group is in the same session. The
/// kernel stops no others by SIGTSTP.
pub(super) fn is_possible() -> bool {
    let session = getsid(None).ok();
    let mut member = getpid();
    let mut above = getppid();
    for _ in 0..GENERATIONS_MAX {
        if getsid(Some(above)).ok() != session || above == member {
            return false;
        }
        if getpgid(Some(above)).ok() != Some(getpgrp()) {
            return true;
        }
        member = above;
        let Some(next) = parent(member.as_raw()) else {
            return false;
        };
        above = Pid::from_raw(next);
    }
    false
}
