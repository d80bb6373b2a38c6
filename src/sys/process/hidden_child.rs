//! Children that the host does not notice: their end sends no SIGCHLD, and wait(2) does not find
//! them (clone(2), `__WCLONE`).

use nix::errno::Errno;

use crate::sys::process::exec;
use crate::sys::signal::handlers::Signals;

/// A child that has not been reaped yet.
#[derive(Debug)]
pub(in crate::sys) struct HiddenChild {
    pid: i32,
}

impl HiddenChild {
    /// As [`start_with`](Self::start_with), without a subject.
    pub(in crate::sys) fn start(work: impl FnOnce()) -> nix::Result<Self> {
        Self::start_with((), |()| work()).map_err(|(errno, ())| errno)
    }

    /// Starts a copy of this process. It does this work on its copy of a subject and ends, even if
    /// the work panics. All signals are blocked in it, and the host's atfork handlers do not run.
    /// This process drops its own copy of the subject, or gets it back if no child can be started.
    ///
    /// If this process may have threads, the work must make only system calls: another thread may
    /// have held a lock.
    pub(in crate::sys) fn start_with<T>(
        subject: T,
        work: impl FnOnce(T),
    ) -> Result<Self, (Errno, T)> {
        let mask = Signals::hold();
        // SAFETY: as fork(2), without a signal at its end. The caller respects the rule about locks
        // above.
        let pid = unsafe { libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0) };
        if pid == 0 {
            let _end = exec::ExitOnDrop;
            work(subject);
            exec::exit_now(0);
        }
        let failure = Errno::last();
        Signals::release(&mask);
        match i32::try_from(pid) {
            Ok(pid) if pid > 0 => Ok(Self { pid }),
            Ok(_) | Err(_) => Err((failure, subject)),
        }
    }

    pub(in crate::sys) const fn pid(&self) -> i32 {
        self.pid
    }

    /// Reaps it if it has ended. (In a child of the process that started it, it counts as ended.)
    pub(in crate::sys) fn has_ended(&self) -> bool {
        self.wait(libc::WNOHANG) != Ok(None)
    }

    /// Waits for its end. The wait status; `None` if it is not a child of this process.
    pub(in crate::sys) fn end(self) -> Option<i32> {
        loop {
            match self.wait(0) {
                Err(Errno::EINTR) => {}
                other => return other.ok().flatten(),
            }
        }
    }

    /// Its wait status, if it has ended.
    fn wait(&self, flags: i32) -> nix::Result<Option<i32>> {
        let mut status = 0;
        // SAFETY: status is a live local. The child has not been reaped, so the pid is its own.
        let found = unsafe { libc::waitpid(self.pid, &raw mut status, flags | libc::__WCLONE) };
        Ok((Errno::result(found)? != 0).then_some(status))
    }
}
