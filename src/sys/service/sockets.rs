//! The sockets that a service manager passes: descriptors from 3 on (sd_listen_fds(3)).

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{SockType, getsockopt, sockopt};
use once_cell::sync::OnceCell;
use parking_lot::Mutex;

use crate::error::{Code, Error, Result};
use crate::sys::fd::borrow;
use crate::sys::process::{self, environment};
use crate::sys::socket::listen::{self, Bound};
use crate::sys::socket::socket_file::{FileId, identity_of};

/// The number of the first descriptor (SD_LISTEN_FDS_START).
const FIRST: i32 = 3;

/// The name of a descriptor without one.
const UNNAMED: &str = "unknown";

/// The beginning of the names of sockets that this library has the service manager keep. Sockets of
/// socket units have the names of units, in which there is no `=`.
const STORED: &str = "fcgipm=";

/// The maximum length of a name (FDNAME_MAX).
const NAME_MAX: usize = 255;

/// The name of a socket that the service manager is to keep. Names have no colons, and no characters
/// beyond ASCII.
pub(crate) fn stored_name(address: &str) -> String {
    let valid = address.chars().map(|character| match character {
        ':' => '=',
        ' '..='~' => character,
        _ => '_',
    });
    STORED.chars().chain(valid).take(NAME_MAX).collect()
}

/// A listening stream socket that was passed.
#[derive(Debug)]
pub(crate) struct Passed {
    fd: i32,
    socket: FileId,
    name: String,
    is_claimed: AtomicBool,
}

static PASSED: OnceCell<std::result::Result<Vec<Passed>, Error>> = OnceCell::new();

/// Sockets that another process of this service has passed, which started this one.
static FROM_PARENT: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// Another process whose sockets are this one's, too: 0 if there is none.
static PREDECESSOR: AtomicI32 = AtomicI32::new(0);

/// The sockets that were passed to this process, or to the one that it descends from. The first
/// call reads the environment, and sets close-on-exec. Sockets that were closed meanwhile are left
/// out.
///
/// # Errors
/// [`Code::Value`]: a variable for this process has an invalid value.
pub(crate) fn passed() -> Result<impl Iterator<Item = &'static Passed>> {
    let all = PASSED.get_or_init(|| {
        let variables = Variables {
            pid: environment::trusted_var("LISTEN_PID"),
            count: environment::trusted_var("LISTEN_FDS"),
            names: environment::trusted_var("LISTEN_FDNAMES"),
        };
        let pids = [process::pid(), PREDECESSOR.load(Ordering::Relaxed)];
        let mut all: Vec<_> = (FIRST..).zip(variables.names(&pids)?).collect();
        for fd in &*FROM_PARENT.lock() {
            if all.iter().all(|(known, _)| known != fd) {
                all.push((*fd, UNNAMED.to_owned()));
            }
        }
        Ok(listening(all))
    });
    match all {
        Ok(all) => Ok(all.iter().filter(|one| one.is_open())),
        Err(error) => Err(error.clone()),
    }
}

/// The sockets that the host has got, and has closed.
pub(crate) fn closed() -> impl Iterator<Item = &'static Passed> {
    let all = PASSED.get().and_then(|all| all.as_ref().ok());
    all.into_iter()
        .flatten()
        .filter(|one| one.is_claimed() && !one.is_open())
}

/// Sockets that were passed to this process, which has started the current one, are the current
/// one's, too. Before the first call of [`passed`].
pub(crate) fn inherit_from(process: i32) {
    PREDECESSOR.store(process, Ordering::Relaxed);
}

/// The process that started this one has passed these sockets, too. Before the first call of
/// [`passed`].
pub(crate) fn add(sockets: Vec<i32>) {
    *FROM_PARENT.lock() = sockets;
}

/// Programs that this process executes inherit the sockets.
pub(crate) fn keep_across_exec() {
    for one in passed().into_iter().flatten() {
        if let Some(fd) = borrow(one.fd) {
            let _ = fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()));
        }
    }
}

struct Variables {
    pid: Option<OsString>,
    count: Option<OsString>,
    names: Option<OsString>,
}

impl Variables {
    /// The name of each descriptor, if the variables are meant for one of these processes.
    fn names(&self, pids: &[i32]) -> Result<Vec<String>> {
        let (Some(pid), Some(count)) = (&self.pid, &self.count) else {
            return Ok(Vec::new());
        };
        if !pids.contains(&number("LISTEN_PID", pid)?) {
            return Ok(Vec::new());
        }
        let count = usize::try_from(number("LISTEN_FDS", count)?).unwrap_or(usize::MAX);
        let names = self.names.as_ref().map(|names| names.to_string_lossy());
        let names = names.iter().flat_map(|names| names.split(':'));
        Ok(names
            .map(str::to_owned)
            .chain(std::iter::repeat_with(|| UNNAMED.to_owned()))
            .take(count.min(process::descriptor_limit()))
            .collect())
    }
}

