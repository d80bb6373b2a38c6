//! The link to the manager, for a worker that executes another program: one environment variable
//! describes it, and the program's copy of this library claims it.
//!
//! The variable is `VERSION:PID:MANAGER:PAGE:WAKE:LIFE:SEND:RECEIVE`: the version of the page's layout,
//! the worker's pid, its manager's, and the numbers of five descriptors. `:COPIES` may follow, where the
//! worker sends a copy of its connection, and `:STDERR:CAUGHT`: the original standard error, and the
//! read end of the pipe that replaces it until the first Accept.
//! Children of the worker inherit the variable, too; the pid shows that it is not meant for them.

use std::ffi::OsString;
use std::os::fd::{AsRawFd as _, OwnedFd};

use parking_lot::Mutex;

use crate::error::{Code, Error, Result};
use crate::options::WORKER_VARIABLE;
use crate::sys::fd::sent_copy;
use crate::sys::log::stderr::Redirected;
use crate::sys::process::exec::{self, Sort};
use crate::sys::process::{child, environment};
use crate::sys::signal::wakeup;
use crate::sys::{process, scoreboard};
use crate::worker::{ManagerLink, current, install, now};

/// The link, by the numbers of its descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExecEnv {
    pid: i32,
    manager: i32,
    page: i32,
    wake: i32,
    life: i32,
    handover: (i32, i32),
    /// Where it sends a copy of its connection.
    copies: Option<i32>,
    /// The original standard error, and the pipe.
    stderr: Option<(i32, i32)>,
}

impl ExecEnv {
    /// In a new worker that is about to execute another program, which inherits these descriptors.
    ///
    /// # Errors
    /// fcntl(2) failed.
    pub(crate) fn keep(
        manager: i32,
        page: &OwnedFd,
        wake: &OwnedFd,
        life: &OwnedFd,
        (send, receive): (&OwnedFd, &OwnedFd),
        copies: Option<&OwnedFd>,
        stderr: Option<&Redirected>,
    ) -> Result<Self> {
        let stderr = stderr.map(Redirected::descriptors);
        let link = [page, wake, life, send, receive].into_iter().chain(copies);
        for fd in link.chain(stderr.into_iter().flatten()) {
            exec::keep_across_exec(fd)
                .map_err(|errno| Error::system("descriptor for a program: fcntl", errno as i32))?;
        }
        Ok(Self {
            pid: process::pid(),
            manager,
            page: page.as_raw_fd(),
            wake: wake.as_raw_fd(),
            life: life.as_raw_fd(),
            handover: (send.as_raw_fd(), receive.as_raw_fd()),
            copies: copies.map(OwnedFd::as_raw_fd),
            stderr: stderr.map(|[before, caught]| (before.as_raw_fd(), caught.as_raw_fd())),
        })
    }

    /// The variable's value.
    pub(crate) fn text(&self) -> String {
        let Self {
            pid,
            manager,
            page,
            wake,
            life,
            handover: (send, receive),
            copies,
            stderr,
        } = self;
        let version = scoreboard::VERSION;
        let mut text = format!("{version}:{pid}:{manager}:{page}:{wake}:{life}:{send}:{receive}");
        let stderr = stderr.map(|(before, caught)| [before, caught]);
        for more in copies.iter().chain(stderr.iter().flatten()) {
            text = format!("{text}:{more}");
        }
        text
    }

    /// Reads the variable's value; `None` where it names another process.
    fn parse(text: &str, pid: i32) -> std::result::Result<Option<Self>, String> {
        let numbers = text.split(':').map(number).collect::<Option<Vec<_>>>();
        let numbers = numbers.ok_or("not numbers with colons between them")?;
        // Another version may have more fields, but begins with these two.
        let [version, named, ..] = numbers[..] else {
            return Err("too short".to_owned());
        };
        if named != pid {
            return Ok(None);
        }
        let known = scoreboard::VERSION;
        if u32::try_from(version) != Ok(known) {
            return Err(format!(
                "version {version}, but this library has {known}: it is of another release than the command fcgipm"
            ));
        }
        let wrong = || Err(format!("{} numbers, not 8 to 11", numbers.len()));
        let &[
            _,
            pid,
            manager,
            page,
            wake,
            life,
            send,
            receive,
            ref more @ ..,
        ] = numbers.as_slice()
        else {
            return wrong();
        };
        let (copies, stderr) = match *more {
            [] => (None, None),
            [copies] => (Some(copies), None),
            [before, caught] => (None, Some((before, caught))),
            [copies, before, caught] => (Some(copies), Some((before, caught))),
            _ => return wrong(),
        };
        let mut descriptors = [&[page, wake, life, send, receive], more].concat();
        descriptors.sort_unstable();
        if descriptors.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err("the same descriptor twice".to_owned());
        }
        Ok(Some(Self {
            pid,
            manager,
            page,
            wake,
            life,
            handover: (send, receive),
            copies,
            stderr,
        }))
    }

    /// Claims the descriptors: the link, and the connection for copies. `None`: another copy of this
    /// library in this process has.
    fn claim(&self) -> Result<Option<(ManagerLink, Option<OwnedFd>)>> {
        let claim = |what: &str, number: i32, sort| {
            exec::claim(number, sort)
                .map_err(|why| bad(format_args!("descriptor {number}, {what}, {why}")))
        };
        // The page first: a second copy tries it, and finds it claimed.
        let Some(page) = claim("the scoreboard's", self.page, Sort::File)? else {
            return Ok(None);
        };
        let (send, receive) = self.handover;
        let (Some(wake), Some(life), Some(send), Some(receive)) = (
            claim("the manager's wake pipe", self.wake, Sort::PipeWritten)?,
            claim("the manager's life pipe", self.life, Sort::PipeRead)?,
            claim("the hand-over queue's", send, Sort::Socket)?,
            claim("the hand-over queue's", receive, Sort::Socket)?,
        ) else {
            return Err(bad("a descriptor is closed on exec, and the page is not"));
        };
        let mut copies = None;
        if let Some(number) = self.copies {
            copies = claim("the connection for copies", number, Sort::Packets)?;
        }
        let mut redirected = None;
        if let Some((before, caught)) = self.stderr {
            let before = claim("the original standard error", before, Sort::Any)?;
            let caught = claim("the pipe of standard error", caught, Sort::PipeRead)?;
            redirected = before.zip(caught);
        }
        let region = scoreboard::adopt_region(&page).map_err(bad)?;
        // It stays open: a second copy finds it claimed.
        std::mem::forget(page);
        let redirected = redirected.map(|(before, caught)| Redirected::inherited(before, caught));
        let handover = (send.into(), receive.into());
        let link = ManagerLink::new(region, self.manager, wake.into(), life.into(), handover)
            .with_start_stderr(redirected);
        Ok(Some((link, copies)))
    }
}

