//! Errors: one type, and the numbers by which the C ABI knows them.

use std::borrow::Cow;
use std::fmt;

/// What kind of thing went wrong. The number is part of the C ABI: it is never reused, and a
/// retired one stays reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
#[non_exhaustive]
pub enum Code {
    /// An argument is NULL or out of range.
    Argument = -1,
    /// The handle is NULL, freed, or not one of this kind.
    Handle = -2,
    /// The handle belongs to another process: it was made before a fork.
    Forked = -3,
    /// A listen address cannot be understood or resolved.
    Address = -4,
    /// A listen address is in use.
    InUse = -5,
    /// No option has this name.
    Option = -6,
    /// An option has a bad value.
    Value = -7,
    /// A system call failed; errno tells why.
    System = -8,
    /// The call does not fit the state: read before accept, finish twice.
    State = -9,
    /// A signal interrupted the wait for a request.
    Interrupted = -10,
    /// This worker is to leave: it was retired, or its manager is gone.
    Retired = -11,
    /// The web server aborted the request.
    Aborted = -12,
    /// The input ended before its end marker arrived.
    Incomplete = -13,
    /// The peer broke the protocol.
    Protocol = -14,
    /// A deadline passed.
    TimedOut = -15,
    /// The connection is gone.
    Closed = -16,
    /// The descriptor is no listening socket, or was closed.
    Listener = -17,
    /// No descriptor is left, in the process or the system.
    Descriptors = -18,
    /// The pid file cannot be written or read.
    PidFile = -19,
    /// Another manager is running.
    Running = -20,
    /// The process has more than one thread, so it cannot fork workers.
    Threads = -21,
    /// A bug in the library, stopped at its boundary.
    Panic = -22,
}

impl Code {
    /// All codes, for tables and tests.
    pub const ALL: [Self; 22] = [
        Self::Argument,
        Self::Handle,
        Self::Forked,
        Self::Address,
        Self::InUse,
        Self::Option,
        Self::Value,
        Self::System,
        Self::State,
        Self::Interrupted,
        Self::Retired,
        Self::Aborted,
        Self::Incomplete,
        Self::Protocol,
        Self::TimedOut,
        Self::Closed,
        Self::Listener,
        Self::Descriptors,
        Self::PidFile,
        Self::Running,
        Self::Threads,
        Self::Panic,
    ];

    /// The number in the C ABI.
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32
    }
}

/// An error: its kind, a message that names the thing and the value, and errno where that is the
/// cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    code: Code,
    errno: i32,
    message: Cow<'static, str>,
}

/// Shorthand for results with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error that no system call caused.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            errno: 0,
            message: message.into(),
        }
    }

    /// A failed system call: `what` says what was tried on what; the cause is appended.
    pub fn system(what: impl fmt::Display, errno: i32) -> Self {
        Self::caused(Code::System, what, errno)
    }

    /// An error of a kind of its own that errno caused.
    pub fn caused(code: Code, what: impl fmt::Display, errno: i32) -> Self {
        let cause = std::io::Error::from_raw_os_error(errno);
        Self {
            code,
            errno,
            message: Cow::Owned(format!("{what}: {cause}")),
        }
    }

    /// The kind.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// The system's error number, or 0.
    #[must_use]
    pub const fn errno(&self) -> i32 {
        self.errno
    }

    /// The message.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
