//! What a worker that becomes another program leaves to it: the ties to the manager, named in one
//! variable of the environment, and taken up by whichever copy of this library the program has.
//!
//! The variable is `VERSION:PID:MANAGER:PAGE:WAKE:LIFE:SEND:RECEIVE`: the version of the page's layout,
//! the worker's pid, its manager's, and the numbers of five descriptors. `:STDERR:CAUGHT` may follow: what
//! standard error was, and the read end of the pipe that it is until the first Accept. Children of the worker
//! inherit it, too, and the pid tells them that it is not meant for them.

use std::ffi::OsString;
use std::os::fd::{AsRawFd as _, OwnedFd};

use parking_lot::Mutex;

use crate::error::{Code, Error, Result};
use crate::options::WORKER_VARIABLE;
use crate::sys::log::stderr::Redirected;
use crate::sys::process::exec::{self, Sort};
use crate::sys::process::{child, environment};
use crate::sys::signal::wakeup;
use crate::sys::{process, scoreboard};
use crate::worker::{ManagerLink, current, install, now};

/// The ties, by the numbers of their descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExecEnv {
    pid: i32,
    manager: i32,
    page: i32,
    wake: i32,
    life: i32,
    handover: (i32, i32),
    /// Standard error before it was caught, and the pipe.
    stderr: Option<(i32, i32)>,
}

impl ExecEnv {
    /// In a fresh worker, about to become another program, which gets these descriptors.
    ///
    /// # Errors
    /// fcntl(2) failed.
    pub(crate) fn leave(
        manager: i32,
        page: &OwnedFd,
        wake: &OwnedFd,
        life: &OwnedFd,
        handover: &(OwnedFd, OwnedFd),
        stderr: Option<&Redirected>,
    ) -> Result<Self> {
        let stderr = stderr.map(Redirected::descriptors);
        let ties = [page, wake, life, &handover.0, &handover.1];
        for fd in ties.into_iter().chain(stderr.into_iter().flatten()) {
            exec::keep_across_exec(fd)
                .map_err(|errno| Error::system("descriptor for a program: fcntl", errno as i32))?;
        }
        Ok(Self {
            pid: process::pid(),
            manager,
            page: page.as_raw_fd(),
            wake: wake.as_raw_fd(),
            life: life.as_raw_fd(),
            handover: (handover.0.as_raw_fd(), handover.1.as_raw_fd()),
            stderr: stderr.map(|[before, caught]| (before.as_raw_fd(), caught.as_raw_fd())),
        })
    }

    /// What the variable says.
    pub(crate) fn text(&self) -> String {
        let Self {
            pid,
            manager,
            page,
            wake,
            life,
            handover: (send, receive),
            stderr,
        } = self;
        let version = scoreboard::VERSION;
        let ties = format!("{version}:{pid}:{manager}:{page}:{wake}:{life}:{send}:{receive}");
        match stderr {
            Some((before, caught)) => format!("{ties}:{before}:{caught}"),
            None => ties,
        }
    }

    /// Reads what the variable says; `None` where it speaks of another process.
    fn parse(text: &str, pid: i32) -> std::result::Result<Option<Self>, String> {
        let numbers = text.split(':').map(number).collect::<Option<Vec<_>>>();
        let numbers = numbers.ok_or("not a row of numbers with colons between them")?;
        // Another version may have more fields, but these two stand where they are.
        let [version, named, ..] = numbers[..] else {
            return Err("too short".to_owned());
        };
        if named != pid {
            return Ok(None);
        }
        let known = scoreboard::VERSION;
        if u32::try_from(version) != Ok(known) {
            return Err(format!(
                "version {version}, and this library knows {known}: it is not of the same release as the command fcgipm"
            ));
        }
        let (ties, stderr) = match numbers.as_slice() {
            [ties @ .., before, caught] if ties.len() == 8 => (ties, Some((*before, *caught))),
            ties => (ties, None),
        };
        let &[_, pid, manager, page, wake, life, send, receive] = ties else {
            return Err(format!("{} numbers, not 8 or 10", numbers.len()));
        };
        let mut descriptors = vec![page, wake, life, send, receive];
        descriptors.extend(
            stderr
                .into_iter()
                .flat_map(|(before, caught)| [before, caught]),
        );
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
            stderr,
        }))
    }

    /// Takes possession of it. `None`: another copy of this library in this process did.
    fn claim(&self) -> Result<Option<ManagerLink>> {
        let claim = |what: &str, number: i32, sort| {
            exec::claim(number, sort)
                .map_err(|why| bad(format_args!("descriptor {number}, {what}, {why}")))
        };
        // The page first: it is what a second copy asks for, and finds taken.
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
        let mut redirected = None;
        if let Some((before, caught)) = self.stderr {
            let before = claim("what standard error was", before, Sort::Any)?;
            let caught = claim("the pipe of standard error", caught, Sort::PipeRead)?;
            redirected = before.zip(caught);
        }
        let region = scoreboard::adopt_region(&page).map_err(bad)?;
        // It stays open, so that a second copy sees by it that it was taken.
        std::mem::forget(page);
        Ok(Some(
            ManagerLink::new(region, self.manager, wake, life, (send, receive)).with_start_stderr(
                redirected.map(|(before, caught)| Redirected::inherited(before, caught)),
            ),
        ))
    }
}

