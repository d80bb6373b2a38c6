//! Standard error: lines on it, without waiting and without a signal, and its redirection for a while.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::ptr;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::socket::MsgFlags;
use nix::sys::stat::{Mode, SFlag, fstat};
use once_cell::sync::Lazy;
use parking_lot::Mutex;

use super::channel::Pipe;

/// The kernel writes so much to a pipe in one piece (POSIX: at least 512; Linux: 4,096).
const LINE_MAX: usize = 4_096;

/// Writes a line of this process's own. Peers can cause them, so that of each second only the first
/// few are written, and how many were left out.
pub(crate) fn log(text: &str) {
    const PER_SECOND: u64 = 20;
    static BUDGET: Mutex<(u64, u64)> = Mutex::new((0, 0));
    // A child that was forked while another thread has it writes nothing.
    let Some(mut budget) = BUDGET.try_lock() else {
        return;
    };
    let now = since_start().as_secs();
    let (second, lines) = *budget;
    if second != now {
        *budget = (now, 0);
        if let Some(left_out) = lines.checked_sub(PER_SECOND).filter(|n| *n > 0) {
            line(&format!(
                "fcgipm: (pid {}) {left_out} more lines like these",
                super::process::pid()
            ));
        }
    }
    budget.1 += 1;
    if budget.1 > PER_SECOND {
        return;
    }
    line(&format!("fcgipm: (pid {}) {text}", super::process::pid()));
}

fn since_start() -> Duration {
    static START: Lazy<Instant> = Lazy::new(Instant::now);
    START.elapsed()
}

/// Writes a line with one write(2). It is dropped when standard error is closed or full, so that a
/// reader who stands still does not stop the manager.
pub(crate) fn line(text: &str) {
    if room() != Room::Some {
        return;
    }
    let mut bytes: Vec<u8> = text
        .bytes()
        .map(|byte| if byte < b' ' { b' ' } else { byte })
        .take(LINE_MAX - 1)
        .collect();
    bytes.push(b'\n');
    pass_on(&bytes);
}

/// Whether standard error takes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// A line, at least.
    Some,
    /// Its reader stands still.
    None,
    /// It is closed, or nobody reads it.
    Gone,
}

/// Asks standard error whether it takes anything.
pub(crate) fn room() -> Room {
    let mut polled = [PollFd::new(stderr(), PollFlags::POLLOUT)];
    if poll(&mut polled, PollTimeout::ZERO).is_err() {
        return Room::None;
    }
    match polled[0].revents() {
        Some(PollFlags::POLLOUT) => Room::Some,
        Some(events) if events.is_empty() => Room::None,
        Some(_) | None => Room::Gone,
    }
}

/// Writes bytes as they are, with one write(2).
pub(crate) fn pass_on(bytes: &[u8]) {
    without_signals(|| write(stderr(), bytes));
}

/// Writes a host's line as it is, unless nobody reads it, or its reader stands still: then it is dropped.
/// Whether it was written.
pub(crate) fn host_line(bytes: &[u8]) -> bool {
    let room = room();
    if room == Room::Some {
        pass_on(bytes);
    }
    room == Room::Some
}

/// Does not wait for the reader: between the look at the room and this write the others that have
/// standard error, workers above all, may have filled it. The flag that says so is theirs, too, so that
/// a pipe is opened anew for it.
fn write(fd: BorrowedFd<'_>, bytes: &[u8]) {
    let kind = fstat(fd).map_or(SFlag::empty(), |stat| {
        SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
    });
    if kind == SFlag::S_IFSOCK {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let _ = nix::sys::socket::send(fd.as_raw_fd(), bytes, flags);
        return;
    }
    if kind == SFlag::S_IFIFO {
        let own = format!("/proc/self/fd/{}", fd.as_raw_fd());
        let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        match nix::fcntl::open(own.as_str(), flags, Mode::empty()) {
            Ok(own) => {
                let _ = nix::unistd::write(own, bytes);
                return;
            }
            // Nobody reads it.
            Err(Errno::ENXIO) => return,
            // Below another root there is no /proc, and a pipe may be another user's.
            Err(_) => {}
        }
    }
    let _ = nix::unistd::write(fd, bytes);
}

fn stderr() -> BorrowedFd<'static> {
    // SAFETY: descriptor 2 may be closed, and then every call with it fails with EBADF.
    unsafe { BorrowedFd::borrow_raw(2) }
}

/// Standard error while it is a pipe, and what it was before.
#[derive(Debug)]
pub(crate) struct Redirected {
    before: OwnedFd,
    pipe: Pipe,
}

