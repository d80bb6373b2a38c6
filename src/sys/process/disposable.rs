//! Copies of this process that live for a moment, and make the calls that somebody else can make block.
//!
//! Whoever shares a socket's description can set SO_LINGER, lock the socket, or leave descriptors in its
//! receive queue that take long to close: only the last close waits, but who closes last cannot be chosen.
//! So this process closes while a disposable one still holds a copy, and that one ends: a process that ends
//! does not linger.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::socket::{Shutdown, shutdown};
use parking_lot::Mutex;

use crate::error;
use crate::sys::fd::{io, pipe};
use crate::sys::process::exec;
use crate::sys::process::hidden_child::HiddenChild;
use crate::sys::socket::listeners::descriptors;

/// What a disposable process needs, made before the descriptors that it is to have.
#[derive(Debug)]
pub(crate) struct Prepared {
    ours: OwnedFd,
    its: OwnedFd,
}

/// A disposable process that was not reaped yet. It begins when it is released.
#[derive(Debug)]
pub(crate) struct Disposable {
    child: HiddenChild,
    /// Tells it to begin; at its end when the process is.
    channel: OwnedFd,
}

impl Prepared {
    pub(crate) fn new() -> error::Result<Self> {
        let (ours, its) = pipe::pair("channel of a disposable process")?;
        Ok(Self { ours, its })
    }