/// Digits only: `parse` would also take a sign.
fn number(text: &str) -> Option<i32> {
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

/// Makes this process a supervised worker, if the manager of `fcgipm run` started it as one: from here on
/// its manager counts it as ready with its first Accept, and asks it to leave through its page. Handlers
/// that the program has installed before stay. May be called again, and by any thread.
///
/// `Ok(true)`: it is a worker now, or was one. `Ok(false)`: it was started by somebody else, or another copy
/// of this library in this process has taken its place.
///
/// # Errors
/// [`Code::Value`]: the variable `FCGIPM_WORKER` names this process, and something in it is wrong.
/// [`Code::System`]: a handler could not be installed. The process can serve nevertheless; it is then a
/// program that says nothing of itself.
pub fn adopt() -> Result<bool> {
    if current().is_some() {
        return Ok(true);
    }
    environment::trusted_var(WORKER_VARIABLE).map_or(Ok(false), adopt_from)
}

fn adopt_from(variable: OsString) -> Result<bool> {
    let text = variable.to_str().ok_or_else(|| bad("not UTF-8"))?;
    let Some(inheritance) = ExecEnv::parse(text, process::pid()).map_err(bad)? else {
        return Ok(false);
    };
    static ADOPTING: Mutex<()> = Mutex::new(());
    let _adopting = ADOPTING.lock();
    if current().is_some() {
        return Ok(true);
    }
    let Some(link_to_manager) = inheritance.claim()? else {
        return Ok(false);
    };
    let installed = install(link_to_manager);
    let (Ok(()), Some(link_to_manager)) = (installed, current()) else {
        return Err(bad("the parent of this process is a worker, too"));
    };
    wakeup::install_where_default()?;
    // Until now it was a signal that ends a program; this one is only a wake-up. The kernel forgets it when
    // a program is executed that is set-user-ID.
    child::signal_on_parent_death(nix::sys::signal::Signal::SIGURG);
    if process::parent_pid() != link_to_manager.manager {
        wakeup::request_retirement();
    }
    // What this process starts has nothing to do with the manager, and need not see it.
    environment::remove(WORKER_VARIABLE);
    link_to_manager.page.announce(now());
    link_to_manager.notify_manager();
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
            stderr: None,
        };
        assert_eq!(ExecEnv::parse(&one.text(), 7), Ok(Some(one)));
        let caught = ExecEnv {
            stderr: Some((15, 16)),
            ..one
        };
        assert_eq!(ExecEnv::parse(&caught.text(), 7), Ok(Some(caught)));
        // A child of the worker's.
        assert_eq!(ExecEnv::parse(&one.text(), 8), Ok(None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, why) in [
            ("", "not a row of numbers"),
            ("1:7:6:10:11:12:13:+14", "not a row of numbers"),
            ("1:7:6:10:11:12:13:-1", "not a row of numbers"),
            ("1:7:6:10:11:12:13: 14", "not a row of numbers"),
            ("1:7:6:10:11:12:13:99999999999", "not a row of numbers"),
            ("1", "too short"),
            ("99:7:6:10", "version 99"),
            ("1:7:6:10:11:12:13", "7 numbers, not 8 or 10"),
            ("1:7:6:10:11:12:13:14:15", "9 numbers, not 8 or 10"),
            ("1:7:6:10:11:10:13:14", "the same descriptor twice"),
            ("1:7:6:10:11:12:13:14:15:10", "the same descriptor twice"),
        ] {
            let error = ExecEnv::parse(text, 7).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn a_descriptor_that_is_something_else_is_refused() {
        let pipe = crate::sys::fd::pipe::pipe("test", true).unwrap();
        let number = pipe.read.as_raw_fd();
        let text = format!("1:{}:1:{number}:900:901:902:903", process::pid());
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
