//! Programs that run beside this process, such as `fcgipm admin`. Nothing waits for them.
//!
//! execve(2) makes a hidden child a usual one, whose end the host would notice. So the program is the
//! child of a keeper: a hidden child that waits for its end and reports it.

use std::ffi::CString;
use std::os::fd::{AsFd as _, AsRawFd, BorrowedFd, IntoRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::socket::{MsgFlags, Shutdown, recv, send, shutdown};
use nix::sys::stat::Mode;

use crate::error::{Error, Result};
use crate::sys::fd::pipe;
use crate::sys::fd::poll::readable_within;
use crate::sys::process::child::{self, Child, Ended, Fork};
use crate::sys::process::disposable::{close_all_but, sorted};
use crate::sys::process::hidden_child::HiddenChild;
use crate::sys::process::{self, exec, title};
use crate::sys::signal::handlers::{Signals, reset_for_program};

/// The time for a program to exit after TERM. Then it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(3);
/// How long this process waits at its own end for a program to exit.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often a keeper looks for the end of the program where it has no pidfd.
const INTERVAL: u16 = 200;

/// The exit status if the program cannot be executed, as of a shell.
const NOT_EXECUTED: i32 = 127;

/// What to execute.
#[derive(Clone, Debug)]
pub(crate) struct Command {
    /// For the title of the keeper.
    pub(crate) name: &'static str,
    /// The first one is the program; a name without a slash is searched for in PATH.
    pub(crate) arguments: Vec<CString>,
    pub(crate) environment: Vec<CString>,
    /// Its output is kept for the owner, and does not go to standard error.
    pub(crate) has_output: bool,
}

/// A program that was started, and its keeper.
#[derive(Debug)]
pub(crate) struct Helper {
    keeper: HiddenChild,
    /// Receives the wait status of the program. Its end, on either side, is that of the other process.
    channel: OwnedFd,
    output: Option<OwnedFd>,
}

/// More output is not kept.
const OUTPUT_MAX: usize = 16 * 1_024;

impl Helper {
    /// Starts a program, which gets TERM when this process ends. Its output goes to standard error.
    /// The caller ensures that this process has one thread.
    ///
    /// # Errors
    /// The channel or the keeper cannot be created.
    pub(crate) fn start(command: &Command) -> Result<Self> {
        let (ours, its) = pipe::pair("channel of a helper")?;
        let output = command.has_output.then(|| pipe::pair("output of a helper"));
        let (output, its_output) = output.transpose()?.unzip();
        let owner = process::pid();
        let number = its_output.as_ref().map(AsRawFd::as_raw_fd);
        let kept = sorted(number.into_iter().chain([2]), &its);
        let keeper = HiddenChild::start(|| keep(command, owner, (&its, number), &kept))
            .map_err(|errno| Error::system("fork of a helper", errno as i32))?;
        Ok(Self {
            keeper,
            channel: ours,
            output,
        })
    }

    /// What the program has written so far, and was not read.
    pub(crate) fn output(&self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut bytes = [0; 4_096];
        while let Some(output) = self.output.as_ref().filter(|_| all.len() < OUTPUT_MAX) {
            match recv(output.as_raw_fd(), &mut bytes, MsgFlags::MSG_DONTWAIT) {
                Ok(count @ 1..) => all.extend_from_slice(&bytes[..count]),
                Ok(_) | Err(_) => break,
            }
        }
        all
    }

    /// Asks the program to exit. It is killed if it does not.
    pub(crate) fn ask_to_end(&self) {
        let _ = shutdown(self.channel.as_raw_fd(), Shutdown::Write);
    }

    /// Readable when the program has ended.
    pub(crate) fn channel(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }

    /// How the program ended; `None` if it runs. Unknown if the keeper was killed.
    pub(crate) fn try_wait(&mut self) -> Option<Ended> {
        let mut status = [0; size_of::<i32>()];
        match recv(
            self.channel.as_raw_fd(),
            &mut status,
            MsgFlags::MSG_DONTWAIT,
        ) {
            Err(Errno::EAGAIN | Errno::EINTR) => None,
            Ok(length) if length == status.len() => Some(Ended::Status(i32::from_ne_bytes(status))),
            Ok(_) | Err(_) => Some(Ended::Unknown),
        }
    }

    /// Whether the keeper is reaped. It ends after its program.
    pub(crate) fn is_reaped(&self) -> bool {
        self.keeper.has_ended()
    }

    /// Asks the program to exit, and waits briefly.
    pub(crate) fn end(self) {
        self.ask_to_end();
        readable_within(self.channel.as_fd(), PATIENCE);
        self.keeper.has_ended();
    }
}

/// Runs in the keeper, in which all signals are blocked.
fn keep(command: &Command, owner: i32, (channel, output): (&OwnedFd, Option<i32>), kept: &[i32]) {
    child::signal_on_parent_death(Signal::SIGTERM);
    // Signals of a terminal are for the owner.
    child::lead_group();
    close_all_but(kept);
    title::set(&format!("keeper of {} of process {owner}", command.name));
    // The owner may have ended before the kernel knew that it is to send a signal then.
    if process::parent_pid() != owner {
        return;
    }
    let keeper = process::pid();
    match child::fork() {
        Ok(Fork::Child) => run(command, keeper, output.unwrap_or(2)),
        // It must not keep a file system busy.
        Ok(Fork::Parent(program)) => {
            let _ = nix::unistd::chdir("/");
            accept_end();
            report(channel, await_end(program, channel));
        }
        // The owner sees that the channel ends without a status.
        Err(_) => {}
    }
}

/// Becomes the program.
fn run(command: &Command, keeper: i32, output: i32) -> ! {
    child::signal_on_parent_death(Signal::SIGTERM);
    if process::parent_pid() == keeper {
        // Descriptor 0 was closed, so it is the lowest free one.
        let _ = open("/dev/null", OFlag::O_RDWR, Mode::empty()).map(OwnedFd::into_raw_fd);
        // SAFETY: integers only; nothing uses descriptor 1 in this process.
        unsafe { libc::dup2(output, 1) };
        reset_for_program(libc::SIGTERM);
        Signals::release(&SigSet::empty());
        exec::execute(&command.arguments, &command.environment);
    }
    exec::exit_now(NOT_EXECUTED)
}

/// The keeper ends by TERM, the signal that the kernel sends when the owner has ended. Then the program
/// gets it in turn.
fn accept_end() {
    // SAFETY: the default action has no handler that could be wrong.
    unsafe { libc::signal(libc::SIGTERM, libc::SIG_DFL) };
    let term: SigSet = [Signal::SIGTERM].into_iter().collect();
    let _ = term.thread_unblock();
}

/// Waits until the program has ended, and ends it if the owner wants that.
fn await_end(mut program: Child, channel: &OwnedFd) -> Ended {
    let mut stop_at = None;
    loop {
        if let Some(ended) = program.try_wait() {
            return ended;
        }
        if stop_at.is_some_and(|at| at <= Instant::now()) {
            program.signal(libc::SIGKILL);
        }
        // From the stop on, the channel is always ready.
        let channel = stop_at.is_none().then(|| channel.as_fd());
        let watched = channel.into_iter().chain(program.pidfd());
        let mut watched: Vec<_> = watched
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        let timeout = match stop_at.is_none() && program.pidfd().is_some() {
            true => PollTimeout::NONE,
            false => PollTimeout::from(INTERVAL),
        };
        let _ = poll(&mut watched, timeout);
        let is_due = channel.is_some() && watched.first().is_some_and(|fd| fd.any() == Some(true));
        if is_due {
            program.signal(libc::SIGTERM);
            stop_at = Some(Instant::now() + STOP_LIMIT);
        }
    }
}

fn report(channel: &OwnedFd, ended: Ended) {
    if let Ended::Status(status) = ended {
        // It fails if the owner has ended.
        let _ = send(
            channel.as_raw_fd(),
            &status.to_ne_bytes(),
            MsgFlags::MSG_NOSIGNAL,
        );
    }
}
