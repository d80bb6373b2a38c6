//! Writing to a descriptor that other processes share, without blocking and without a signal.
//!
//! O_NONBLOCK is a property of the shared file description, so it must not be set: it would affect
//! the other processes. Sockets have a flag for a single call. Pipes and terminals are reopened,
//! which creates a file description of their own. If that fails (another user's pipe or terminal,
//! no /proc, no free descriptor), the kernel gets the bytes as a page (pipe), or a child makes the
//! call (terminal). A write to a file blocks only in its file system.

use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::ptr;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::socket::MsgFlags;
use nix::sys::stat::{Mode, SFlag, fstat};
use parking_lot::Mutex;

use crate::sys::process::hidden_child::HiddenChild;

/// The largest atomic write to a pipe, PIPE_BUF (POSIX: at least 512; Linux: 4,096).
pub(crate) const WHOLE: usize = 4_096;

/// The result of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// This many bytes were written: up to [`WHOLE`] bytes completely, except on a full disk.
    Wrote(usize),
    /// None: the reader does not keep up, or the terminal is stopped (^S).
    Full,
    /// None, for a lasting reason: closed, no reader, no space.
    Failed,
}

/// Writes as many of the bytes as possible without blocking.
pub(crate) fn attempt(fd: BorrowedFd<'_>, bytes: &[u8]) -> Attempt {
    let mut attempt = Attempt::Failed;
    without_signals(|| {
        attempt = match kind(fd) {
            Kind::Socket => {
                let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
                result_of(nix::sys::socket::send(fd.as_raw_fd(), bytes, flags))
            }
            Kind::Pipe => match reopen(fd) {
                Ok(own) => result_of(nix::unistd::write(own, bytes)),
                // It has no reader.
                Err(Errno::ENXIO) => Attempt::Failed,
                Err(_) => give_page(fd, bytes),
            },
            Kind::Terminal => match reopen(fd) {
                Ok(own) => result_of(nix::unistd::write(own, bytes)),
                Err(_) => by_child(fd, bytes),
            },
            Kind::Other => result_of(nix::unistd::write(fd, bytes)),
        };
    });
    attempt
}

fn result_of(result: nix::Result<usize>) -> Attempt {
    match result {
        Ok(count) => Attempt::Wrote(count),
        Err(Errno::EAGAIN | Errno::EINTR | Errno::ENOBUFS) => Attempt::Full,
        Err(_) => Attempt::Failed,
    }
}

enum Kind {
    Socket,
    Pipe,
    Terminal,
    Other,
}

fn kind(fd: BorrowedFd<'_>) -> Kind {
    let kind = fstat(fd).map_or(SFlag::empty(), |stat| {
        SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
    });
    match kind {
        SFlag::S_IFSOCK => Kind::Socket,
        SFlag::S_IFIFO => Kind::Pipe,
        // A closed terminal does not count: another session may have its device by now.
        SFlag::S_IFCHR if nix::unistd::isatty(fd) == Ok(true) => Kind::Terminal,
        _ => Kind::Other,
    }
}

fn reopen(fd: BorrowedFd<'_>) -> nix::Result<OwnedFd> {
    let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    nix::fcntl::open(name.as_str(), flags, Mode::empty())
}

/// Puts a page with the bytes into the pipe (vmsplice(2)). A page takes one of the pipe's 16
/// places, so this is the last resort.
fn give_page(fd: BorrowedFd<'_>, bytes: &[u8]) -> Attempt {
    let length = bytes.len().min(WHOLE);
    // SAFETY: a mapping of its own, at least as long as what is copied into it; nothing refers to
    // it when it is unmapped. The pipe keeps the page, which is not written to any more.
    unsafe {
        let page = libc::mmap(
            ptr::null_mut(),
            WHOLE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        if page == libc::MAP_FAILED {
            return Attempt::Full;
        }
        ptr::copy_nonoverlapping(bytes.as_ptr(), page.cast::<u8>(), length);
        let piece = libc::iovec {
            iov_base: page,
            iov_len: length,
        };
        let given = libc::vmsplice(fd.as_raw_fd(), &raw const piece, 1, libc::SPLICE_F_NONBLOCK);
        let given = Errno::result(given).map(isize::unsigned_abs);
        libc::munmap(page, WHOLE);
        result_of(given)
    }
}

/// Makes a child write the bytes, which may block. There is one child at a time; while it waits,
/// nothing else is written.
fn by_child(fd: BorrowedFd<'_>, bytes: &[u8]) -> Attempt {
    static LAST: Mutex<Option<HiddenChild>> = Mutex::new(None);
    let Some(mut last) = LAST.try_lock() else {
        return Attempt::Full;
    };
    // In a child of the process that started it, the writer counts as ended.
    if last.as_ref().is_some_and(|child| !child.has_ended()) {
        return Attempt::Full;
    }
    *last = None;
    // Only system calls: this process may have threads.
    let started = HiddenChild::start(|| {
        // SAFETY: integers, and a live slice; nothing else in this process uses these descriptors.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            // Other copies would keep pipes and locks open after this process has closed them.
            libc::dup2(fd.as_raw_fd(), 2);
            if libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) == 0 {
                libc::close(0);
                libc::close(1);
                libc::write(2, bytes.as_ptr().cast(), bytes.len());
            }
        }
    });
    match started {
        Ok(child) => {
            *last = Some(child);
            Attempt::Wrote(bytes.len())
        }
        Err(_) => Attempt::Full,
    }
}

