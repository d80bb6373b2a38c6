//! Reading and writing a connection. The calls never block, so that a deadline costs no system call
//! until there is something to wait for.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recvmsg, sendmsg};

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// This many bytes.
    Bytes(usize),
    /// The peer sends no more.
    End,
    /// No data yet.
    Nothing,
}

/// Reads what has arrived.
pub(crate) fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> nix::Result<Received> {
    received(|| nix::sys::socket::recv(fd.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT))
}

/// The same into several buffers, one after the other.
pub(crate) fn receive_scattered(
    fd: BorrowedFd<'_>,
    parts: &mut [IoSliceMut<'_>],
) -> nix::Result<Received> {
    let flags = MsgFlags::MSG_DONTWAIT;
    received(|| recvmsg::<()>(fd.as_raw_fd(), parts, None, flags).map(|message| message.bytes))
}

fn received(mut receive: impl FnMut() -> nix::Result<usize>) -> nix::Result<Received> {
    loop {
        match receive() {
            Ok(0) => return Ok(Received::End),
            Ok(count) => return Ok(Received::Bytes(count)),
            Err(Errno::EAGAIN) => return Ok(Received::Nothing),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Reads what has arrived from a non-blocking pipe.
pub(crate) fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> nix::Result<Received> {
    received(|| nix::unistd::read(fd, buffer))
}

/// Whether there is neither data to read nor the end, at this moment.
pub(crate) fn has_nothing_to_read(fd: BorrowedFd<'_>) -> bool {
    peek(fd, &mut [0]) == Err(Errno::EAGAIN)
}

/// Copies what could be read at this moment, without removing it; 0: the end.
pub(crate) fn peek(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> nix::Result<usize> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK;
    nix::sys::socket::recv(fd.as_raw_fd(), buffer, flags)
}

/// Which directions of a connection have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// None, as far as this side knows.
    None,
    /// The peer sends no more. A TCP peer that has closed the connection looks like this, too.
    Input,
    /// Nor does it receive anything: a closed unix socket, a reset TCP connection.
    Closed,
}

/// Whether the peer has closed the connection. What it sent before can still be read.
pub(crate) fn ends(fd: BorrowedFd<'_>) -> Ends {
    let found = events(fd, libc::POLLRDHUP);
    if found & (libc::POLLHUP | libc::POLLERR) != 0 {
        Ends::Closed
    } else if found & libc::POLLRDHUP != 0 {
        Ends::Input
    } else {
        Ends::None
    }
}

/// Whether the input has ended; of a listening socket: whether no more connections arrive.
pub(crate) fn input_has_ended(fd: BorrowedFd<'_>) -> bool {
    events(fd, libc::POLLRDHUP) & libc::POLLRDHUP != 0
}

/// What poll(2) reports at this moment, for events that nix does not define.
fn events(fd: BorrowedFd<'_>, wanted: libc::c_short) -> libc::c_short {
    let mut polled = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: wanted,
        revents: 0,
    };
    // SAFETY: one live local.
    let found = unsafe { libc::poll(&raw mut polled, 1, 0) };
    if found == 1 { polled.revents } else { 0 }
}

/// On a unix socket: whether the peer has read everything that was sent (tty_ioctl(4), TIOCOUTQ).
pub(crate) fn peer_has_read_all(fd: BorrowedFd<'_>) -> bool {
    let mut unread: libc::c_int = 0;
    // SAFETY: the pointer is to a live local of the type that this request writes.
    let got = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut unread) };
    got == 0 && unread == 0
}

/// On TCP: delays the last small segment, so that it carries the connection's end (tcp(7),
/// TCP_CORK).
pub(crate) fn cork(fd: BorrowedFd<'_>) -> nix::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: a live local of the stated size. (nix does not define this option.)
    Errno::result(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_CORK,
            (&raw const on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    })
    .map(drop)
}

/// What a wait is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Data to read, or the end.
    Read,
    /// Space to write.
    Write,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// The descriptor is ready.
    Ready,
    /// The deadline passed first.
    TimedOut,
    /// A signal arrived, and the caller abandoned the wait.
    Abandoned,
}

/// Waits for a descriptor, and retries after signals. False: the deadline passed first.
pub(crate) fn wait(
    fd: BorrowedFd<'_>,
    direction: Direction,
    deadline: Option<Instant>,
) -> nix::Result<bool> {
    wait_unless(fd, direction, deadline, || false).map(|waited| waited == Waited::Ready)
}

/// Waits as [`wait`] does, and abandons it if `abandon` returns true after a signal.
pub(crate) fn wait_unless(
    fd: BorrowedFd<'_>,
    direction: Direction,
    deadline: Option<Instant>,
    abandon: impl Fn() -> bool,
) -> nix::Result<Waited> {
    let flags = match direction {
        Direction::Read => PollFlags::POLLIN,
        Direction::Write => PollFlags::POLLOUT,
    };
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match poll(&mut [PollFd::new(fd, flags)], timeout(left)) {
            Ok(0) if left.is_some_and(|left| left.is_zero()) => return Ok(Waited::TimedOut),
            Err(Errno::EINTR) if abandon() => return Ok(Waited::Abandoned),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(Waited::Ready),
            Err(error) => return Err(error),
        }
    }
}

