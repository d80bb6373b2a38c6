//! Pipes and socket pairs of the manager: close-on-exec, and not on standard descriptors.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use crate::error::{Code, Error, Result};
use crate::sys::fd::{above_standard, errno};

/// The two ends of a pipe.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) read: OwnedFd,
    pub(crate) write: OwnedFd,
}

/// A pipe; `nonblocking` applies to both ends.
pub(crate) fn pipe(what: &str, nonblocking: bool) -> Result<Pipe> {
    let mut flags = OFlag::O_CLOEXEC;
    flags.set(OFlag::O_NONBLOCK, nonblocking);
    let made = nix::unistd::pipe2(flags)
        .and_then(|(read, write)| Ok((above_standard(read)?, above_standard(write)?)));
    let (read, write) = made.map_err(|e| failed(what, "pipe2", e))?;
    Ok(Pipe { read, write })
}

/// A pipe with a blocking write end, for other programs, and a non-blocking read end.
pub(crate) fn pipe_to_read(what: &str) -> Result<Pipe> {
    let pipe = pipe(what, false)?;
    crate::sys::socket::listen::set_nonblocking(pipe.read.as_fd())
        .map_err(|error| failed(what, "fcntl", error))?;
    Ok(pipe)
}

/// A connected pair of non-blocking stream sockets.
pub(crate) fn pair(what: &str) -> Result<(OwnedFd, OwnedFd)> {
    pair_of(what, SockType::Stream, SockFlag::SOCK_NONBLOCK)
}

/// A connected pair of sockets of this type.
pub(in crate::sys) fn pair_of(
    what: &str,
    kind: SockType,
    flags: SockFlag,
) -> Result<(OwnedFd, OwnedFd)> {
    socketpair(
        AddressFamily::Unix,
        kind,
        None,
        flags | SockFlag::SOCK_CLOEXEC,
    )
    .and_then(|(one, other)| Ok((above_standard(one)?, above_standard(other)?)))
    .map_err(|e| failed(what, "socketpair", e))
}

/// Writes a byte, which wakes the process at the other end. A full pipe has the same effect, and a
/// pipe without a reader needs none.
pub(crate) fn notify(fd: impl AsFd) {
    crate::sys::log::attempt::without_signals(|| {
        let _ = nix::unistd::write(fd, &[0]);
    });
}

/// Waits for a byte from a non-blocking pipe. False: the pipe ended without one.
pub(crate) fn await_byte(fd: impl AsFd) -> bool {
    loop {
        match nix::unistd::read(&fd, &mut [0]) {
            Ok(length) => return length > 0,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                let one = std::iter::once(fd.as_fd());
                crate::sys::fd::poll::wait(one, None, &mut Vec::new());
            }
            Err(_) => return false,
        }
    }
}

/// Reads and discards what a non-blocking descriptor has. Returns whether there was anything.
pub(crate) fn discard_pending(fd: impl AsFd) -> bool {
    let mut buffer = [0; 512];
    let mut any = false;
    // Bounded: a writer that never stops must not occupy the manager. The rest is read next time.
    for _ in 0..16 {
        match nix::unistd::read(&fd, &mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                any = true;
                if length < buffer.len() {
                    break;
                }
            }
            Err(Errno::EINTR) => {}
            Err(_) => break,
        }
    }
    any
}

fn failed(what: &str, call: &str, error: Errno) -> Error {
    let code = match error {
        Errno::EMFILE | Errno::ENFILE => Code::Descriptors,
        _ => Code::System,
    };
    Error::caused(code, format_args!("{what}: {call}"), errno(error))
}
