//! A run in several threads: each has a share of the clients, and all share the number of requests.

use std::io::Write as _;
use std::num::NonZero;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::plan::Plan;
use super::run::Run;
use super::shared::Shared;
use super::tally::Tally;
use super::target::Target;

/// The outcome of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) tally: Tally,
    pub(crate) time: Duration,
    /// Requests that were in progress when a signal ended the run.
    pub(crate) unfinished: usize,
    pub(crate) was_interrupted: bool,
}

/// Runs the plan in at most `threads` threads, each with at least one client.
///
/// # Errors
/// Threads, or the means to wait for sockets, are not available.
pub(crate) fn run(
    plan: &Plan,
    target: &Target,
    threads: NonZero<usize>,
) -> Result<Outcome, String> {
    let failed = |error: &dyn std::fmt::Display| format!("cannot start: {error}");
    let signals = stop_signals().map_err(|errno| failed(&errno))?;
    let shared = Shared::new(Instant::now());
    let threads = threads.get().min(plan.clients);
    let mut tally = Tally::new(shared.started, plan.timeout)?;
    let mut runs = Vec::with_capacity(threads);
    let mut controls = Vec::with_capacity(threads);
    for thread in 0..threads {
        // The first threads get the remainder.
        let clients = plan.clients / threads + usize::from(thread < plan.clients % threads);
        let (stop, control) = UnixStream::pair().map_err(|error| failed(&error))?;
        let run = Run::new(plan, &shared, target.clone(), clients, stop);
        runs.push(run.map_err(|error| failed(&error))?);
        controls.push(control);
    }
    // Reaches end of file when the last thread ends.
    let (over, alive) = UnixStream::pair().map_err(|error| failed(&error))?;
    let parts = std::thread::scope(|scope| {
        let mut handles = Vec::with_capacity(threads);
        for run in runs {
            let alive = alive.try_clone().map_err(|error| failed(&error))?;
            let thread = std::thread::Builder::new().spawn_scoped(scope, move || {
                let part = run.through();
                drop(alive);
                part
            });
            handles.push(thread.map_err(|error| failed(&error))?);
        }
        drop(alive);
        relay(&signals, &over, &controls).map_err(|errno| failed(&errno))?;
        let ends = handles.into_iter().map(|handle| match handle.join() {
            Ok(part) => part,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        ends.collect::<Result<Vec<_>, String>>()
    })?;
    let now = Instant::now();
    let (mut unfinished, mut was_interrupted) = (0, false);
    for part in parts {
        tally.merge(part.tally)?;
        unfinished += part.unfinished;
        was_interrupted |= part.was_interrupted;
    }
    tally.finish(shared.answered(now));
    Ok(Outcome {
        tally,
        time: now - shared.started,
        unfinished,
        was_interrupted,
    })
}

/// Forwards each signal to every thread, until the last thread has ended.
fn relay(signals: &SignalFd, over: &UnixStream, controls: &[UnixStream]) -> Result<(), Errno> {
    loop {
        let mut sources = [
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(over.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut sources, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
        while signals.read_signal()?.is_some() {
            for mut control in controls {
                // It fails for a thread that has ended.
                let _ = control.write_all(&[0]);
            }
        }
        if sources[1].any() == Some(true) {
            return Ok(());
        }
    }
}

/// A descriptor for the signals that end the run early. The threads inherit the blocked signals.
fn stop_signals() -> Result<SignalFd, Errno> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    signals.thread_block()?;
    SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
}
