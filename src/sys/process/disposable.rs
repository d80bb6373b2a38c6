//! Short-lived copies of this process for system calls that another process can make block.
//!
//! A process that shares a socket can set SO_LINGER, lock the socket, or leave descriptors in its
//! receive queue whose close takes long. Only the last close blocks, but which one is the last
//! cannot be chosen. So this process closes the socket while a disposable process still has a copy.
//! Then that process ends, and a process that ends does not linger.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::socket::{Shutdown, shutdown};
use parking_lot::Mutex;

use crate::error;
use crate::sys::fd::pipe;
use crate::sys::fd::poll::readable_within;
use crate::sys::process::exec;
use crate::sys::process::hidden_child::HiddenChild;
use crate::sys::socket::listeners::descriptors;

/// What a disposable process needs, created before the descriptors that it gets.
#[derive(Debug)]
pub(crate) struct Prepared {
    ours: OwnedFd,
    its: OwnedFd,
}

/// A disposable process that has not been reaped yet. It begins when it is released.
#[derive(Debug)]
pub(crate) struct Disposable {
    child: HiddenChild,
    /// Releases the process; ends when the process ends.
    channel: OwnedFd,
}

impl Prepared {
    pub(crate) fn new() -> error::Result<Self> {
        let (ours, its) = pipe::pair("channel of a disposable process")?;
        Ok(Self { ours, its })
    }

    /// Starts the process. Once it is released, it does this work on its copy of a subject, with
    /// only these descriptors, and ends; at the latest after this time, if the kernel allows it.
    /// This process drops its own copy of the subject immediately, or gets it back if no process
    /// can be started. The caller ensures that this process has one thread.
    ///
    /// The host does not notice the end of the process.
    pub(crate) fn start<T>(
        self,
        limit: Duration,
        keep: impl IntoIterator<Item = RawFd>,
        subject: T,
        work: impl FnOnce(T),
    ) -> Result<Disposable, T> {
        // Allocated here: in a copy of a process with threads, an allocation could block forever.
        let kept = sorted(keep, &self.its);
        let started = HiddenChild::start_with(subject, |subject| {
            run(&self.its, limit, &kept, || work(subject));
        });
        match started {
            Ok(child) => Ok(Disposable {
                child,
                channel: self.ours,
            }),
            Err((_, subject)) => Err(subject),
        }
    }
}

impl Disposable {
    /// Lets it begin: the caller has closed its own copies.
    pub(crate) fn release(&self) {
        let _ = shutdown(self.channel.as_raw_fd(), Shutdown::Write);
    }

    /// Ends when the process has closed everything.
    pub(crate) fn channel(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }

    /// Reaps the process if it has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.child.has_ended()
    }
}

/// Closes sockets that other processes may have changed, without blocking. This process may have
/// threads. False: no process could be started, and they were closed here.
pub(crate) fn close_sockets(sockets: Vec<OwnedFd>) -> bool {
    /// How long to wait before reaping it; if that is too short, the next call reaps it.
    const MOMENT: Duration = Duration::from_millis(50);
    let Ok(Prepared { ours, its }) = Prepared::new() else {
        return false;
    };
    // Only system calls: this process may have threads.
    let started = HiddenChild::start(|| {
        end_after(Duration::from_secs(1));
        wait_for_release(&its);
    });
    drop((sockets, its));
    let Ok(child) = started else {
        return false;
    };
    let _ = shutdown(ours.as_raw_fd(), Shutdown::Write);
    readable_within(ours.as_fd(), MOMENT);
    reap_later(child);
    true
}

/// Runs in a disposable process, in which all signals are blocked.
fn run(channel: &OwnedFd, limit: Duration, kept: &[RawFd], work: impl FnOnce()) {
    end_after(limit);
    close_all_but(kept);
    wait_for_release(channel);
    work();
}

