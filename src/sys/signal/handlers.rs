//! The manager's signals: their handlers count the signal and wake the manager, and nothing else.

use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};

use crate::error::{Code, Error, Result};
use crate::sys::fd::errno;

/// The signals that a manager handles.
pub(crate) const MANAGED: [i32; 8] = [
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGHUP,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGUSR1,
    libc::SIGUSR2,
];

const COUNTERS: usize = 65;

/// How often each signal arrived since the manager last took it.
static ARRIVED: [AtomicU32; COUNTERS] = [const { AtomicU32::new(0) }; COUNTERS];
/// The write end of the pipe that wakes the manager, or -1.
static WAKE: AtomicI32 = AtomicI32::new(-1);
/// Handlers that are running in this process, in any thread.
static RUNNING: AtomicU32 = AtomicU32::new(0);
/// The process that the two above belong to: a child that the host forks inherits the handlers.
static OWNER: AtomicI32 = AtomicI32::new(0);

/// The manager's handlers, and what they have replaced.
#[derive(Debug)]
pub(crate) struct Signals {
    /// Stays open as long as [`WAKE`] has its number, or a handler may write to it.
    wake: ManuallyDrop<OwnedFd>,
    before: Vec<(i32, libc::sigaction)>,
    mask: SigSet,
}

impl Signals {
    /// From here on this process's signals are written into the pipe: with `handlers`, those that
    /// the kernel delivers; in any case, those that are passed to [`arrive`].
    ///
    /// # Errors
    /// This process already has a manager, or a system call failed.
    pub(crate) fn install(wake: OwnedFd, handlers: bool) -> Result<Self> {
        let mask = SigSet::thread_get_mask().map_err(|e| failed("sigprocmask", e))?;
        let pid = crate::sys::process::pid();
        if OWNER.swap(pid, Ordering::SeqCst) == pid {
            return Err(Error::new(
                Code::State,
                "a manager runs in this process already",
            ));
        }
        ARRIVED
            .iter()
            .for_each(|count| count.store(0, Ordering::Relaxed));
        RUNNING.store(0, Ordering::SeqCst);
        WAKE.store(wake.as_raw_fd(), Ordering::SeqCst);
        let mut this = Self {
            wake: ManuallyDrop::new(wake),
            before: Vec::with_capacity(MANAGED.len() + 2),
            mask,
        };
        // With SIGCHLD ignored the kernel would reap the workers, and their exit statuses would be
        // lost.
        if disposition(libc::SIGCHLD)? == libc::SIG_IGN {
            this.set(libc::SIGCHLD, libc::SIG_DFL)?;
        }
        if handlers {
            for signal in MANAGED {
                this.set(signal, on_signal as *const () as usize)?;
            }
            let managed: SigSet = MANAGED
                .into_iter()
                .filter_map(|signal| Signal::try_from(signal).ok())
                .collect();
            managed
                .thread_unblock()
                .map_err(|e| failed("sigprocmask", e))?;
        }
        Ok(this)
    }

    /// Makes the death of any child wake the manager, for children without a pidfd. If that failed
    /// (it cannot, for SIGCHLD), the manager would learn of a death at its next wake-up.
    pub(crate) fn watch_children(&mut self) {
        let handler = on_signal as *const () as usize;
        if disposition(libc::SIGCHLD).is_ok_and(|now| now == handler) {
            return;
        }
        let mut child = SigSet::empty();
        child.add(Signal::SIGCHLD);
        let _ = self.set(libc::SIGCHLD, handler);
        let _ = child.thread_unblock();
        // A child may have ended just before.
        arrive(libc::SIGCHLD);
    }

    fn set(&mut self, signal: i32, handler: usize) -> Result<()> {
        // SAFETY: zeroed is a valid sigaction; both pointers are to live locals; the handler only
        // touches atomics and calls write(2) and getpid(2).
        let before = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            let mut before: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler;
            // One at a time: the stack for signals may have room for no more (sigaltstack(2)).
            libc::sigfillset(&raw mut action.sa_mask);
            // SA_RESTART: the host's own calls between two events are not interrupted. poll(2)
            // always is.
            action.sa_flags = libc::SA_ONSTACK | libc::SA_RESTART;
            if signal == libc::SIGCHLD {
                action.sa_flags |= libc::SA_NOCLDSTOP;
            }
            if libc::sigaction(signal, &raw const action, &raw mut before) != 0 {
                return Err(failed("sigaction", Errno::last()));
            }
            before
        };
        // SIGCHLD may be set twice; the first previous action counts.
        if !self.before.iter().any(|(known, _)| *known == signal) {
            self.before.push((signal, before));
        }
        Ok(())
    }

    /// Blocks every signal, so that a signal between a fork and the child's own handlers waits for
    /// those.
    pub(crate) fn hold() -> SigSet {
        let mut before = SigSet::empty();
        let _ = nix::sys::signal::pthread_sigmask(
            SigmaskHow::SIG_SETMASK,
            Some(&SigSet::all()),
            Some(&mut before),
        );
        before
    }

    /// Ends a [`hold`](Self::hold).
    pub(crate) fn release(mask: &SigSet) {
        let _ = mask.thread_set_mask();
    }

    /// The signal mask before the manager was started.
    pub(crate) fn original_mask(&self) -> SigSet {
        self.mask
    }

    fn restore_dispositions(&mut self) {
        for (signal, before) in self.before.drain(..) {
            // SAFETY: the action is the one that sigaction itself returned.
            unsafe { libc::sigaction(signal, &raw const before, ptr::null_mut()) };
        }
    }

    /// In a fresh worker: restores the dispositions. All signals stay blocked.
    pub(crate) fn restore_for_worker(mut self) {
        self.restore_dispositions();
    }

    /// In a worker that is about to execute a program: the same. A signal that was ignored stays
    /// ignored (nohup(1) relies on it), except the one that asks the program to exit, and SIGPIPE,
    /// which the runtime of Rust ignores. The program would inherit both.
    pub(crate) fn restore_for_program(&mut self, stop_signal: i32) {
        self.restore_dispositions();
        reset_for_program(stop_signal);
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        // In a child that the host forked, the handlers are up to the host, but they must not write
        // to a descriptor that is about to be another file.
        WAKE.store(-1, Ordering::SeqCst);
        let is_owner = OWNER.swap(0, Ordering::SeqCst) == crate::sys::process::pid();
        if is_owner {
            self.restore_dispositions();
            let _ = self.mask.thread_set_mask();
        }
        // A handler in another thread may have read the number before. A child has no other
        // threads.
        if !is_owner || none_is_running() {
            // SAFETY: it is no longer used, and dropped nowhere else.
            unsafe { ManuallyDrop::drop(&mut self.wake) };
        }
    }
}

