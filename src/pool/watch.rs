//! What the pool believes of a worker's request: the worker's report, limited by what was observed.

use std::time::Duration;

use super::config::Config;
use super::event::{Activity, Observation, Offers};

/// What is known of one worker's requests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    pub(super) activity: Activity,
    request: u64,
    /// When its current activity began, by the worker's report.
    reported_since: Duration,
    /// The latest poll, or when it became ready.
    pub(super) seen: Duration,
    /// By how much that was postponed, because the manager was stopped since then.
    postponed: Duration,
    /// When the current request began, or when it was first seen to wait.
    since: Duration,
    slow: bool,
    noticed: Option<Duration>,
    pub(super) offers: Offers,
}

/// A deadline of a request that was missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    Slow { age: Duration },
    Timeout { age: Duration },
    Grace,
}

impl Watch {
    pub(super) fn new(now: Duration, activity: Activity) -> Self {
        Self {
            activity,
            request: 0,
            reported_since: Duration::ZERO,
            seen: now,
            postponed: Duration::ZERO,
            since: now,
            slow: false,
            noticed: None,
            offers: Offers::None,
        }
    }

    /// Notes a report of the worker. Returns whether it differs from the last one.
    pub(super) fn observe(&mut self, now: Duration, report: Observation) -> bool {
        let was = (self.activity, self.request);
        if !self.is_unchanged(report) {
            // It began between the last poll, which saw something else, and this one, whatever the
            // worker reports. If the manager was stopped meanwhile, it may have begun before.
            let since = if is_running(report.activity) {
                let since = report.since.saturating_add(self.postponed);
                since.max(self.seen).min(now)
            } else {
                now
            };
            *self = Self {
                since,
                ..Self::new(now, report.activity)
            };
        }
        self.activity = report.activity;
        self.request = report.request;
        self.reported_since = report.since;
        self.seen = now;
        self.postponed = Duration::ZERO;
        self.offers = report.offers;
        was != (self.activity, self.request)
    }

    /// Whether the worker still does what it did at the last poll.
    fn is_unchanged(&self, report: Observation) -> bool {
        let same_request = self.request == report.request;
        match (self.activity, report.activity) {
            // A request whose parameters are still arriving has the number of the one before.
            (Activity::Reading, Activity::Reading) => {
                same_request && self.reported_since == report.since
            }
            (Activity::Busy, Activity::Reading) => false,
            (Activity::Reading | Activity::Busy, Activity::Busy)
            | (Activity::Idle | Activity::Exiting, Activity::Idle | Activity::Exiting)
            | (Activity::Silent, Activity::Silent) => same_request,
            (Activity::Reading | Activity::Busy, Activity::Idle | Activity::Exiting)
            | (Activity::Idle | Activity::Exiting, Activity::Reading | Activity::Busy) => false,
            // It has begun to report.
            (
                Activity::Silent,
                Activity::Idle | Activity::Reading | Activity::Busy | Activity::Exiting,
            )
            | (
                Activity::Idle | Activity::Reading | Activity::Busy | Activity::Exiting,
                Activity::Silent,
            ) => false,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.activity == Activity::Idle
    }

    pub(super) fn is_silent(&self) -> bool {
        self.activity == Activity::Silent
    }

    pub(super) fn is_running(&self) -> bool {
        is_running(self.activity)
    }

    /// When the current request, or another activity, began.
    pub(super) fn since(&self) -> Duration {
        self.since
    }

    /// When it was first seen to wait, if it is idle.
    pub(super) fn idle_since(&self) -> Option<Duration> {
        self.is_idle().then_some(self.since)
    }

    /// The next deadline of the current request.
    pub(super) fn next(&self, config: &Config) -> Option<Duration> {
        if !self.is_running() {
            return None;
        }
        let slow = config.slow_request.filter(|_| !self.slow);
        let slow = slow.map(|limit| self.since.saturating_add(limit));
        let timeout = config.request_timeout.map(|limit| match self.noticed {
            None => self.since.saturating_add(limit),
            Some(at) => at.saturating_add(config.request_timeout_grace),
        });
        slow.into_iter().chain(timeout).min()
    }

    /// The next deadline that was certainly missed. A poll after it must have seen the request: with
    /// an invalid page since then, the request may have ended.
    pub(super) fn missed(&mut self, now: Duration, config: &Config) -> Option<Missed> {
        if !self.is_running() {
            return None;
        }
        let age = self.seen.saturating_sub(self.since);
        if !self.slow && config.slow_request.is_some_and(|limit| age >= limit) {
            self.slow = true;
            return Some(Missed::Slow { age });
        }
        let timeout = config.request_timeout?;
        match self.noticed {
            None if age >= timeout => {
                self.noticed = Some(now);
                Some(Missed::Timeout { age })
            }
            Some(at) if self.seen >= at.saturating_add(config.request_timeout_grace) => {
                Some(Missed::Grace)
            }
            None | Some(_) => None,
        }
    }

    /// Postpones everything by the time during which the manager was stopped.
    pub(super) fn postpone(&mut self, by: Duration) {
        self.seen += by;
        self.postponed += by;
        self.since += by;
        if let Some(at) = &mut self.noticed {
            *at += by;
        }
    }
}

fn is_running(activity: Activity) -> bool {
    match activity {
        Activity::Reading | Activity::Busy => true,
        Activity::Idle | Activity::Exiting | Activity::Silent => false,
    }
}