/// Digits only: `parse` would also take a sign.
pub(super) fn number(text: &str) -> Option<i32> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

fn bad(what: impl std::fmt::Display) -> Error {
    Error::new(
        Code::Value,
        format!("environment variable {WORKER_VARIABLE}: {what}"),
    )
}

/// Makes this process a worker, if the manager of `fcgipm run` started it as one: from here on it is
/// ready with its first Accept, and the manager asks it to exit through its page. Handlers that the
/// program installed before stay. May be called again, and by any thread.
///
/// `Ok(true)`: it is a worker. `Ok(false)`: another program started it, or another copy of this library
/// in this process has claimed the link.
///
/// # Errors
/// [`Code::Value`]: the variable `FCGIPM_WORKER` names this process, and something in it is wrong.
/// [`Code::System`]: a handler could not be installed. The process can serve nevertheless, as a program
/// that reports nothing.
pub fn adopt() -> Result<bool> {
    if current().is_some() {
        return Ok(true);
    }
    environment::trusted_var(WORKER_VARIABLE).map_or(Ok(false), adopt_from)
}

fn adopt_from(variable: OsString) -> Result<bool> {
    let text = variable.to_str().ok_or_else(|| bad("not UTF-8"))?;
    let Some(env) = ExecEnv::parse(text, process::pid()).map_err(bad)? else {
        return Ok(false);
    };
    static ADOPTING: Mutex<()> = Mutex::new(());
    let _adopting = ADOPTING.lock();
    if current().is_some() {
        return Ok(true);
    }
    let Some((manager, copies)) = env.claim()? else {
        return Ok(false);
    };
    let (Ok(()), Some(manager)) = (install(manager), current()) else {
        return Err(bad("the parent of this process is a worker, too"));
    };
    if let Some(copies) = copies {
        sent_copy::begin(manager.page, copies);
    }
    wakeup::install_where_default()?;
    // Until now the signal was one that ends a program; this one is only a wake-up. The kernel drops the
    // setting when it executes a set-user-ID program.
    child::signal_on_parent_death(nix::sys::signal::Signal::SIGURG);
    if process::parent_pid() != manager.pid {
        wakeup::request_retirement();
    }
    // What this process starts is not a worker.
    environment::remove(WORKER_VARIABLE);
    manager.page.announce(now());
    manager.notify_manager();
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_read_as_it_is_written() {
        let one = ExecEnv {
            pid: 7,
            manager: 6,
            page: 10,
            wake: 11,
            life: 12,
            handover: (13, 14),
            copies: None,
            stderr: None,
        };
        for (copies, stderr) in [
            (None, None),
            (Some(17), None),
            (None, Some((15, 16))),
            (Some(17), Some((15, 16))),
        ] {
            let one = ExecEnv {
                copies,
                stderr,
                ..one
            };
            assert_eq!(ExecEnv::parse(&one.text(), 7), Ok(Some(one)));
        }
        // In a child of the worker.
        assert_eq!(ExecEnv::parse(&one.text(), 8), Ok(None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, why) in [
            ("", "not numbers"),
            ("VERSION:7:6:10:11:12:13:+14", "not numbers"),
            ("VERSION:7:6:10:11:12:13:-1", "not numbers"),
            ("VERSION:7:6:10:11:12:13: 14", "not numbers"),
            ("VERSION:7:6:10:11:12:13:99999999999", "not numbers"),
            ("2", "too short"),
            ("99:7:6:10", "version 99"),
            ("VERSION:7:6:10:11:12:13", "7 numbers, not 8 to 11"),
            (
                "VERSION:7:6:10:11:12:13:14:15:16:17:18",
                "12 numbers, not 8 to 11",
            ),
            ("VERSION:7:6:10:11:10:13:14", "the same descriptor twice"),
            ("VERSION:7:6:10:11:12:13:14:14", "the same descriptor twice"),
            (
                "VERSION:7:6:10:11:12:13:14:15:10",
                "the same descriptor twice",
            ),
        ] {
            let text = text.replace("VERSION", &scoreboard::VERSION.to_string());
            let error = ExecEnv::parse(&text, 7).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_descriptor_that_is_something_else_is_refused() {
        let pipe = crate::sys::fd::pipe::pipe("test", true).unwrap();
        let number = pipe.read.as_raw_fd();
        let text = format!(
            "{}:{}:1:{number}:900:901:902:903",
            scoreboard::VERSION,
            process::pid()
        );
        let error = adopt_from(text.into()).unwrap_err();
        assert_eq!(
            error.message(),
            format!(
                "environment variable FCGIPM_WORKER: descriptor {number}, the scoreboard's, is not a regular file"
            )
        );
        assert!(current().is_none());
    }
}
