//! What a pool did between two readings.

use std::collections::HashMap;
use std::time::Duration;

use fcgipm::worker::Tallies;

use super::counted::{Bucket, CLASS_NAMES, Counted, Exits};
use super::report::{Report, WorkerReport};

/// The counters of a pool at one time.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// On the clock of the scoreboard.
    at: Duration,
    /// The pid of the manager, and when it started.
    manager: (i32, Duration),
    requests: u64,
    counted: Tallies,
    exits: Exits,
    workers: HashMap<Key, Used>,
}

/// A worker: its pid, and when it was forked.
type Key = (i32, Duration);

#[derive(Clone, Copy, Debug, Default)]
struct Used {
    requests: u64,
    cpu: f64,
}

/// The difference of two samples.
#[derive(Clone, Debug)]
pub(crate) struct Rates {
    /// The time between them; 0 if there was none.
    pub(crate) seconds: f64,
    pub(crate) requests_per_second: f64,
    /// Of the requests that were finished in this time.
    counted: Counted,
    exits: Exits,
    earlier: HashMap<Key, Used>,
    at: Duration,
    since: Duration,
}

/// A bound below which a share of the requests was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Quantile {
    /// At most these seconds.
    Within(f64),
    /// More than the highest bound.
    Above(f64),
}

impl Sample {
    pub(crate) fn of(report: &Report) -> Self {
        let used = |worker: &WorkerReport| Used {
            requests: worker.requests.unwrap_or(0),
            cpu: worker.cpu.unwrap_or(0.0),
        };
        let workers = report.workers.iter();
        Self {
            at: report.read_at,
            manager: (report.manager, report.started),
            requests: report.requests,
            counted: report.counted.0,
            exits: report.exits,
            workers: workers.map(|worker| (key(worker), used(worker))).collect(),
        }
    }

    /// When the manager of a report started: nothing was counted yet.
    pub(crate) fn of_start(report: &Report) -> Self {
        Self::start_of((report.manager, report.started))
    }

    fn start_of(manager: (i32, Duration)) -> Self {
        Self {
            at: manager.1,
            manager,
            requests: 0,
            counted: Tallies::default(),
            exits: Exits::default(),
            workers: HashMap::new(),
        }
    }

    /// Counters of the same manager never decrease. They would for a moment: the requests of a worker
    /// that has exited are missing until the manager has added them to the total.
    pub(crate) fn raise_to(&mut self, earlier: &Self) {
        if self.manager == earlier.manager {
            self.requests = self.requests.max(earlier.requests);
            self.counted.raise_to(&earlier.counted);
        }
    }

    /// What happened since an earlier sample, or since the start of the manager if that was another one.
    pub(crate) fn since(&self, earlier: &Self) -> Rates {
        let is_same = self.manager == earlier.manager && earlier.at <= self.at;
        let earlier = match is_same {
            true => earlier.clone(),
            false => Self::start_of(self.manager),
        };
        let seconds = self.at.saturating_sub(earlier.at).as_secs_f64();
        let requests = self.requests.saturating_sub(earlier.requests);
        Rates {
            seconds,
            requests_per_second: per(requests as f64, seconds),
            counted: Counted(self.counted.since(&earlier.counted)),
            exits: self.exits.since(&earlier.exits),
            earlier: earlier.workers,
            at: self.at,
            since: earlier.at,
        }
    }
}

impl Rates {
    /// The average duration of a request in seconds.
    pub(crate) fn mean(&self) -> Option<f64> {
        let count = self.finished();
        (count > 0).then(|| self.counted.durations().sum / count as f64)
    }

    /// The bound of the bucket that has this share of the requests below it.
    pub(crate) fn quantile(&self, share: f64) -> Option<Quantile> {
        quantile(&self.buckets(), share)
    }

    /// The requests by duration.
    pub(crate) fn buckets(&self) -> Vec<Bucket> {
        self.counted.durations().buckets
    }

    /// The share of responses of a class: `5xx` and the like.
    pub(crate) fn share_of(&self, class: &str) -> Option<f64> {
        let place = CLASS_NAMES.iter().position(|name| *name == class)?;
        let responses = &self.counted.0.responses;
        let all = total(responses.iter().copied());
        let some = *responses.get(place)?;
        (all > 0).then(|| some as f64 / all as f64)
    }

    /// The workers that exited in this time, by cause.
    pub(crate) fn exits(&self) -> Vec<(&'static str, u64)> {
        self.exits.by_cause()
    }