fn number(name: &str, value: &OsString) -> Result<i32> {
    let number = value.to_str().and_then(|text| text.parse().ok());
    number.filter(|number| *number >= 0).ok_or_else(|| {
        let value = value.to_string_lossy();
        Error::new(
            Code::Value,
            format!("environment variable {name}: '{value}' is not a number"),
        )
    })
}

fn listening(all: Vec<(i32, String)>) -> Vec<Passed> {
    let mut found = Vec::new();
    for (fd, name) in all {
        let Some(borrowed) = borrow(fd) else { continue };
        if fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).is_err() {
            continue;
        }
        let is_stream = getsockopt(&borrowed, sockopt::SockType) == Ok(SockType::Stream);
        let socket = identity_of(borrowed);
        if let (Some(socket), true, Ok(true)) = (socket, is_stream, listen::is_listening(borrowed))
        {
            found.push(Passed {
                fd,
                socket,
                name,
                is_claimed: AtomicBool::new(false),
            });
        }
    }
    found
}

impl Passed {
    /// Another file may have its number meanwhile.
    fn is_open(&self) -> bool {
        borrow(self.fd).and_then(identity_of) == Some(self.socket)
    }

    /// Its descriptor.
    pub(crate) const fn number(&self) -> i32 {
        self.fd
    }

    /// Its name in LISTEN_FDNAMES.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether an earlier start of this service had the service manager keep it.
    pub(crate) fn is_stored(&self) -> bool {
        self.name.starts_with(STORED)
    }

    /// The address that it listens at.
    pub(crate) fn bound(&self) -> Option<Bound> {
        listen::bound(borrow(self.fd)?).ok()
    }

    /// A copy of it, which is closed on exec.
    pub(crate) fn copy(&self) -> Option<OwnedFd> {
        borrow(self.fd)?.try_clone_to_owned().ok()
    }

    /// Its descriptor, which the host gets.
    pub(crate) fn claim(&self) -> i32 {
        self.is_claimed.store(true, Ordering::Relaxed);
        self.fd
    }

    /// Whether the host has got its descriptor.
    pub(crate) fn is_claimed(&self) -> bool {
        self.is_claimed.load(Ordering::Relaxed)
    }

    /// Closes the descriptor, if it is still this socket's.
    pub(crate) fn close(&self) {
        if self.is_open() {
            let _ = listen::close(self.fd);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pid: &str, count: &str, names: Option<&str>) -> Variables {
        Variables {
            pid: Some(pid.into()),
            count: Some(count.into()),
            names: names.map(Into::into),
        }
    }

    #[test]
    fn each_descriptor_has_a_name() {
        let names = |variables: Variables| variables.names(&[7, 0]).unwrap();
        assert_eq!(names(variables("7", "2", Some("a:b"))), ["a", "b"]);
        assert_eq!(
            names(variables("7", "3", Some("a"))),
            ["a", UNNAMED, UNNAMED]
        );
        assert_eq!(names(variables("7", "1", Some("a:b"))), ["a"]);
        assert_eq!(names(variables("7", "1", None)), [UNNAMED]);
        assert!(names(variables("7", "0", None)).is_empty());
    }

    #[test]
    fn a_stored_socket_has_a_valid_name() {
        assert_eq!(stored_name("[::1]:9005"), "fcgipm=[==1]=9005");
        assert_eq!(stored_name("/run/\u{e9}\n"), "fcgipm=/run/__");
        assert_eq!(stored_name(&"x".repeat(300)).len(), NAME_MAX);
    }

    #[test]
    fn variables_for_another_process_are_ignored() {
        for pid in ["8", "0000", "1"] {
            let names = variables(pid, "1", None).names(&[7]).unwrap();
            assert!(names.is_empty(), "{pid}");
        }
        let names = variables("6", "1", None).names(&[7, 6]).unwrap();
        assert_eq!(names.len(), 1);
        let unset = Variables {
            pid: None,
            count: Some("1".into()),
            names: None,
        };
        assert!(unset.names(&[7]).unwrap().is_empty());
    }

    #[test]
    fn an_invalid_value_is_named() {
        for (pid, count, wanted) in [
            (
                "x",
                "1",
                "environment variable LISTEN_PID: 'x' is not a number",
            ),
            (
                "7",
                "x",
                "environment variable LISTEN_FDS: 'x' is not a number",
            ),
            (
                "7",
                "-1",
                "environment variable LISTEN_FDS: '-1' is not a number",
            ),
            (
                "7",
                "",
                "environment variable LISTEN_FDS: '' is not a number",
            ),
        ] {
            let error = variables(pid, count, None).names(&[7]).unwrap_err();
            assert_eq!(error.message(), wanted);
        }
        // More than there can be.
        assert!(variables("7", "2147483647", None).names(&[7]).is_ok());
    }
}