/// In a disposable process: does this work, and interrupts calls that last longer than this time;
/// they fail with EINTR if they can be interrupted. The process ends if the work takes longer than
/// the limit.
pub(crate) fn interrupting(time: Duration, limit: Duration, work: impl FnOnce()) {
    static TICKS: AtomicU64 = AtomicU64::new(0);
    extern "C" fn interrupt(_signal: libc::c_int) {
        if TICKS.fetch_sub(1, Ordering::Relaxed) <= 1 {
            exec::exit_now(1);
        }
    }
    let ticks = limit.as_nanos() / time.as_nanos().max(1) + 1;
    TICKS.store(u64::try_from(ticks).unwrap_or(u64::MAX), Ordering::Relaxed);
    let action = SigAction::new(
        SigHandler::Handler(interrupt),
        SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: the handler only changes an atomic, or ends the process.
    if unsafe { sigaction(Signal::SIGALRM, &action) }.is_ok() {
        set_timer(time);
        work();
    }
}

/// In a disposable process: does this work even if the time limit passes meanwhile. It must not
/// block.
pub(crate) fn undisturbed<T>(work: impl FnOnce() -> T) -> T {
    let alarm = alarm();
    let _ = alarm.thread_block();
    let result = work();
    let _ = alarm.thread_unblock();
    result
}

fn alarm() -> SigSet {
    [Signal::SIGALRM].into_iter().collect()
}

/// In a disposable process: the kernel will end it after this time.
pub(crate) fn end_after(limit: Duration) {
    // The timer first: the previous one may still run, and the default action would end the
    // process.
    set_timer(limit);
    // SAFETY: the default action is a valid one.
    unsafe { libc::signal(libc::SIGALRM, libc::SIG_DFL) };
    let _ = alarm().thread_unblock();
}

/// SIGALRM after this time, repeatedly.
fn set_timer(time: Duration) {
    let value = libc::timeval {
        tv_sec: time.as_secs() as libc::time_t,
        tv_usec: libc::suseconds_t::from(time.subsec_micros().max(1)),
    };
    let timer = libc::itimerval {
        it_interval: value,
        it_value: value,
    };
    // SAFETY: the timer is a live local.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
}

/// In a disposable process: makes the standard descriptors copies of this one, so that nothing else
/// gets their numbers.
pub(crate) fn occupy_standard(fd: BorrowedFd<'_>) {
    for number in 0..3 {
        // SAFETY: integers only. Nothing uses these numbers in this process.
        unsafe { libc::dup2(fd.as_raw_fd(), number) };
    }
}

/// In a disposable process: closes the descriptors that it got, and the standard ones.
pub(crate) fn close_given(given: &[RawFd]) {
    for number in given.iter().copied().chain(0..3) {
        // SAFETY: nothing in this process uses or drops the descriptor.
        unsafe { libc::close(number) };
    }
}

/// Makes system calls that may block in a disposable process, and returns their result. `None`:
/// they did not return within this time. This process may have threads.
///
/// # Errors
/// No process could be started.
pub(crate) fn ask(
    patience: Duration,
    question: impl FnOnce() -> i32,
) -> error::Result<Option<i32>> {
    let Prepared { ours, its } = Prepared::new()?;
    let started = HiddenChild::start(|| {
        end_after(Duration::from_secs(1));
        let answer = question().to_ne_bytes();
        let _ = nix::unistd::write(&its, &answer);
    });
    drop(its);
    let child = started
        .map_err(|errno| error::Error::system("fork of a disposable process", errno as i32))?;
    readable_within(ours.as_fd(), patience);
    let mut answer = [0; size_of::<i32>()];
    let length = nix::unistd::read(&ours, &mut answer);
    reap_later(child);
    Ok((length == Ok(answer.len())).then(|| i32::from_ne_bytes(answer)))
}

/// Reaps a process that has done its work, now or with the next one.
fn reap_later(child: HiddenChild) {
    static UNREAPED: Mutex<Vec<HiddenChild>> = Mutex::new(Vec::new());
    let mut unreaped = UNREAPED.lock();
    unreaped.push(child);
    unreaped.retain(|child| !child.has_ended());
}

/// The descriptors that a process keeps, including its channel, sorted.
pub(in crate::sys) fn sorted(
    keep: impl IntoIterator<Item = RawFd>,
    channel: &OwnedFd,
) -> Vec<RawFd> {
    let mut kept: Vec<RawFd> = keep.into_iter().collect();
    kept.push(channel.as_raw_fd());
    kept.sort_unstable();
    kept
}

/// In a disposable process: closes its copies of all other descriptors, which would keep open what
/// the original process closes. `kept` is sorted.
pub(in crate::sys) fn close_all_but(kept: &[RawFd]) {
    if close_gaps(kept).is_ok() {
        return;
    }
    // Before Linux 5.9, or where a filter refuses the call.
    for number in descriptors() {
        if !kept.contains(&number) {
            // SAFETY: nothing in this process uses or drops the descriptor.
            unsafe { libc::close(number) };
        }
    }
}

/// close_range(2) for the numbers before, between and after these.
fn close_gaps(kept: &[RawFd]) -> nix::Result<()> {
    let mut first = 0;
    let ends = kept.iter().map(|number| i64::from(*number));
    for end in ends.chain([i64::from(u32::MAX) + 1]) {
        if first < end {
            // SAFETY: nothing in this process uses or drops these descriptors.
            let closed = unsafe { libc::syscall(libc::SYS_close_range, first, end - 1, 0) };
            Errno::result(closed)?;
        }
        first = first.max(end + 1);
    }
    Ok(())
}

fn wait_for_release(channel: &OwnedFd) {
    let mut watched = [PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
    while poll(&mut watched, PollTimeout::NONE) == Err(Errno::EINTR) {}
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_secs(10);

    fn await_end(process: &Disposable) {
        let mut watched = [PollFd::new(process.channel(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut watched, PollTimeout::from(10_000_u16)), Ok(1));
        let begin = Instant::now();
        while !process.has_ended() {
            assert!(begin.elapsed() < Duration::from_secs(10));
        }
    }

    /// One end of a pair, and a process that works on the other end when it is released.
    fn started(limit: Duration, work: impl FnOnce(UnixStream)) -> (UnixStream, Disposable) {
        let (near, far) = UnixStream::pair().unwrap();
        let keep = [far.as_raw_fd()];
        let process = Prepared::new().unwrap().start(limit, keep, far, work);
        (near, process.unwrap())
    }

    /// What it writes until its end.
    fn rest(mut near: UnixStream, process: &Disposable) -> Vec<u8> {
        let mut bytes = Vec::new();
        near.read_to_end(&mut bytes).unwrap();
        await_end(process);
        bytes
    }

    #[test]
    fn undisturbed_work_is_completed_after_the_limit_and_nothing_after_it() {
        // Long enough to get to the work on a busy machine.
        let limit = Duration::from_secs(1);
        let (near, process) = started(limit, |mut far| {
            undisturbed(|| {
                std::thread::sleep(2 * limit);
                far.write_all(b"whole").unwrap();
            });
            far.write_all(b"more").unwrap();
        });
        process.release();
        assert_eq!(rest(near, &process), b"whole");
    }

    #[test]
    fn it_works_after_its_release_with_only_its_own_descriptors() {
        let (mut other, closed) = UnixStream::pair().unwrap();
        let (near, process) = started(LONG, |mut far| far.write_all(b"done").unwrap());
        // The disposable process has closed its copy, so this is the last one.
        drop(closed);
        assert_eq!(other.read(&mut [0]).unwrap(), 0);
        assert!(!process.has_ended());
        process.release();
        assert_eq!(rest(near, &process), b"done");
    }

    #[test]
    fn a_call_that_blocks_is_interrupted_repeatedly() {
        let (near, process) = started(LONG, |mut far| {
            interrupting(Duration::from_millis(5), LONG, || {
                for _ in 0..3 {
                    let found = nix::unistd::read(&far, &mut [0]);
                    far.write_all(&[u8::from(found == Err(Errno::EINTR))])
                        .unwrap();
                }
            });
        });
        process.release();
        assert_eq!(rest(near, &process), [1, 1, 1]);
    }

    #[test]
    fn it_ends_at_its_limit() {
        let process = Prepared::new()
            .unwrap()
            .start(Duration::from_millis(30), [], (), |()| {
                std::thread::sleep(Duration::from_secs(60));
            })
            .unwrap();
        let begin = Instant::now();
        process.release();
        await_end(&process);
        assert!(begin.elapsed() < Duration::from_secs(10));
    }
}
