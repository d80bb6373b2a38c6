//! How a request was lost: the kinds of loss, and the reason of one.

use std::fmt;

use fcgipm::wire::EndRequest;
use nix::errno::Errno;

use crate::fastcgi::client;
use crate::fastcgi::records::Violation;

/// The kinds of loss, in the order of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Refused,
    Before,
    BeforeReused,
    Within,
    After,
    Status,
    Content,
    Malformed,
    Stuck,
}

impl Kind {
    pub(crate) const ALL: [Self; 9] = [
        Self::Refused,
        Self::Before,
        Self::BeforeReused,
        Self::Within,
        Self::After,
        Self::Status,
        Self::Content,
        Self::Malformed,
        Self::Stuck,
    ];

    /// The name in the report.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Before => "before",
            Self::BeforeReused => "before (reused)",
            Self::Within => "within",
            Self::After => "after",
            Self::Status => "status",
            Self::Content => "content",
            Self::Malformed => "malformed",
            Self::Stuck => "stuck",
        }
    }

    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::BeforeReused => "before_reused",
            Self::Refused
            | Self::Before
            | Self::Within
            | Self::After
            | Self::Status
            | Self::Content
            | Self::Malformed
            | Self::Stuck => self.name(),
        }
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    Closed,
    Broken(Errno),
}

/// A lost request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    Refused(Errno),
    Before { reused: bool, cut: Cut },
    Within { bytes: u64, cut: Cut },
    Reset,
    Surplus,
    Status { found: u16, expected: u16 },
    Content(Flaw),
    Malformed(Violation),
    Stuck { bytes: u64, connected: bool },
}

/// Why a complete response is lost.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// A protocol status other than REQUEST_COMPLETE.
    Refusal(EndRequest),
    ApplicationStatus(u32),
    NoHeader,
    BadLine(String),
    Length {
        announced: u64,
        came: u64,
    },
    NotExpected,
}

impl Loss {
    pub(crate) const fn kind(&self) -> Kind {
        match self {
            Self::Refused(_) => Kind::Refused,
            Self::Before { reused: false, .. } => Kind::Before,
            Self::Before { reused: true, .. } => Kind::BeforeReused,
            Self::Within { .. } => Kind::Within,
            Self::Reset | Self::Surplus => Kind::After,
            Self::Status { .. } => Kind::Status,
            Self::Content(_) => Kind::Content,
            Self::Malformed(_) => Kind::Malformed,
            Self::Stuck { .. } => Kind::Stuck,
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(errno) => write!(f, "{errno:?}: {}", errno.desc()),
            Self::Before { cut, .. } => write!(f, "{cut} before any byte of the response"),
            Self::Within { bytes, cut } => write!(f, "{cut} after {bytes} bytes of the response"),
            Self::Reset => f.write_str("the connection was reset after END_REQUEST"),
            Self::Surplus => f.write_str("surplus bytes after END_REQUEST"),
            Self::Status { found, expected } => write!(f, "status {found} instead of {expected}"),
            Self::Content(flaw) => flaw.fmt(f),
            Self::Malformed(violation) => write!(f, "the application sent {violation}"),
            Self::Stuck {
                connected: false, ..
            } => f.write_str("not connected in time"),
            Self::Stuck { bytes: 0, .. } => f.write_str("no response in time"),
            Self::Stuck { bytes, .. } => write!(f, "response incomplete after {bytes} bytes"),
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("connection closed"),
            Self::Broken(errno) => write!(f, "{errno:?}"),
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refusal(end) => {
                f.write_str(&client::refusal(*end).unwrap_or_else(|| "refused".to_owned()))
            }
            Self::ApplicationStatus(status) => write!(f, "application status {status}"),
            Self::NoHeader => f.write_str("the response has no complete header"),
            Self::BadLine(line) => write!(f, "the response header has the invalid line '{line}'"),
            Self::Length { announced, came } => {
                write!(f, "Content-Length is {announced}, but {came} bytes arrived")
            }
            Self::NotExpected => f.write_str("the --expect text is not in the response"),
        }
    }
}
