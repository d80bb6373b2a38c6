//! A worker as it really is, and what it says of itself.

use std::time::Duration;

use fcgipm::pool::{Activity, Exit, Observation, Offers};

use crate::random::Random;

/// A manager that was away for less than this may not notice.
pub(crate) const UNNOTICED: Duration = Duration::from_secs(2);

/// A request that runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) began: Duration,
    pub(crate) ends: Duration,
    reading: Reading,
    /// Time since then that does not count against it.
    pub(crate) credit: Duration,
    /// Time since then in which the manager was away, or nothing was heard.
    pub(crate) away: Duration,
}

/// For how long its parameters arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    No,
    Shortly,
    /// Until the client gives up: it never becomes a request.
    Always,
}

#[derive(Debug)]
pub(crate) struct Worker {
    /// Reloads that were begun before it was forked.
    pub(crate) generation: usize,
    /// When it was forked.
    pub(crate) forked: Duration,
    /// Start of the time that its start may take, without the time that it was stopped.
    pub(crate) born: Duration,
    pub(crate) ready: bool,
    pub(crate) ready_at: Option<Duration>,
    pub(crate) exit_at: Option<(Duration, Exit)>,
    /// Start of the time that it may take to leave.
    pub(crate) told: Option<Duration>,
    pub(crate) stubborn: bool,
    /// It exits by itself when it has finished a request.
    pub(crate) departs: bool,
    pub(crate) work: Option<Work>,
    /// Requests accepted, and finished.
    pub(crate) number: u64,
    pub(crate) finished: u64,
    pub(crate) limit: u64,
    pub(crate) memory: u64,
    pub(crate) measured: Option<Duration>,
    /// It says whatever it likes.
    /// Connections stand aside in it.
    pub(crate) offers: bool,
    pub(crate) liar: bool,
    /// Its page makes no sense.
    pub(crate) mute: bool,
    /// It is another program since then.
    pub(crate) executed: Option<Duration>,
    /// A program that says nothing of itself, or nothing yet: asked by a signal, it leaves after its
    /// request.
    pub(crate) silent: bool,
    /// What it was last heard to say.
    pub(crate) said: Option<Observation>,
    /// Since when it has been heard to serve the same request.
    pub(crate) heard_since: Duration,
    /// When it was last heard to do something else, and what does not count since.
    pub(crate) heard_other: Duration,
    pub(crate) heard_credit: Duration,
    /// The requests for which it was given notice, or told of as slow.
    pub(crate) noticed: Option<(u64, Duration)>,
    pub(crate) slow: Option<u64>,
    /// The most that it was heard to have finished, and to use.
    pub(crate) heard_requests: u64,
    pub(crate) heard_memory: u64,
}

impl Worker {
    pub(crate) fn new(now: Duration, limit: u64) -> Self {
        Self {
            generation: 0,
            forked: now,
            born: now,
            ready: false,
            ready_at: None,
            exit_at: None,
            told: None,
            stubborn: false,
            departs: false,
            work: None,
            number: 0,
            finished: 0,
            limit,
            memory: 1_000,
            measured: None,
            liar: false,
            offers: false,
            mute: false,
            executed: None,
            silent: false,
            said: None,
            heard_since: now,
            heard_other: now,
            heard_credit: Duration::ZERO,
            noticed: None,
            slow: None,
            heard_requests: 0,
            heard_memory: 0,
        }
    }

    pub(crate) fn serves(&self) -> bool {
        self.ready && self.told.is_none()
    }

    pub(crate) fn takes(&self, now: Duration) -> bool {
        self.serves() && self.work.is_none() && self.exit_at.is_none_or(|(at, _)| at > now)
    }

    pub(crate) fn accept(&mut self, now: Duration, takes: Duration, random: &mut Random) {
        let reading = match random.below(6) {
            0 => Reading::Always,
            1 | 2 => Reading::Shortly,
            _ => Reading::No,
        };
        self.number += u64::from(reading != Reading::Always);
        self.memory += random.below(2_000);
        self.work = Some(Work {
            began: now,
            ends: now + takes,
            reading,
            credit: Duration::ZERO,
            away: Duration::ZERO,
        });
    }

    pub(crate) fn finish(&mut self) {
        let work = self.work.take();
        self.finished += u64::from(work.is_none_or(|work| work.reading != Reading::Always));
    }