    /// Requests per second of a worker of the later report: since the earlier one, or since it was forked.
    pub(crate) fn requests_of(&self, worker: &WorkerReport) -> Option<f64> {
        let (seconds, before) = self.base(worker);
        let count = worker.requests?.saturating_sub(before.requests);
        Some(per(count as f64, seconds))
    }

    /// The share of a processor that a worker uses.
    pub(crate) fn cpu_of(&self, worker: &WorkerReport) -> Option<f64> {
        let (seconds, before) = self.base(worker);
        Some(per((worker.cpu? - before.cpu).max(0.0), seconds))
    }

    fn base(&self, worker: &WorkerReport) -> (f64, Used) {
        let before = self.earlier.get(&key(worker));
        let since = before.map_or(worker.born, |_| self.since);
        let seconds = self.at.saturating_sub(since).as_secs_f64();
        (seconds, before.copied().unwrap_or_default())
    }

    fn finished(&self) -> u64 {
        self.counted.0.count()
    }
}

fn key(worker: &WorkerReport) -> Key {
    (worker.pid, worker.born)
}

fn total(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}

/// No rate is infinite: nothing happens in no time.
fn per(amount: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { amount / seconds } else { 0.0 }
}

fn quantile(buckets: &[Bucket], share: f64) -> Option<Quantile> {
    let all = total(buckets.iter().map(|bucket| bucket.count));
    let rank = (all as f64 * share).ceil().max(1.0);
    let mut below = 0_u64;
    let mut highest = 0.0;
    for bucket in buckets.iter().filter(|_| all > 0) {
        below = below.saturating_add(bucket.count);
        let reached = below as f64 >= rank;
        match bucket.le {
            Some(bound) if reached => return Some(Quantile::Within(bound)),
            Some(bound) => highest = bound,
            None => return Some(Quantile::Above(highest)),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(counts: &[u64]) -> Vec<Bucket> {
        let bounds = [Some(0.005), Some(0.01), Some(0.025), None];
        let pairs = bounds.into_iter().zip(counts.iter().copied());
        pairs.map(|(le, count)| Bucket { le, count }).collect()
    }

    fn sample(at: u64, requests: u64, pid: i32) -> Sample {
        let mut counted = Tallies::default();
        counted.durations[0] = requests;
        counted.duration = requests * 2_000;
        counted.responses[1] = requests - requests / 4;
        counted.responses[4] = requests / 4;
        Sample {
            at: Duration::from_secs(at),
            manager: (pid, Duration::from_secs(1)),
            requests,
            counted,
            exits: Exits::default(),
            workers: HashMap::new(),
        }
    }

    #[test]
    fn a_quantile_is_the_bound_of_its_bucket() {
        let of = |counts: &[u64], share| quantile(&buckets(counts), share);
        assert_eq!(of(&[0, 0, 0, 0], 0.5), None);
        assert_eq!(of(&[1, 0, 0, 0], 0.99), Some(Quantile::Within(0.005)));
        assert_eq!(of(&[50, 50, 0, 0], 0.5), Some(Quantile::Within(0.005)));
        assert_eq!(of(&[49, 51, 0, 0], 0.5), Some(Quantile::Within(0.01)));
        assert_eq!(of(&[99, 0, 1, 0], 0.99), Some(Quantile::Within(0.005)));
        assert_eq!(of(&[98, 0, 0, 2], 0.99), Some(Quantile::Above(0.025)));
        let all = [u64::MAX; 4];
        assert_eq!(of(&all, 0.99), Some(Quantile::Within(0.005)));
    }

    #[test]
    fn rates_are_of_the_time_between_two_samples() {
        let rates = sample(14, 80, 7).since(&sample(10, 40, 7));
        assert_eq!((rates.seconds, rates.requests_per_second), (4.0, 10.0));
        assert_eq!(rates.mean(), Some(0.002));
        assert_eq!(rates.share_of("5xx"), Some(0.25));
        assert_eq!(rates.share_of("6xx"), None);
        // Another manager began at 0.
        let rates = sample(11, 40, 8).since(&sample(10, 1_000, 7));
        assert_eq!((rates.seconds, rates.requests_per_second), (10.0, 4.0));
        // At the same time.
        let rates = sample(10, 40, 7).since(&sample(10, 40, 7));
        assert_eq!((rates.requests_per_second, rates.mean()), (0.0, None));
    }

    #[test]
    fn counters_that_are_lower_for_a_moment_make_no_peak() {
        let first = sample(10, 100, 7);
        let mut dip = sample(11, 60, 7);
        dip.raise_to(&first);
        assert_eq!(dip.since(&first).requests_per_second, 0.0);
        assert_eq!(sample(12, 101, 7).since(&dip).requests_per_second, 1.0);
    }
}
