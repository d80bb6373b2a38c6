//! The error type, and the error numbers of the C ABI.

use std::borrow::Cow;
use std::fmt;

macro_rules! codes {
    ($( $id:ident = $number:literal, $name:literal, $meaning:literal; )*) => {
        /// The kind of an error. The number is part of the C ABI: it is never reused, and a retired
        /// one stays reserved.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(i32)]
        #[non_exhaustive]
        pub enum Code { $( #[doc = $meaning] $id = $number, )* }

        impl Code {
            /// All codes. The C header is generated from them.
            pub const ALL: &[Self] = &[ $( Self::$id, )* ];

            /// The name in the C header.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $( Self::$id => $name, )* }
            }

            /// The meaning, in one sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $( Self::$id => $meaning, )* }
            }
        }
    };
}

codes! {
    Argument = -1, "FCGIPM_EARGUMENT", "An argument is NULL or out of range.";
    Handle = -2, "FCGIPM_EHANDLE", "The handle is NULL, freed, of another kind, or in use by another call.";
    Forked = -3, "FCGIPM_EFORKED", "The handle belongs to another process: it was made before a fork.";
    Address = -4, "FCGIPM_EADDRESS", "A listen address is invalid or cannot be resolved.";
    InUse = -5, "FCGIPM_EINUSE", "A listen address is in use.";
    Option = -6, "FCGIPM_EOPTION", "There is no option with this name.";
    Value = -7, "FCGIPM_EVALUE", "An option or an environment variable has an invalid value.";
    System = -8, "FCGIPM_ESYSTEM", "A system call failed; errno has the reason.";
    State = -9, "FCGIPM_ESTATE", "The call is not allowed in this state, such as a read before accept.";
    Interrupted = -10, "FCGIPM_EINTERRUPTED", "A signal interrupted the wait.";
    Retired = -11, "FCGIPM_ERETIRED", "This worker should exit: it was retired, or its manager no longer exists.";
    Aborted = -12, "FCGIPM_EABORTED", "The web server aborted the request.";
    Incomplete = -13, "FCGIPM_EINCOMPLETE", "The connection ended before the end of the input.";
    Protocol = -14, "FCGIPM_EPROTOCOL", "The peer violated the protocol.";
    TimedOut = -15, "FCGIPM_ETIMEDOUT", "A timeout expired.";
    Closed = -16, "FCGIPM_ECLOSED", "The connection was closed.";
    Listener = -17, "FCGIPM_ELISTENER", "The descriptor is not a listening socket, or was closed.";
    Descriptors = -18, "FCGIPM_EDESCRIPTORS", "The process or the system has no free descriptor.";
    PidFile = -19, "FCGIPM_EPIDFILE", "The pid file cannot be read or written.";
    Running = -20, "FCGIPM_ERUNNING", "Another manager is running.";
    Threads = -21, "FCGIPM_ETHREADS", "The process has more than one thread, so it cannot fork workers.";
    Panic = -22, "FCGIPM_EPANIC", "An internal error of the library.";
    ForkDue = -23, "FCGIPM_EFORKDUE", "This worker should fork a template: see fcgipm_manager_of_worker().";
}

impl Code {
    /// The number in the C ABI.
    #[must_use]
    pub const fn number(self) -> i32 {
        self as i32
    }
}

/// An error: its kind, a message that names the object and the value, and errno if a system call
/// was the cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    code: Code,
    errno: i32,
    message: Cow<'static, str>,
}

/// A result with [`Error`].
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

    /// A failed system call. `what` names the operation and its object; the cause is appended.
    pub fn system(what: impl fmt::Display, errno: i32) -> Self {
        Self::caused(Code::System, what, errno)
    }

    /// A failed system call with a kind of its own.
    pub fn caused(code: Code, what: impl fmt::Display, errno: i32) -> Self {
        let cause = std::io::Error::from_raw_os_error(errno);
        Self {
            code,
            errno,
            message: Cow::Owned(format!("{what}: {cause}")),
        }
    }

    /// An error that another process reported.
    pub(crate) fn relayed(code: Code, errno: i32, message: String) -> Self {
        Self {
            code,
            errno,
            message: Cow::Owned(message),
        }
    }

    /// The kind.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// The error number of the system, or 0.
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