    /// What its page says, if that makes sense.
    pub(crate) fn says(&mut self, now: Duration, random: &mut Random) -> Option<Observation> {
        if self.mute || self.silent {
            return None;
        }
        let said = if self.liar {
            Observation {
                activity: match random.below(8) {
                    0 => Activity::Idle,
                    1 => Activity::Reading,
                    2 => Activity::Leaving,
                    _ => Activity::Busy,
                },
                request: match random.below(8) {
                    0 => random.next(),
                    1 => random.below(5),
                    _ => self.said.map_or(0, |said| said.request),
                },
                requests: match random.below(100) {
                    0 => random.next(),
                    _ => random.below(20),
                },
                since: match random.below(4) {
                    0 => Duration::ZERO,
                    1 => Duration::MAX,
                    2 => now + random.millis(10_000),
                    _ => now.saturating_sub(random.millis(100_000)),
                },
                offers: match random.below(4) {
                    0 => Offers::Now,
                    1 => Offers::Lately,
                    _ => Offers::None,
                },
            }
        } else {
            // One that is being read has no number yet.
            let (activity, request) = match self.work {
                None if self.exit_at.is_some() => (Activity::Leaving, self.number),
                None => (Activity::Idle, self.number),
                Some(work) => match work.reading {
                    Reading::Always => (Activity::Reading, self.number),
                    Reading::Shortly if now < work.began + Duration::from_millis(50) => {
                        (Activity::Reading, self.number - 1)
                    }
                    Reading::Shortly | Reading::No => (Activity::Busy, self.number),
                },
            };
            Observation {
                activity,
                request,
                requests: self.finished,
                since: self.work.map_or(Duration::ZERO, |work| work.began),
                offers: if activity == Activity::Busy && self.offers {
                    Offers::Now
                } else {
                    Offers::None
                },
            }
        };
        self.hear(now, said);
        Some(said)
    }

    fn hear(&mut self, now: Duration, said: Observation) {
        let before = self.said.replace(said);
        let same = before.is_some_and(|before| goes_on(before, said));
        if !runs(said) {
            self.heard_other = now;
            self.heard_since = now;
            self.heard_credit = Duration::ZERO;
        } else if !same {
            // It began between the last time it was heard and now.
            self.heard_other = self.heard_since;
            self.heard_credit = Duration::ZERO;
            self.slow = None;
            self.noticed = None;
        }
        if !runs(said) {
            self.slow = None;
            self.noticed = None;
        }
        self.heard_since = now;
        self.heard_requests = self.heard_requests.max(said.requests);
    }

    pub(crate) fn turn_mute(&mut self, now: Duration, mute: bool) {
        if self.mute
            && !mute
            && let Some(work) = &mut self.work
        {
            work.away += now - work.began;
        }
        self.mute = mute;
    }

    /// The earliest time at which its request can have begun, by what was heard of it, without the
    /// time that does not count.
    pub(crate) fn earliest(&self) -> Duration {
        self.heard_other + self.heard_credit
    }

    /// Time passes in which the manager is away, and this worker perhaps, too.
    pub(crate) fn away(&mut self, away: Duration, stopped: bool) {
        let credit = away.saturating_sub(UNNOTICED);
        self.heard_credit += credit;
        if let Some((_, at)) = &mut self.noticed {
            *at += credit;
        }
        if let Some(work) = &mut self.work {
            work.credit += credit;
            work.away += away + UNNOTICED;
            if stopped {
                work.ends += away;
            }
        }
        if stopped {
            self.born += credit;
            self.executed = self.executed.map(|executed| executed + credit);
            self.told = self.told.map(|told| told + credit);
            self.ready_at = self.ready_at.map(|at| at + away);
            self.exit_at = self.exit_at.map(|(at, exit)| (at + away, exit));
        }
    }
}

fn runs(said: Observation) -> bool {
    matches!(said.activity, Activity::Reading | Activity::Busy)
}

fn goes_on(before: Observation, said: Observation) -> bool {
    let same = match (before.activity, said.activity) {
        (Activity::Reading, Activity::Reading) => before.since == said.since,
        (Activity::Busy, Activity::Reading) => false,
        _ => runs(before) && runs(said),
    };
    same && before.request == said.request
}