/// Runs code that may raise SIGPIPE, or SIGXFSZ (a file that reaches RLIMIT_FSIZE), and consumes
/// that signal. SIGTTOU is not raised while it is blocked, so a background process can write to its
/// terminal.
pub(crate) fn without_signals(run: impl FnOnce()) {
    const RAISED: [Signal; 2] = [Signal::SIGPIPE, Signal::SIGXFSZ];
    let before = RAISED.map(pending);
    let blocked: SigSet = RAISED.into_iter().chain([Signal::SIGTTOU]).collect();
    let Ok(mask) = blocked.thread_swap_mask(SigmaskHow::SIG_BLOCK) else {
        return;
    };
    run();
    for (signal, before) in RAISED.into_iter().zip(before) {
        if !before && pending(signal) {
            consume(signal);
        }
    }
    let _ = mask.thread_set_mask();
}

fn consume(signal: Signal) {
    let set: SigSet = [signal].into_iter().collect();
    let now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the set and the time are live locals; no siginfo is requested.
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
    use std::os::fd::{AsFd as _, FromRawFd as _};
    use std::sync::mpsc::channel as messages;
    use std::time::Duration;

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;
    use crate::sys::fd::pipe;

    /// Writes until nothing more is accepted. Returns the number of bytes.
    fn fill(fd: OwnedFd, by: fn(BorrowedFd<'_>, &[u8]) -> Attempt) -> (OwnedFd, usize) {
        let (sender, filled) = messages();
        std::thread::spawn(move || {
            let mut sum = 0;
            for _ in 0..10_000 {
                match by(fd.as_fd(), &[b'x'; WHOLE]) {
                    Attempt::Wrote(count) => sum += count,
                    Attempt::Full => break,
                    Attempt::Failed => panic!("{}", Errno::last()),
                }
            }
            sender.send((fd, sum)).unwrap();
        });
        let patience = Duration::from_secs(60);
        filled.recv_timeout(patience).expect("a write that waits")
    }

    /// Waits until nobody has the other end: a process that another test forked may have a copy of it.
    fn await_end(fd: &OwnedFd) {
        let mut polled = [PollFd::new(fd.as_fd(), PollFlags::empty())];
        let ended = poll(&mut polled, PollTimeout::from(60_000_u16));
        assert_eq!(ended, Ok(1), "the other end stays open");
    }

    #[test]
    fn a_full_pipe_does_not_block() {
        for by in [attempt, give_page] {
            let pipe = pipe::pipe("test", false).unwrap();
            let (write, sum) = fill(pipe.write, by);
            // A pipe holds 64 KiB, all of which can be read.
            assert_eq!(sum, 65_536);
            let mut taken = vec![0; sum];
            assert_eq!(nix::unistd::read(&pipe.read, &mut taken).unwrap(), sum);
            assert!(taken.iter().all(|byte| *byte == b'x'));
            drop(pipe.read);
            await_end(&write);
            assert_eq!(by(write.as_fd(), b"x"), Attempt::Failed);
        }
    }

    #[test]
    fn a_full_socket_does_not_block() {
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        let (near, sum) = fill(near.into(), attempt);
        assert!(sum > WHOLE);
        drop(far);
        await_end(&near);
        assert_eq!(attempt(near.as_fd(), b"x"), Attempt::Failed);
    }

    #[test]
    fn a_descriptor_that_accepts_nothing_fails_immediately() {
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        assert_eq!(attempt(full.as_fd(), b"x"), Attempt::Failed);
        let closed = crate::sys::fd::borrow(1 << 20).unwrap();
        assert_eq!(attempt(closed, b"x"), Attempt::Failed);
    }

    /// Both ends of a terminal.
    fn terminal() -> (OwnedFd, OwnedFd) {
        let (mut master, mut slave) = (0, 0);
        // SAFETY: space for two descriptors, which nothing else owns; the rest is optional.
        unsafe {
            let none = ptr::null_mut();
            let opened = libc::openpty(
                &raw mut master,
                &raw mut slave,
                none,
                none.cast(),
                none.cast(),
            );
            assert_eq!(opened, 0);
            (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave))
        }
    }

    #[test]
    fn a_stopped_terminal_does_not_block_and_continues_later() {
        for by in [attempt, by_child] {
            let (master, slave) = terminal();
            // SAFETY: integers only.
            let flow = |action| assert_eq!(unsafe { libc::tcflow(slave.as_raw_fd(), action) }, 0);
            let mut bytes = [0; 8];
            assert_eq!(by(slave.as_fd(), b"one"), Attempt::Wrote(3));
            assert_eq!(nix::unistd::read(&master, &mut bytes), Ok(3));
            flow(libc::TCOOFF);
            // With `by_child`, the child holds one line.
            let until = std::time::Instant::now() + Duration::from_secs(60);
            while by(slave.as_fd(), b"two") != Attempt::Full {
                assert!(
                    std::time::Instant::now() < until,
                    "a terminal that is never full"
                );
            }
            flow(libc::TCOON);
            while by(slave.as_fd(), b"two") == Attempt::Full {
                assert!(
                    std::time::Instant::now() < until,
                    "a terminal that stays full"
                );
                std::thread::yield_now();
            }
            assert_eq!(nix::unistd::read(&master, &mut bytes[..3]), Ok(3));
            assert_eq!(&bytes[..3], b"two");
        }
    }
}
