//! A process that writes the access log. What it writes to may block: it is a copy of this process, of
//! which nothing waits.
//!
//! It gets lines through a socket, and the end of the socket is its own end. A byte that is in no line
//! makes it open its file again.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, Shutdown, recv, send, shutdown};

use crate::error::{Error, Result};
use crate::sys::fd::io::{self, Direction};
use crate::sys::fd::pipe;
use crate::sys::fd::poll::readable_within;
use crate::sys::log::file;
use crate::sys::process::disposable::{close_all_but, sorted};
use crate::sys::process::hidden_child::HiddenChild;
use crate::sys::process::{self, child, title};

/// Opens the file again.
const REOPEN: u8 = 1;
/// How long this process waits at its own end until everything is written.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    File(PathBuf),
    /// Descriptor 2.
    Stderr,
    /// Datagrams, as syslog(3) sends them. The priority is facility and severity.
    Syslog {
        priority: u8,
        socket: PathBuf,
    },
}

/// The result of sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// This many bytes.
    Some(usize),
    /// The writer does not keep up.
    None,
    /// It has ended.
    Ended,
}

/// The process, which has not been reaped.
#[derive(Debug)]
pub(crate) struct LogWriter {
    child: HiddenChild,
    channel: OwnedFd,
    /// The beginning of what it reports.
    reported: Vec<u8>,
}

impl LogWriter {
    /// Starts it. The caller ensures that this process has one thread.
    ///
    /// # Errors
    /// The file cannot be opened, or the process cannot be started.
    pub(crate) fn start(target: &Target) -> Result<Self> {
        let output = Output::open(target)?;
        let (ours, its) = pipe::pair("channel of the writer of the access log")?;
        let kept = sorted(output.descriptor().into_iter().chain([2]), &its);
        let owner = process::pid();
        let started = HiddenChild::start_with(output, |mut output| {
            child::lead_group();
            close_all_but(&kept);
            let _ = nix::unistd::chdir("/");
            title::set(&format!("writer of the access log of process {owner}"));
            run(&its, &mut output);
        });
        let child = started.map_err(|(errno, _)| {
            Error::system("fork of the writer of the access log", errno as i32)
        })?;
        Ok(Self {
            child,
            channel: ours,
            reported: Vec::new(),
        })
    }

    /// Readable when it reports something, or has ended.
    pub(crate) fn channel(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }

    /// Passes bytes on, as many as it takes without blocking.
    pub(crate) fn pass(&self, bytes: &[u8]) -> Passed {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match send(self.channel.as_raw_fd(), bytes, flags) {
            Ok(count) => Passed::Some(count),
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ENOBUFS) => Passed::None,
            Err(_) => Passed::Ended,
        }
    }

    /// What makes it open its file again, between two lines.
    pub(crate) const REOPEN_MARK: &[u8] = &[REOPEN];

    /// What it reports, in whole lines. `None`: it has ended.
    pub(crate) fn report(&mut self) -> Option<String> {
        let mut bytes = [0; 1_024];
        match recv(self.channel.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => return None,
            Ok(count) => self.reported.extend_from_slice(&bytes[..count]),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => return None,
        }
        let end = self.reported.iter().rposition(|byte| *byte == b'\n');
        let whole = self.reported.drain(..end.map_or(0, |end| end + 1));
        Some(String::from_utf8_lossy(&whole.collect::<Vec<u8>>()).into_owned())
    }

    /// Whether it is reaped.
    pub(crate) fn is_reaped(&self) -> bool {
        self.child.has_ended()
    }

    /// Passes on the rest, and waits briefly until it is written.
    pub(crate) fn finish(mut self, mut rest: &[u8]) {
        let until = Instant::now() + PATIENCE;
        let left = || until.saturating_duration_since(Instant::now());
        while !rest.is_empty() && !left().is_zero() {
            match self.pass(rest) {
                Passed::Some(count) => rest = &rest[count..],
                Passed::None => {
                    let _ = io::wait(self.channel.as_fd(), Direction::Write, Some(until));
                }
                Passed::Ended => break,
            }
        }
        let _ = shutdown(self.channel.as_raw_fd(), Shutdown::Write);
        while !left().is_zero()
            && readable_within(self.channel.as_fd(), left())
            && self.report().is_some()
        {}
        self.child.has_ended();
    }
}

/// What is written to.
enum Output {
    File {
        path: PathBuf,
        fd: OwnedFd,
        /// It ends with the beginning of a line.
        is_torn: bool,
    },
    Stderr,
    Syslog {
        priority: u8,
        socket: PathBuf,
        connection: Option<UnixDatagram>,
    },
}

impl Output {
    fn open(target: &Target) -> Result<Self> {
        Ok(match target {
            Target::File(path) => {
                let path = file::absolute(path)?;
                let fd = file::open(&path)?;
                Self::File {
                    path,
                    fd,
                    is_torn: false,
                }
            }
            Target::Stderr => Self::Stderr,
            Target::Syslog { priority, socket } => Self::Syslog {
                priority: *priority,
                socket: socket.clone(),
                connection: None,
            },
        })
    }

    fn descriptor(&self) -> Option<i32> {
        match self {
            Self::File { fd, .. } => Some(fd.as_raw_fd()),
            Self::Stderr | Self::Syslog { .. } => None,
        }
    }