/// A timeout for poll(2) and epoll_wait(2), rounded up to milliseconds: rounded down, a wait would
/// end just before its deadline, and be repeated without pause.
pub(crate) fn timeout(left: Option<Duration>) -> PollTimeout {
    let Some(left) = left else {
        return PollTimeout::NONE;
    };
    let millis = left.as_nanos().div_ceil(1_000_000);
    PollTimeout::try_from(i32::try_from(millis).unwrap_or(i32::MAX)).unwrap_or(PollTimeout::MAX)
}

/// Why not everything was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendError {
    /// The peer received nothing within the timeout.
    TimedOut,
    /// The connection failed.
    Failed(Errno),
}

/// Sends all parts. Each wait for progress lasts `patience` at most. Raises no SIGPIPE. Before each
/// wait it calls `stuck` with the number of bytes sent so far. `widen`: it may enlarge the buffer
/// of a unix socket if that helps.
pub(crate) fn send_all(
    fd: BorrowedFd<'_>,
    mut parts: &mut [IoSlice<'_>],
    patience: Option<Duration>,
    mut widen: bool,
    mut stuck: impl FnMut(usize),
) -> Result<(), SendError> {
    let mut left = 0;
    if widen && parts.iter().map(|part| part.len()).sum::<usize>() > USUAL_BUFFER {
        widen_unix(fd);
        widen = false;
    }
    // Skips empty parts, which would look like an empty rest.
    IoSlice::advance_slices(&mut parts, 0);
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    while !parts.is_empty() {
        let sent = match &*parts {
            [only] => nix::sys::socket::send(fd.as_raw_fd(), only, flags),
            several => sendmsg::<()>(fd.as_raw_fd(), several, &[], flags, None),
        };
        match sent {
            Ok(count) => {
                left += count;
                IoSlice::advance_slices(&mut parts, count);
                if parts.is_empty() {
                    break;
                }
                // A partial send means a full buffer: another one would only return EAGAIN.
            }
            Err(Errno::EAGAIN) => {}
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(SendError::Failed(error)),
        }
        if std::mem::take(&mut widen) && widen_unix(fd) {
            continue;
        }
        stuck(left);
        let deadline = patience.map(|patience| Instant::now() + patience);
        match wait(fd, Direction::Write, deadline) {
            Ok(true) => {}
            Ok(false) => return Err(SendError::TimedOut),
            Err(error) => return Err(SendError::Failed(error)),
        }
    }
    Ok(())
}

/// Somewhat more than the default buffer of a unix socket (net.core.wmem_default).
const USUAL_BUFFER: usize = 256 * 1024;

/// Doubles the buffer of a unix socket, once, so that a large response wakes its sender half as
/// often. (A TCP socket adapts its buffer, but only until a size is set.)
fn widen_unix(fd: BorrowedFd<'_>) -> bool {
    use nix::sys::socket::sockopt::SndBuf;
    use nix::sys::socket::{getsockopt, setsockopt};
    // The kernel doubles the value for its own overhead.
    getsockopt(&fd, SndBuf)
        .is_ok_and(|size| size <= USUAL_BUFFER && setsockopt(&fd, SndBuf, &size).is_ok())
}

/// Reads and discards what has arrived, up to a bound. True: the input has ended.
pub(crate) fn discard(fd: BorrowedFd<'_>, scratch: &mut [u8], bound: usize) -> bool {
    let mut discarded = 0;
    while discarded < bound {
        match receive(fd, scratch) {
            Ok(Received::Bytes(count)) => discarded += count,
            Ok(Received::Nothing) => return false,
            // An error ends the connection, too.
            Ok(Received::End) | Err(_) => return true,
        }
    }
    false
}

/// Discards what arrives, until its end or that time.
pub(crate) fn discard_until_end(
    fd: BorrowedFd<'_>,
    scratch: &mut [u8],
    until: Instant,
) -> nix::Result<()> {
    while !discard(fd, scratch, usize::MAX) {
        if !wait(fd, Direction::Read, Some(until))? {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn empty_parts_are_skipped() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let mut parts = [&b""[..], b"a", b"", b"bc", b""].map(IoSlice::new);
        send_all(far.as_fd(), &mut parts, None, true, |_| ()).unwrap();
        drop(far);
        let mut text = String::new();
        near.read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
    }

    #[test]
    fn a_send_to_a_peer_that_receives_nothing_times_out() {
        let (_near, far) = UnixStream::pair().unwrap();
        let megabyte = vec![0; 1 << 20];
        let mut left = Vec::new();
        let outcome = send_all(
            far.as_fd(),
            &mut [IoSlice::new(&megabyte)],
            Some(Duration::from_millis(20)),
            true,
            |count| left.push(count),
        );
        assert_eq!(outcome, Err(SendError::TimedOut));
        let last = left.pop().unwrap();
        assert!(last > 0 && last < megabyte.len(), "{last} bytes left");
    }
}
