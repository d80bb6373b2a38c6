//! Children: forked, signalled and reaped, without ever affecting another process.
//!
//! A pid belongs to a child until it is reaped. It is reaped only here. So as long as a [`Child`]
//! exists, the kernel cannot have given its pid to another process.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::ptr;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};

use crate::sys::fd::above_standard;
use crate::sys::fd::poll::readable_within;
use crate::sys::process::filtered;

/// Descriptors reserved for the host: if fewer are left, children are watched without a pidfd.
const RESERVE: u64 = 64;

/// A child that has not been reaped yet.
#[derive(Debug)]
pub(crate) struct Child {
    pid: i32,
    /// Readable when the child has exited. `None` on an old kernel, or if descriptors are short.
    pidfd: Option<OwnedFd>,
    is_held: bool,
}

/// What fork(2) returned.
pub(crate) enum Fork {
    /// In the parent.
    Parent(Child),
    /// In the child.
    Child,
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With this wait status.
    Status(i32),
    /// Another part of the host has reaped it.
    Unknown,
}

/// fork(2), with the host's atfork handlers. The error is errno.
///
/// The caller ensures that the process has one thread. The child may do everything the parent may.
pub(crate) fn fork() -> Result<Fork, i32> {
    // SAFETY: with one thread, no lock is held by a thread that the child lacks.
    match unsafe { libc::fork() } {
        -1 => Err(Errno::last_raw()),
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(Child::new(pid))),
    }
}

pub(in crate::sys) fn open_pidfd(pid: i32) -> Option<OwnedFd> {
    if !filtered::PIDFD_OPEN.is_allowed() {
        return None;
    }
    // SAFETY: pidfd_open takes two integers; nothing else owns the descriptor that it returns
    // (close-on-exec by definition).
    let fd = unsafe {
        let fd = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        if fd < 0 {
            return None;
        }
        OwnedFd::from_raw_fd(i32::try_from(fd).ok()?)
    };
    let fd = above_standard(fd).ok()?;
    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let number = u64::try_from(fd.as_raw_fd()).ok()?;
    (number + RESERVE < limit).then_some(fd)
}

/// Sends a signal to a process, by its pid only if there is no pidfd.
pub(in crate::sys::process) fn send_signal(
    pid: i32,
    pidfd: Option<BorrowedFd<'_>>,
    signal: i32,
) -> nix::Result<()> {
    // SAFETY: both calls take integers and a NULL siginfo.
    let sent = unsafe {
        match pidfd.filter(|_| filtered::PIDFD_SEND_SIGNAL.is_allowed()) {
            Some(fd) => libc::syscall(
                libc::SYS_pidfd_send_signal,
                fd.as_raw_fd(),
                signal,
                ptr::null::<libc::siginfo_t>(),
                0,
            ),
            None => libc::c_long::from(libc::kill(pid, signal)),
        }
    };
    Errno::result(sent).map(drop)
}

impl Child {
    fn new(pid: i32) -> Self {
        Self {
            pid,
            pidfd: open_pidfd(pid),
            is_held: false,
        }
    }

    /// A child that other code in this process has forked. `None`: it is not a child, or was
    /// reaped.
    pub(crate) fn of_this_process(pid: i32) -> Option<Self> {
        // Checked before anything is opened: the number may be any process's.
        is_ours(pid).then(|| Self::new(pid))
    }

    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    pub(crate) fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.pidfd.as_ref().map(|fd| fd.as_fd())
    }

    /// Whether it had exited when it could not be reaped the last time: a debugger holds it (ptrace(2)).
    /// Its pidfd is ready until the debugger lets go of it.
    pub(crate) const fn is_held(&self) -> bool {
        self.is_held
    }

    /// Sends a signal. There is no error: a child that has exited needs none.
    pub(crate) fn signal(&self, signal: i32) {
        let sent = send_signal(self.pid, self.pidfd(), signal);
        // Not if the child no longer exists: other code may have reaped it, and its pid may belong to
        // another process.
        if matches!(sent, Err(Errno::ENOSYS | Errno::EPERM)) {
            let _ = send_signal(self.pid, None, signal);
        }
    }

    /// Kills the child and the process group that it leads.
    pub(crate) fn kill_group(&self) {
        // While the pid is this child's, so is the process group with this number: only the child,
        // or this process for it, can have created one.
        if self.pid > 1 && is_ours(self.pid) {
            // SAFETY: integers only.
            unsafe { libc::kill(-self.pid, libc::SIGKILL) };
        }
        // It may have left the group.
        self.signal(libc::SIGKILL);
    }

    /// Waits for the end of the child, and reaps it.
    pub(crate) fn wait(self) {
        loop {
            // SAFETY: integers and a NULL pointer. The pid is that of a child that was not reaped.
            let result = unsafe { libc::waitpid(self.pid, ptr::null_mut(), 0) };
            if result >= 0 || Errno::last() != Errno::EINTR {
                return;
            }
        }
    }

    /// Reaps the child if it has exited.
    pub(crate) fn try_wait(&mut self) -> Option<Ended> {
        let mut status = 0;
        loop {
            // SAFETY: status is a live local. nix's wrapper would lose real-time signals.
            return match unsafe { libc::waitpid(self.pid, &raw mut status, libc::WNOHANG) } {
                0 => {
                    let pidfd = self.pidfd.as_ref();
                    self.is_held =
                        pidfd.is_some_and(|fd| readable_within(fd.as_fd(), Duration::ZERO));
                    None
                }
                -1 if Errno::last_raw() == libc::EINTR => continue,
                -1 => Some(Ended::Unknown),
                _ => Some(Ended::Status(status)),
            };
        }
    }
}

/// In a process in which all signals are blocked, and that has reaped a child of its own: its SIGCHLD is
/// not for the host, whose handler might wait for another child. If another one has news, it stays.
pub(crate) fn take_back_notice() {
    // SAFETY: zeroed is a valid siginfo, set and timespec; all pointers are to live locals. WNOWAIT
    // does not reap.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let flags =
            libc::WEXITED | libc::WSTOPPED | libc::WCONTINUED | libc::WNOHANG | libc::WNOWAIT;
        if libc::waitid(libc::P_ALL, 0, &raw mut info, flags) == 0 && info.si_pid() != 0 {
            return;
        }
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&raw mut set, libc::SIGCHLD);
        let at_once: libc::timespec = std::mem::zeroed();
        libc::sigtimedwait(&raw const set, ptr::null_mut(), &raw const at_once);
    }
}

/// Whether this is a child of this process that has not been reaped.
fn is_ours(pid: i32) -> bool {
    let Ok(pid) = libc::id_t::try_from(pid) else {
        return false;
    };
    // SAFETY: zeroed is a valid siginfo, and the pointer is to a live local. WNOWAIT does not reap.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        libc::waitid(libc::P_PID, pid, &raw mut info, flags) == 0
    }
}

/// In a child: makes it the leader of a process group of its own.
pub(crate) fn lead_group() {
    // It fails for a leader of a session, which a fresh child is not.
    let own = nix::unistd::Pid::from_raw(0);
    let _ = nix::unistd::setpgid(own, own);
}

/// In a child: the kernel will send this signal when the parent dies.
pub(crate) fn signal_on_parent_death(signal: nix::sys::signal::Signal) {
    // It fails for no valid signal.
    let _ = nix::sys::prctl::set_pdeathsig(signal);
}

/// In a child: the kernel will send no signal when the parent dies.
pub(crate) fn ignore_parent_death() {
    let _ = nix::sys::prctl::set_pdeathsig(None);
}