    /// Writes whole lines.
    fn write(&mut self, bytes: &[u8]) -> Written {
        match self {
            Self::File { fd, is_torn, .. } => {
                if *is_torn && write_all(fd.as_fd(), b"\n").why.is_none() {
                    *is_torn = false;
                }
                let written = write_all(fd.as_fd(), bytes);
                *is_torn |= written.is_torn;
                written
            }
            Self::Stderr => match crate::sys::fd::borrow(2) {
                Some(fd) => write_all(fd, bytes),
                None => Written::failed(bytes, Errno::EBADF),
            },
            Self::Syslog {
                priority,
                socket,
                connection,
            } => {
                let mut written = Written::default();
                for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                    let line = line.strip_suffix(b"\n").unwrap_or(line);
                    let line = [format!("<{priority}>fcgipm: ").as_bytes(), line].concat();
                    if let Err(errno) = send_datagram(connection, socket, &line) {
                        written.lost += 1;
                        written.why = Some(errno);
                    }
                }
                written
            }
        }
    }

    fn reopen(&mut self) -> Result<()> {
        if let Self::File { path, fd, is_torn } = self {
            *fd = file::open(path)?;
            *is_torn = false;
        }
        Ok(())
    }
}

fn send_datagram(
    connection: &mut Option<UnixDatagram>,
    socket: &Path,
    line: &[u8],
) -> nix::Result<()> {
    let errno = |error: std::io::Error| Errno::from_raw(error.raw_os_error().unwrap_or(0));
    let is_new = connection.is_none();
    let open = match connection.take() {
        Some(open) => open,
        None => {
            let open = UnixDatagram::unbound().map_err(errno)?;
            open.connect(socket).map_err(errno)?;
            open
        }
    };
    match open.send(line) {
        Ok(_) => {
            *connection = Some(open);
            Ok(())
        }
        // The receiver was started again.
        Err(_) if !is_new => send_datagram(connection, socket, line),
        Err(error) => Err(errno(error)),
    }
}

/// What became of lines.
#[derive(Default)]
struct Written {
    lost: usize,
    why: Option<Errno>,
    /// Some of a line was written.
    is_torn: bool,
}

impl Written {
    /// These lines were not written.
    fn failed(bytes: &[u8], why: Errno) -> Self {
        Self {
            lost: count_lines(bytes),
            why: Some(why),
            is_torn: false,
        }
    }
}

/// Writes everything, unless that fails.
fn write_all(fd: BorrowedFd<'_>, bytes: &[u8]) -> Written {
    let mut count = 0;
    while count < bytes.len() {
        match nix::unistd::write(fd, &bytes[count..]) {
            Ok(more) => count += more,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                let mut watched = [PollFd::new(fd, PollFlags::POLLOUT)];
                let _ = poll(&mut watched, PollTimeout::NONE);
            }
            Err(errno) => {
                return Written {
                    is_torn: count > 0 && bytes[count - 1] != b'\n',
                    ..Written::failed(&bytes[count..], errno)
                };
            }
        }
    }
    Written::default()
}

fn count_lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

/// Runs in the process, in which all signals are blocked. Only whole lines are written.
fn run(channel: &OwnedFd, output: &mut Output) {
    let mut buffer = vec![0; 64 * 1_024];
    // The beginning of a line.
    let mut begun = 0;
    let mut reporter = Reporter {
        channel: channel.as_fd(),
        fails: false,
    };
    loop {
        let mut watched = [PollFd::new(channel.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut watched, PollTimeout::NONE);
        let room = &mut buffer[begun..];
        let end = match recv(channel.as_raw_fd(), room, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => return,
            Ok(count) => begun + count,
            Err(Errno::EAGAIN | Errno::EINTR) => continue,
            Err(_) => return,
        };
        let is_end = |byte: &u8| matches!(*byte, b'\n' | REOPEN);
        let whole = match buffer[..end].iter().rposition(is_end) {
            Some(last) => last + 1,
            // No line is that long, so this is none.
            None if end == buffer.len() => end,
            None => 0,
        };
        for (place, lines) in buffer[..whole].split(|byte| *byte == REOPEN).enumerate() {
            if place > 0 {
                if let Err(error) = output.reopen() {
                    reporter.tell(&format!("{error}; continuing with the file that is open"));
                }
            }
            if !lines.is_empty() {
                reporter.report(&output.write(lines));
            }
        }
        buffer.copy_within(whole..end, 0);
        begun = end - whole;
    }
}

/// Tells the manager what became of lines.
struct Reporter<'c> {
    channel: BorrowedFd<'c>,
    /// The last lines could not be written.
    fails: bool,
}

impl Reporter<'_> {
    fn tell(&self, text: &str) {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let line = format!("{text}\n");
        let _ = send(self.channel.as_raw_fd(), line.as_bytes(), flags);
    }

    fn report(&mut self, written: &Written) {
        let did_fail = std::mem::replace(&mut self.fails, written.why.is_some());
        match written.why {
            Some(errno) => {
                if !did_fail {
                    self.tell(&format!("writing failed: {}", errno.desc()));
                }
                self.tell(&format!("{LOST}{}", written.lost));
            }
            None if did_fail => self.tell("writing works again"),
            None => {}
        }
    }
}

/// Begins a report of the number of lines that were lost.
pub(crate) const LOST: &str = "lost ";