/// In a process that is about to execute a program: the signal that asks it to exit, and SIGPIPE, are
/// not ignored.
pub(crate) fn reset_for_program(stop_signal: i32) {
    for signal in [stop_signal, libc::SIGPIPE] {
        if disposition(signal).is_ok_and(|now| now == libc::SIG_IGN) {
            // SAFETY: the default action has no handler that could be wrong.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
    }
}

/// Waits up to 0.1 s until no handler is running: its thread may wait for a processor.
fn none_is_running() -> bool {
    const TRIES: u32 = 1000;
    (0..TRIES).any(|_| {
        let none = RUNNING.load(Ordering::SeqCst) == 0;
        if !none {
            std::thread::sleep(Duration::from_micros(100));
        }
        none
    })
}

/// Handles a signal as if the kernel had delivered it. Async-signal-safe.
pub(crate) fn arrive(signal: i32) {
    // SAFETY: getpid has no preconditions, and the thread's errno is restored below. The cached pid
    // is not used: its first use in a child would have to write.
    let (errno, pid) = unsafe { (*libc::__errno_location(), libc::getpid()) };
    let count = usize::try_from(signal).ok().and_then(|at| ARRIVED.get(at));
    if let Some(count) = count.filter(|_| OWNER.load(Ordering::SeqCst) == pid) {
        count.fetch_add(1, Ordering::SeqCst);
        RUNNING.fetch_add(1, Ordering::SeqCst);
        let wake = WAKE.load(Ordering::SeqCst);
        // SAFETY: one byte from a static, to a non-blocking descriptor that stays open as long as
        // it is in WAKE, and this call is counted. A full pipe wakes as well as another byte.
        unsafe { libc::write(wake, (&raw const BYTE).cast(), 1) };
        RUNNING.fetch_sub(1, Ordering::SeqCst);
    }
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

/// While it lives, every signal is blocked in this thread, as by [`Signals::hold`].
#[derive(Debug)]
pub(crate) struct Held(SigSet);

impl Held {
    pub(crate) fn begin() -> Self {
        Self(Signals::hold())
    }

    /// They stay blocked; the caller releases them.
    pub(crate) fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        Signals::release(&self.0);
    }
}

static BYTE: u8 = 0;

/// How often a signal arrived since the last call.
pub(crate) fn take(signal: i32) -> u32 {
    usize::try_from(signal)
        .ok()
        .and_then(|signal| ARRIVED.get(signal))
        .map_or(0, |count| count.swap(0, Ordering::SeqCst))
}

/// A signal that has a name.
pub(crate) fn known(signal: i32) -> Result<Signal> {
    Signal::try_from(signal).map_err(|e| failed("signal", e))
}

/// The name of a signal, as in `SIGTERM`.
pub(crate) fn name(signal: i32) -> String {
    Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |s| s.as_str().to_owned())
}

extern "C" fn on_signal(signal: i32) {
    arrive(signal);
}

fn disposition(signal: i32) -> Result<usize> {
    // SAFETY: zeroed is a valid sigaction; a NULL action only queries.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(signal, ptr::null(), &raw mut action) != 0 {
            return Err(failed("sigaction", Errno::last()));
        }
        Ok(action.sa_sigaction)
    }
}

fn failed(call: &str, error: Errno) -> Error {
    Error::system(
        format_args!("signal handlers of the manager: {call}"),
        errno(error),
    )
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;
    use crate::sys::fd::{pipe, poll};

    /// The only test of this process that installs them.
    #[test]
    fn the_pipe_stays_open_while_a_handler_may_write_to_it() {
        let pipe = pipe::pipe("test", true).unwrap();
        let signals = Signals::install(pipe.write, false).unwrap();
        // As if a handler in another thread had read the number, and was preempted.
        RUNNING.fetch_add(1, Ordering::SeqCst);
        let dropping = std::thread::spawn(|| drop(signals));
        let is_closed = |within| {
            let mut ready = Vec::new();
            let read = std::iter::once(pipe.read.as_fd());
            poll::wait(read, Some(within), &mut ready);
            !ready.is_empty()
        };
        assert!(!is_closed(Duration::from_millis(20)));
        RUNNING.fetch_sub(1, Ordering::SeqCst);
        dropping.join().unwrap();
        assert!(is_closed(Duration::ZERO));
    }
}
