//! The program that workers execute: what `fcgipm run` supervises.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use crate::error::{Code, Error, Result};
use crate::manager::identity::Identity;
use crate::options::{Opt, Options, TEMPLATE_VARIABLE, WORKER_VARIABLE, variable};
use crate::sys::process::executable;
use crate::sys::service;

/// The exit statuses of shells for a program that was not found, or could not be executed.
const NOT_FOUND: u8 = 127;
pub(super) const NOT_EXECUTED: u8 = 126;

/// A program that accepts FastCGI on descriptor 0, as in section 2.2 of the specification.
#[derive(Clone, Debug)]
pub struct Program {
    arguments: Vec<CString>,
    environment: Vec<CString>,
    listener: i32,
}

impl Program {
    /// A program with its arguments, its environment, and the listening socket that becomes its
    /// descriptor 0. The first argument is its name, searched in PATH if it contains no slash.
    ///
    /// # Errors
    /// [`Code::Value`]: there is no program, or the text contains a NUL byte.
    pub fn new(
        command: &[OsString],
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        listener: i32,
    ) -> Result<Self> {
        if command.first().is_none_or(|program| program.is_empty()) {
            return Err(Error::new(Code::Value, "no program to run"));
        }
        let environment = environment
            .into_iter()
            .filter(|(name, _)| !is_private(name))
            .map(|(mut variable, value)| {
                variable.push("=");
                variable.push(value);
                variable
            });
        Ok(Self {
            arguments: command
                .iter()
                .map(|text| c_string(text))
                .collect::<Result<_>>()?,
            environment: environment
                .map(|text| c_string(&text))
                .collect::<Result<_>>()?,
            listener,
        })
    }

    /// Checks whether a worker with these options could execute this command. The check is made as
    /// the user and below the root of the worker.
    ///
    /// # Errors
    /// [`Code::Value`] with errno: the program cannot be executed; [`exit_status`](Self::exit_status)
    /// has the status for it. Otherwise as [`Manager::next`](crate::manager::Manager::next).
    pub fn check(command: &[OsString], options: &Options) -> Result<()> {
        let program = command.first().map_or(OsStr::new(""), OsString::as_os_str);
        Identity::check_and(options, || executable::check(program)).map(drop)
    }

    /// The exit status of env(1) and shells for a program that was not found (127) or could not be
    /// executed (126), for an error of [`check`](Self::check) or of
    /// [`Manager::next`](crate::manager::Manager::next). `None`: it is another error.
    #[must_use]
    pub fn exit_status(error: &Error) -> Option<u8> {
        match (error.code(), error.errno()) {
            (Code::Value, libc::ENOENT) => Some(NOT_FOUND),
            (Code::Value, errno) if errno != 0 => Some(NOT_EXECUTED),
            _ => None,
        }
    }

    pub(super) fn name(&self) -> &OsStr {
        let name = self.arguments.first();
        name.map_or(OsStr::new(""), |name| OsStr::from_bytes(name.as_bytes()))
    }

    pub(super) fn arguments(&self) -> &[CString] {
        &self.arguments
    }

    /// Its environment, with one more variable.
    pub(super) fn environment_with(&self, variable: Option<&str>) -> Result<Vec<CString>> {
        let more = variable
            .map(|text| c_string(OsStr::new(text)))
            .transpose()?;
        Ok(self.environment.iter().cloned().chain(more).collect())
    }

    /// The listening socket.
    pub(super) const fn listener(&self) -> i32 {
        self.listener
    }
}

/// Whether a variable is meant for the process of the manager: it names descriptors of another
/// process, its service manager, or the address that it has opened.
fn is_private(name: &OsStr) -> bool {
    let name = name.to_str().unwrap_or_default();
    [WORKER_VARIABLE, TEMPLATE_VARIABLE].contains(&name)
        || name == variable(Opt::Listen)
        || service::VARIABLES.contains(&name)
}

fn c_string(text: &OsStr) -> Result<CString> {
    CString::new(text.as_bytes()).map_err(|_| {
        let text = text.to_string_lossy().escape_default().to_string();
        Error::new(Code::Value, format!("a NUL byte in '{text}'"))
    })
}
