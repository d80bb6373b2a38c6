//! The real state of a worker, and its reports.

use std::time::Duration;

use fcgipm::pool::{Activity, Exit, Observation, Offers};

use crate::random::Random;

/// A manager that was stopped for less than this may not notice.
pub(crate) const UNNOTICED: Duration = Duration::from_secs(2);

/// A current request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    pub(crate) began: Duration,
    pub(crate) ends: Duration,
    reading: Reading,
    /// Time since then that does not count against it.
    pub(crate) credit: Duration,
    /// Time since then in which the manager was stopped, or had no valid report.
    pub(crate) away: Duration,
}

/// For how long its parameters arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    No,
    Shortly,
    /// Until the client closes the connection: it never becomes a request.
    Always,
}

#[derive(Debug)]
pub(crate) struct Worker {
    /// Reloads that began before it was forked.
    pub(crate) generation: usize,
    /// When it was forked.
    pub(crate) forked: Duration,
    /// The beginning of its start timeout, without the time that it was stopped.
    pub(crate) born: Duration,
    pub(crate) ready: bool,
    pub(crate) ready_at: Option<Duration>,
    pub(crate) exit_at: Option<(Duration, Exit)>,
    /// The beginning of the time that it may take to exit: when it was asked to.
    pub(crate) asked_at: Option<Duration>,
    pub(crate) stubborn: bool,
    /// It exits on its own when it has finished a request.
    pub(crate) departs: bool,
    pub(crate) work: Option<Work>,
    /// Requests accepted, and finished.
    pub(crate) number: u64,
    pub(crate) finished: u64,
    pub(crate) limit: u64,
    pub(crate) memory: u64,
    pub(crate) measured: Option<Duration>,
    /// Its reports are false.
    /// It has parked connections.
    pub(crate) offers: bool,
    pub(crate) liar: bool,
    /// Its page is invalid.
    pub(crate) mute: bool,
    /// When it executed another program.
    pub(crate) executed: Option<Duration>,
    /// A program that reports nothing, or nothing yet: when it is asked by a signal, it exits after
    /// its request.
    pub(crate) silent: bool,
    /// Its last report that the manager has read.
    pub(crate) report: Option<Observation>,
    /// Since when it has reported the same request.
    pub(crate) heard_since: Duration,
    /// When it last reported something else, and the time since then that does not count.
    pub(crate) heard_other: Duration,
    pub(crate) heard_credit: Duration,
    /// The requests for which it was notified, or which were reported as slow.
    pub(crate) noticed: Option<(u64, Duration)>,
    pub(crate) slow: Option<u64>,
    /// The maximum of its reported requests, and of its reported memory.
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
            asked_at: None,
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
            report: None,
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
        self.ready && self.asked_at.is_none()
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

    /// The content of its page, if that is valid.
    pub(crate) fn observation(
        &mut self,
        now: Duration,
        random: &mut Random,
    ) -> Option<Observation> {
        if self.mute || self.silent {
            return None;
        }
        let report = if self.liar {
            Observation {
                activity: match random.below(8) {
                    0 => Activity::Idle,
                    1 => Activity::Reading,
                    2 => Activity::Exiting,
                    _ => Activity::Busy,
                },
                request: match random.below(8) {
                    0 => random.next(),
                    1 => random.below(5),
                    _ => self.report.map_or(0, |report| report.request),
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
            // A request that is being read has no number yet.
            let (activity, request) = match self.work {
                None if self.exit_at.is_some() => (Activity::Exiting, self.number),
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
        self.record(now, report);
        Some(report)
    }

    fn record(&mut self, now: Duration, report: Observation) {
        let before = self.report.replace(report);
        let same = before.is_some_and(|before| is_unchanged(before, report));
        if !runs(report) {
            self.heard_other = now;
            self.heard_since = now;
            self.heard_credit = Duration::ZERO;
        } else if !same {
            // It began between the last report and now.
            self.heard_other = self.heard_since;
            self.heard_credit = Duration::ZERO;
            self.slow = None;
            self.noticed = None;
        }
        if !runs(report) {
            self.slow = None;
            self.noticed = None;
        }
        self.heard_since = now;
        self.heard_requests = self.heard_requests.max(report.requests);
    }

    pub(crate) fn set_invalid(&mut self, now: Duration, mute: bool) {
        if self.mute && !mute {
            if let Some(work) = &mut self.work {
                work.away += now - work.began;
            }
        }
        self.mute = mute;
    }

    /// The earliest time at which its request can have begun, by its reports, without the time that
    /// does not count.
    pub(crate) fn earliest(&self) -> Duration {
        self.heard_other + self.heard_credit
    }

    /// Time passes in which the manager is stopped, and possibly this worker, too.
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
            self.asked_at = self.asked_at.map(|at| at + credit);
            self.ready_at = self.ready_at.map(|at| at + away);
            self.exit_at = self.exit_at.map(|(at, exit)| (at + away, exit));
        }
    }
}

fn runs(report: Observation) -> bool {
    matches!(report.activity, Activity::Reading | Activity::Busy)
}

fn is_unchanged(before: Observation, report: Observation) -> bool {
    let same = match (before.activity, report.activity) {
        (Activity::Reading, Activity::Reading) => before.since == report.since,
        (Activity::Busy, Activity::Reading) => false,
        _ => runs(before) && runs(report),
    };
    same && before.request == report.request
}

/// The request that the worker last reported has taken this long: by its reports, and in fact, if
/// its reports are true.
pub(crate) fn overdue_since(worker: &Worker, now: Duration, limit: Duration) {
    let heard = now.saturating_sub(worker.earliest());
    assert!(heard >= limit, "{heard:?} of {limit:?} by its reports");
    if !worker.liar {
        let work = worker.work.expect("no request");
        let age = now.saturating_sub(work.began + work.credit);
        assert!(
            age >= limit,
            "{age:?} of {limit:?} in fact: {now:?} {worker:?}"
        );
    }
}

pub(crate) fn overdue(worker: &Worker, now: Duration, limit: Duration) {
    overdue_since(worker, now, limit);
}