impl Redirected {
    /// Makes standard error the pipe's end that is written. The other end stays open here: whoever
    /// reads it may die, and whatever still writes must not die of SIGPIPE.
    pub(crate) fn to(pipe: Pipe) -> nix::Result<Self> {
        // SAFETY: fcntl makes a descriptor, which nothing else owns.
        let before = unsafe {
            OwnedFd::from_raw_fd(nix::fcntl::fcntl(
                stderr(),
                nix::fcntl::FcntlArg::F_DUPFD_CLOEXEC(3),
            )?)
        };
        make_stderr(pipe.write.as_fd())?;
        Ok(Self { before, pipe })
    }

    /// Makes standard error what it was, unless the host has made it something else meanwhile.
    pub(crate) fn undo(self) {
        let Self { before, pipe } = self;
        let identity = |fd: BorrowedFd<'_>| {
            let stat = nix::sys::stat::fstat(fd).ok()?;
            Some((stat.st_dev, stat.st_ino))
        };
        if identity(stderr()) == identity(pipe.write.as_fd()) {
            // It fails for no open descriptor.
            let _ = make_stderr(before.as_fd());
        }
        drop(pipe.write);
        let mut polled = [PollFd::new(pipe.read.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut polled, PollTimeout::ZERO);
        let is_written = polled[0]
            .revents()
            .is_none_or(|events| !events.contains(PollFlags::POLLHUP));
        if is_written {
            // The host has a copy, or a child of it has. It stays open as long as this process lives.
            std::mem::forget(pipe.read);
        }
    }
}

fn make_stderr(fd: BorrowedFd<'_>) -> nix::Result<()> {
    loop {
        // SAFETY: integers only. Descriptor 2 is standard error, whatever it was before.
        match nix::errno::Errno::result(unsafe { libc::dup2(fd.as_raw_fd(), 2) }) {
            Ok(_) => return Ok(()),
            Err(nix::errno::Errno::EINTR | nix::errno::Errno::EBUSY) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Runs something that may raise SIGPIPE, or SIGXFSZ (a file that reaches RLIMIT_FSIZE), and takes that
/// signal back.
pub(crate) fn without_signals(run: impl FnOnce()) {
    const RAISED: [Signal; 2] = [Signal::SIGPIPE, Signal::SIGXFSZ];
    let before = RAISED.map(pending);
    let raised: SigSet = RAISED.into_iter().collect();
    let Ok(mask) = raised.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK) else {
        return;
    };
    run();
    for (signal, before) in RAISED.into_iter().zip(before) {
        if !before && pending(signal) {
            take_back(signal);
        }
    }
    let _ = mask.thread_set_mask();
}

fn take_back(signal: Signal) {
    let set: SigSet = [signal].into_iter().collect();
    let now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the set and the time are live locals, and no siginfo is asked for.
    unsafe { libc::sigtimedwait(set.as_ref(), ptr::null_mut(), &raw const now) };
}

fn pending(signal: Signal) -> bool {
    // SAFETY: sigpending fills the zeroed set, which sigismember then reads.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigpending(&raw mut set) == 0 && libc::sigismember(&raw const set, signal as i32) == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::channel;
    use std::sync::mpsc::channel;

    #[test]
    fn a_pipe_that_others_have_filled_is_not_waited_for() {
        let pipe = channel::pipe("test", false).unwrap();
        let (sender, written) = channel();
        std::thread::spawn(move || {
            // A pipe takes 64 KiB.
            for _ in 0..20 {
                write(pipe.write.as_fd(), &[b'x'; 4_096]);
            }
            sender.send(pipe).unwrap();
        });
        let patience = Duration::from_secs(20);
        let pipe = written.recv_timeout(patience).expect("a write that waits");
        // What there was room for is there.
        let mut taken = vec![0; 65_536];
        let count = nix::unistd::read(&pipe.read, &mut taken).unwrap();
        assert!(count >= 4_096 && taken[..count].iter().all(|byte| *byte == b'x'));
        drop(pipe.read);
        without_signals(|| write(pipe.write.as_fd(), b"x"));
    }

    #[test]
    fn a_socket_that_others_have_filled_is_not_waited_for() {
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        let (sender, written) = channel();
        std::thread::spawn(move || {
            for _ in 0..1_000 {
                write(near.as_fd(), &[b'x'; 4_096]);
            }
            sender.send(()).unwrap();
        });
        let patience = Duration::from_secs(20);
        written.recv_timeout(patience).expect("a write that waits");
        drop(far);
    }
}
