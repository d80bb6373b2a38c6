//! What the pool believes of a worker's request: what the worker says, held to what was seen.

use std::time::Duration;

use super::{Activity, Config, Observation, Offers};

/// What is known of one worker's work.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    pub(super) activity: Activity,
    request: u64,
    /// When the worker says that began what it does.
    said: Duration,
    /// The latest look, or when it became ready.
    pub(super) seen: Duration,
    /// How much later that was put, because the manager was away since.
    postponed: Duration,
    /// When the running request began, or when it was first seen to wait.
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
            said: Duration::ZERO,
            seen: now,
            postponed: Duration::ZERO,
            since: now,
            slow: false,
            noticed: None,
            offers: Offers::None,
        }
    }

    /// Takes in what the worker says; whether that differs from before.
    pub(super) fn observe(&mut self, now: Duration, said: Observation) -> bool {
        let was = (self.activity, self.request);
        if !self.goes_on(said) {
            // The last look saw something else, and this one sees it: it began between the two,
            // whatever the worker says. If the manager was away meanwhile, it may have begun before.
            let since = if is_running(said.activity) {
                let since = said.since.saturating_add(self.postponed);
                since.max(self.seen).min(now)
            } else {
                now
            };
            *self = Self {
                since,
                ..Self::new(now, said.activity)
            };
        }
        self.activity = said.activity;
        self.request = said.request;
        self.said = said.since;
        self.seen = now;
        self.postponed = Duration::ZERO;
        self.offers = said.offers;
        was != (self.activity, self.request)
    }

    /// Whether the worker still does what it did at the last look.
    fn goes_on(&self, said: Observation) -> bool {
        let same_request = self.request == said.request;
        match (self.activity, said.activity) {
            // One whose parameters are arriving has no number yet: it goes by that of the one before.
            (Activity::Reading, Activity::Reading) => same_request && self.said == said.since,
            (Activity::Busy, Activity::Reading) => false,
            (Activity::Reading | Activity::Busy, Activity::Busy)
            | (Activity::Idle | Activity::Leaving, Activity::Idle | Activity::Leaving)
            | (Activity::Silent, Activity::Silent) => same_request,
            (Activity::Reading | Activity::Busy, Activity::Idle | Activity::Leaving)
            | (Activity::Idle | Activity::Leaving, Activity::Reading | Activity::Busy) => false,
            // It has begun to speak.
            (
                Activity::Silent,
                Activity::Idle | Activity::Reading | Activity::Busy | Activity::Leaving,
            )
            | (
                Activity::Idle | Activity::Reading | Activity::Busy | Activity::Leaving,
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

    /// When the running request, or what else it does, began.
    pub(super) fn since(&self) -> Duration {
        self.since
    }

    /// When it was first seen to wait, if it does.
    pub(super) fn idle_since(&self) -> Option<Duration> {
        self.is_idle().then_some(self.since)
    }

    /// The next deadline of the running request.
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

    /// The next deadline that was missed for certain. A look after it must have seen the request: a
    /// page that makes no sense since then leaves open whether it still runs.
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

    /// Gives the worker back the time during which the manager was not there.
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
        Activity::Idle | Activity::Leaving | Activity::Silent => false,
    }
}
