//! The plan of a run.

use std::time::Duration;

use super::expected::Expected;
use super::request::Request;

/// What every client does.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) request: Request,
    pub(crate) expected: Expected,
    pub(crate) clients: usize,
    pub(crate) limit: Limit,
    pub(crate) keep: bool,
    /// The pause between two segments, if the parameters are split.
    pub(crate) split: Option<Duration>,
    pub(crate) timeout: Duration,
}

/// When the run ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    Requests(u64),
    Time(Duration),
}
