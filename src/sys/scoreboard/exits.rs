//! Why workers exited, as the manager counts it.

/// Why a worker exited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum ExitCause {
    /// It was asked to exit: by a reload, a limit, a smaller pool or a stop.
    Retired = 0,
    /// On its own, with status 0.
    Exited = 1,
    /// On its own, with another status.
    Failed = 2,
    /// By a signal that the manager did not send.
    Signal = 3,
    /// It was killed, because it was not ready within `start_timeout`.
    StartTimeout = 4,
    /// It was killed, because it did not exit within `die_timeout`.
    DieTimeout = 5,
    /// It was killed for a request that exceeded `request_timeout`.
    RequestTimeout = 6,
    /// Another part of the host reaped it.
    Unknown = 7,
}

pub(super) const CAUSES: usize = ExitCause::ALL.len();

impl ExitCause {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Retired,
        Self::Exited,
        Self::Failed,
        Self::Signal,
        Self::StartTimeout,
        Self::DieTimeout,
        Self::RequestTimeout,
        Self::Unknown,
    ];

    /// One word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retired => "retired",
            Self::Exited => "exited",
            Self::Failed => "failed",
            Self::Signal => "signal",
            Self::StartTimeout => "start_timeout",
            Self::DieTimeout => "die_timeout",
            Self::RequestTimeout => "request_timeout",
            Self::Unknown => "unknown",
        }
    }
}
