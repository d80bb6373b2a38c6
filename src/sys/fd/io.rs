//! Reading and writing a connection: never blocking in the call itself, so that a deadline costs
//! no system call until there is something to wait for.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recvmsg, sendmsg};

/// What a read found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// So many bytes.
    Bytes(usize),
    /// The peer will send nothing more.
    End,
    /// Nothing yet.
    Nothing,
}

/// Reads what is there.
pub(crate) fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> nix::Result<Received> {
    received(|| nix::sys::socket::recv(fd.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT))
}

/// The same into several places, one after the other.
pub(crate) fn receive_apart(
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

/// Reads what is there from a pipe that does not block.
pub(crate) fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> nix::Result<Received> {
    received(|| nix::unistd::read(fd, buffer))
}

/// Whether there is nothing to read, and no end, at this moment.
pub(crate) fn is_silent(fd: BorrowedFd<'_>) -> bool {
    peek(fd, &mut [0]) == Err(Errno::EAGAIN)
}

/// What could be read at this moment, which stays there; 0: its end.
pub(crate) fn peek(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> nix::Result<usize> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK;
    nix::sys::socket::recv(fd.as_raw_fd(), buffer, flags)
}

/// Which directions of a connection are at their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Neither, as far as this side can know: of a TCP peer that closed it knows only that it sends no more.
    None,
    /// The peer sends no more.
    Input,
    /// Nor does it take anything: a closed unix socket, a reset TCP connection.
    Closed,
}

/// Whether the peer has hung up; whatever it sent before can still be read.
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

/// Whether nothing more comes in: of a listening socket, no connection.
pub(crate) fn input_has_ended(fd: BorrowedFd<'_>) -> bool {
    events(fd, libc::POLLRDHUP) & libc::POLLRDHUP != 0
}

/// What poll(2) finds at this moment, for events that nix does not know.
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

/// On TCP: holds back what is sent last, for the connection's end to travel with it (tcp(7), TCP_CORK).
pub(crate) fn hold_for_end(fd: BorrowedFd<'_>) -> nix::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: a live local of the stated size. (nix does not know this option.)
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

/// Which way a wait looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Until there is something to read, or the end.
    Read,
    /// Until the peer takes more.
    Write,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waited {
    /// There is something to do.
    Ready,
    /// The deadline passed first.
    TimedOut,
    /// A signal came, and the caller gave it up.
    GivenUp,
}

/// Waits for a descriptor, through any signals. False: the deadline passed first.
pub(crate) fn wait(
    fd: BorrowedFd<'_>,
    direction: Direction,
    deadline: Option<Instant>,
) -> nix::Result<bool> {
    wait_unless(fd, direction, deadline, || false).map(|waited| waited == Waited::Ready)
}

/// Waits as [`wait`] does, and after each signal asks whether to give it up.
pub(crate) fn wait_unless(
    fd: BorrowedFd<'_>,
    direction: Direction,
    deadline: Option<Instant>,
    give_up: impl Fn() -> bool,
) -> nix::Result<Waited> {
    let flags = match direction {
        Direction::Read => PollFlags::POLLIN,
        Direction::Write => PollFlags::POLLOUT,
    };
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        match poll(&mut [PollFd::new(fd, flags)], timeout(left)) {
            Ok(0) if left.is_some_and(|left| left.is_zero()) => return Ok(Waited::TimedOut),
            Err(Errno::EINTR) if give_up() => return Ok(Waited::GivenUp),
            Ok(0) | Err(Errno::EINTR) => {}
            Ok(_) => return Ok(Waited::Ready),
            Err(error) => return Err(error),
        }
    }
}

/// A wait as poll(2) and epoll_wait(2) take it: rounded up to milliseconds, so that a deadline is
/// never met too early and then polled for.
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
    /// The peer took nothing for as long as was allowed.
    TimedOut,
    /// The connection failed.
    Failed(Errno),
}

/// Sends all parts, waiting at most `patience` for each bit of progress. Raises no SIGPIPE. Before
/// each wait `stuck` is told how many bytes have left. `widen`: a unix socket may hold more, if that helps.
pub(crate) fn send_all(
    fd: BorrowedFd<'_>,
    mut parts: &mut [IoSlice<'_>],
    patience: Option<Duration>,
    mut widen: bool,
    mut stuck: impl FnMut(usize),
) -> Result<(), SendError> {
    let mut left = 0;
    if widen && parts.iter().map(|part| part.len()).sum::<usize>() > USUAL_ROOM {
        widen_unix(fd);
        widen = false;
    }
    // Empty parts would make "nothing sent" look like "nothing left".
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
                // It took less than it was given, so it is full: to ask it again would tell nothing new.
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

/// What a unix socket holds by default (net.core.wmem_default), and somewhat more.
const USUAL_ROOM: usize = 256 * 1024;

/// Doubles what a unix socket may hold, once; so a large response wakes its sender half as often. (A TCP socket
/// sizes itself, until it is told a size.)
fn widen_unix(fd: BorrowedFd<'_>) -> bool {
    use nix::sys::socket::sockopt::SndBuf;
    use nix::sys::socket::{getsockopt, setsockopt};
    // The kernel sets twice what it is told, for what it needs itself.
    getsockopt(&fd, SndBuf)
        .is_ok_and(|size| size <= USUAL_ROOM && setsockopt(&fd, SndBuf, &size).is_ok())
}

/// Reads and throws away what is there, up to a bound. True: the peer's end was reached.
pub(crate) fn discard(fd: BorrowedFd<'_>, scratch: &mut [u8], bound: usize) -> bool {
    let mut discarded = 0;
    while discarded < bound {
        match receive(fd, scratch) {
            Ok(Received::Bytes(count)) => discarded += count,
            Ok(Received::Nothing) => return false,
            // An error ends the connection as surely as its end does.
            Ok(Received::End) | Err(_) => return true,
        }
    }
    false
}

/// Throws away what arrives, until its end or that time.
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
    fn empty_parts_are_no_obstacle() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let mut parts = [&b""[..], b"a", b"", b"bc", b""].map(IoSlice::new);
        send_all(far.as_fd(), &mut parts, None, true, |_| ()).unwrap();
        drop(far);
        let mut text = String::new();
        near.read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
    }

    #[test]
    fn a_peer_that_takes_nothing_is_given_up_after_the_patience() {
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