    /// Starts the process, which does this work on its copy of a subject once it is released, with no other
    /// descriptors than these, and ends: at the latest after this time, if the kernel lets it. This process drops
    /// its own copy at once, or has it back where none can be started. The caller has made sure that this process
    /// has one thread.
    ///
    /// The host does not notice its end.
    pub(crate) fn start<T>(
        self,
        limit: Duration,
        keep: impl IntoIterator<Item = RawFd>,
        subject: T,
        work: impl FnOnce(T),
    ) -> Result<Disposable, T> {
        // Made here: the copy of a process with threads could wait for memory without end.
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
    /// Has it begin: the caller has closed what the process is to close.
    pub(crate) fn release(&self) {
        let _ = shutdown(self.channel.as_raw_fd(), Shutdown::Write);
    }

    /// At its end when the process has nothing open any more.
    pub(crate) fn channel(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }

    /// Reaps the process if it has ended.
    pub(crate) fn is_gone(&self) -> bool {
        self.child.is_gone()
    }
}

/// Closes sockets that others have, or had, in their hands, without waiting for anything that they may have done to
/// them. This process may have threads. False: they were closed here, for want of a process.
pub(crate) fn close_sockets(sockets: Vec<OwnedFd>) -> bool {
    /// Until it is reaped; if it takes longer, the next call does it.
    const MOMENT: u16 = 50;
    let Ok(Prepared { ours, its }) = Prepared::new() else {
        return false;
    };
    // System calls only: this process may have threads.
    let started = HiddenChild::start(|| {
        end_after(Duration::from_secs(1));
        wait_for_release(&its);
    });
    drop((sockets, its));
    let Ok(child) = started else {
        return false;
    };
    let _ = shutdown(ours.as_raw_fd(), Shutdown::Write);
    let mut watched = [PollFd::new(ours.as_fd(), PollFlags::POLLIN)];
    let _ = poll(&mut watched, PollTimeout::from(MOMENT));
    reap_later(child);
    true
}

/// In a disposable process, in which all signals are held.
fn run(channel: &OwnedFd, limit: Duration, kept: &[RawFd], work: impl FnOnce()) {
    end_after(limit);
    close_all_but(kept);
    wait_for_release(channel);
    work();
}

/// In a disposable process: does something in which no call lasts longer than this, if the kernel lets a signal end it:
/// such a call fails with EINTR. The process ends if all of it takes longer than the limit.
pub(crate) fn interrupting(time: Duration, limit: Duration, work: impl FnOnce()) {
    static TICKS: AtomicU64 = AtomicU64::new(0);
    extern "C" fn interrupt(_signal: libc::c_int) {
        if TICKS.fetch_sub(1, Ordering::Relaxed) <= 1 {
            exec::leave(1);
        }
    }
    let ticks = limit.as_nanos() / time.as_nanos().max(1) + 1;
    TICKS.store(u64::try_from(ticks).unwrap_or(u64::MAX), Ordering::Relaxed);
    let action = SigAction::new(
        SigHandler::Handler(interrupt),
        SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: the handler touches an atomic, or ends the process.
    if unsafe { sigaction(Signal::SIGALRM, &action) }.is_ok() {
        set_timer(time);
        work();
    }
}

/// In a disposable process: does something that its time does not cut in two. It must not be able to block.
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

/// In a disposable process: has the kernel end it after this time.
pub(crate) fn end_after(limit: Duration) {
    // First the time: until then an earlier timer may run.
    set_timer(limit);
    // SAFETY: the default action is a valid one.
    unsafe { libc::signal(libc::SIGALRM, libc::SIG_DFL) };
    let _ = alarm().thread_unblock();
}

/// SIGALRM after this time, again and again.
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

/// In a disposable process: has the standard descriptors name this one, so that nothing that is opened lands there.
pub(crate) fn occupy_standard(fd: BorrowedFd<'_>) {
    for number in 0..3 {
        // SAFETY: integers only. Nobody uses these in this process, which has none of the original's.
        unsafe { libc::dup2(fd.as_raw_fd(), number) };
    }
}

/// In a disposable process: closes descriptors that it was given, and the standard ones.
pub(crate) fn close_given(given: &[RawFd]) {
    for number in given.iter().copied().chain(0..3) {
        // SAFETY: whatever has the number is used by nobody in this process, which ends without dropping it.
        unsafe { libc::close(number) };
    }
}

/// Has a process make system calls that somebody else can make block, and waits for its answer for so long at most.
/// `None`: there is none, since the call has not returned. This process may have threads.
///
/// # Errors
/// There is no process to ask.
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
    let mut watched = [PollFd::new(ours.as_fd(), PollFlags::POLLIN)];
    let _ = poll(&mut watched, io::timeout(Some(patience)));
    let mut answer = [0; size_of::<i32>()];
    let length = nix::unistd::read(&ours, &mut answer);
    reap_later(child);
    Ok((length == Ok(answer.len())).then(|| i32::from_ne_bytes(answer)))
}

/// A process that has done its work is reaped here, or when the next one is.
fn reap_later(child: HiddenChild) {
    static UNREAPED: Mutex<Vec<HiddenChild>> = Mutex::new(Vec::new());
    let mut unreaped = UNREAPED.lock();
    unreaped.push(child);
    unreaped.retain(|child| !child.is_gone());
}

/// The descriptors that a process is to keep, its channel too, in their order.
pub(in crate::sys) fn sorted(
    keep: impl IntoIterator<Item = RawFd>,
    channel: &OwnedFd,
) -> Vec<RawFd> {
    let mut kept: Vec<RawFd> = keep.into_iter().collect();
    kept.push(channel.as_raw_fd());
    kept.sort_unstable();
    kept
}

/// In a disposable process: the copies that it has of other descriptors than these would keep open what this one
/// closes. They come in their order.
pub(in crate::sys) fn close_all_but(kept: &[RawFd]) {
    if close_gaps(kept).is_ok() {
        return;
    }
    // Before Linux 5.9, or where a filter refuses the call.
    for number in descriptors() {
        if !kept.contains(&number) {
            // SAFETY: whatever has the number is used by nobody in this process, which ends without dropping it.
            unsafe { libc::close(number) };
        }
    }
}

/// close_range(2) for what lies before, between and behind these.
fn close_gaps(kept: &[RawFd]) -> nix::Result<()> {
    let mut first = 0;
    let ends = kept.iter().map(|number| i64::from(*number));
    for end in ends.chain([i64::from(u32::MAX) + 1]) {
        if first < end {
            // SAFETY: whatever has these numbers is used by nobody in this process, which ends without dropping it.
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

    fn end_of(process: &Disposable) {
        let mut watched = [PollFd::new(process.channel(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut watched, PollTimeout::from(10_000_u16)), Ok(1));
        let begin = Instant::now();
        while !process.is_gone() {
            assert!(begin.elapsed() < Duration::from_secs(10));
        }
    }

    /// A process that works on one end of a pair when it is released, behind the other end.
    fn started(limit: Duration, work: impl FnOnce(UnixStream)) -> (UnixStream, Disposable) {
        let (near, far) = UnixStream::pair().unwrap();
        let keep = [far.as_raw_fd()];
        let process = Prepared::new().unwrap().start(limit, keep, far, work);
        (near, process.unwrap())
    }

    /// What it says until its end.
    fn rest(mut near: UnixStream, process: &Disposable) -> Vec<u8> {
        let mut bytes = Vec::new();
        near.read_to_end(&mut bytes).unwrap();
        end_of(process);
        bytes
    }

    #[test]
    fn what_is_undisturbed_comes_to_its_end_and_nothing_behind_it() {
        let limit = Duration::from_millis(10);
        let (near, process) = started(limit, |mut far| {
            undisturbed(|| {
                let begin = Instant::now();
                while begin.elapsed() < 5 * limit {}
                far.write_all(b"whole").unwrap();
            });
            far.write_all(b"more").unwrap();
        });
        process.release();
        assert_eq!(rest(near, &process), b"whole");
    }

    #[test]
    fn it_works_when_it_is_released_and_has_only_what_it_was_given() {
        let (mut other, closed) = UnixStream::pair().unwrap();
        let (near, process) = started(LONG, |mut far| far.write_all(b"done").unwrap());
        // This process's copy is the last one.
        drop(closed);
        assert_eq!(other.read(&mut [0]).unwrap(), 0);
        assert!(!process.is_gone());
        process.release();
        assert_eq!(rest(near, &process), b"done");
    }

    #[test]
    fn a_call_that_blocks_is_interrupted_again_and_again() {
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
    fn it_ends_after_its_time() {
        let process = Prepared::new()
            .unwrap()
            .start(Duration::from_millis(30), [], (), |()| {
                std::thread::sleep(Duration::from_secs(60));
            })
            .unwrap();
        let begin = Instant::now();
        process.release();
        end_of(&process);
        assert!(begin.elapsed() < Duration::from_secs(10));
    }
}
