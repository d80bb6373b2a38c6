//! Stops a running thread for a moment, with ptrace(2).
//!
//! PTRACE_SEIZE and PTRACE_INTERRUPT send no signal. The kernel detaches everything when the tracing
//! thread ends, so the caller has one for this alone.

use std::fmt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::registers::{self, Registers};

/// How long a thread may take to stop. One in uninterruptible sleep does not.
const STOP_LIMIT: Duration = Duration::from_millis(40);
const INTERVAL: Duration = Duration::from_micros(50);

/// Why a thread was not stopped.
#[derive(Debug)]
pub(super) enum Failure {
    /// Not permitted.
    Refused(Errno),
    /// It did not stop in time.
    Timeout,
    /// It had just begun to wait in a system call.
    Interrupted,
    /// It has ended, or does something that cannot be understood.
    Gone,
    /// The processor has registers that are not known here.
    Unsupported,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(errno) => write!(f, "ptrace: {errno}"),
            Self::Timeout => {
                f.write_str("it did not stop in time: it may be in uninterruptible sleep")
            }
            Self::Interrupted => f.write_str("it waits and runs in turn"),
            Self::Gone => f.write_str("it has ended"),
            Self::Unsupported => f.write_str("this processor is not supported"),
        }
    }
}

/// Stops a thread, calls `look`, and lets it continue. Returns how long it was stopped.
pub(super) fn halted(tid: i32, look: impl FnOnce(Registers)) -> Result<Duration, Failure> {
    let thread = Pid::from_raw(tid);
    ptrace::seize(thread, ptrace::Options::empty()).map_err(refused)?;
    ptrace::interrupt(thread).map_err(refused)?;
    let asked = Instant::now();
    loop {
        match waitpid(thread, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => {
                if asked.elapsed() > STOP_LIMIT {
                    return Err(Failure::Timeout);
                }
                sleep(INTERVAL);
            }
            Ok(WaitStatus::PtraceEvent(..)) => {
                let found = match registers::restart_call(thread) {
                    Ok(true) => Err(Failure::Interrupted),
                    Ok(false) => of(thread),
                    Err(errno) => Err(refused(errno)),
                };
                let result = found.map(look);
                let _ = ptrace::detach(thread, None);
                return result.map(|()| asked.elapsed());
            }
            // A signal arrived in the same moment. The thread gets it.
            Ok(WaitStatus::Stopped(_, signal)) => {
                let result = of(thread).map(look);
                let _ = ptrace::detach(thread, signal);
                return result.map(|()| asked.elapsed());
            }
            Ok(_) | Err(_) => return Err(Failure::Gone),
        }
    }
}

fn of(thread: Pid) -> Result<Registers, Failure> {
    match registers::of(thread) {
        Ok(Some(registers)) => Ok(registers),
        Ok(None) => Err(Failure::Unsupported),
        Err(errno) => Err(refused(errno)),
    }
}

fn refused(errno: Errno) -> Failure {
    match errno {
        Errno::ESRCH => Failure::Gone,
        other => Failure::Refused(other),
    }
}
