//! What pools did in the last minutes: samples, and how their reloads ended. Memory is bounded.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fcgipm::worker::now;
use serde::Serialize;
use serde_json::{Value, json};

use crate::managers::follow::Seen;
use crate::managers::rates;
use crate::managers::report::{ReloadReport, Report};

/// The time between two samples.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);
/// A sample is taken from a reading that comes this much early, as readings are reused for a while.
const EARLY: Duration = Duration::from_millis(600);
/// The age at which samples are dropped.
const LENGTH: Duration = Duration::from_secs(15 * 60);
/// The maximum number of reloads of a pool.
const RELOADS_MAX: usize = 20;

/// By the names of the pools. The only pool may have none.
#[derive(Debug, Default)]
pub(super) struct History(BTreeMap<Option<String>, OfPool>);

#[derive(Debug, Default)]
struct OfPool {
    samples: VecDeque<Sample>,
    /// Of the last sample that has any.
    counters: Option<rates::Sample>,
    /// The latest first.
    reloads: VecDeque<Ended>,
    checked: Option<Checked>,
}

/// A pool at one time. `None`: not known, because it could not be read, or there was nothing to measure.
#[derive(Debug)]
struct Sample {
    at: Duration,
    rates: Option<Measured>,
    busy: Option<usize>,
    waiting: Option<u32>,
}

/// Since the sample before.
#[derive(Clone, Copy, Debug)]
struct Measured {
    requests_per_second: f64,
    /// Of the durations, in seconds.
    mean: Option<f64>,
}

/// A reload that ended.
#[derive(Debug)]
struct Ended {
    at: Duration,
    result: &'static str,
    duration: Option<Duration>,
    message: String,
    /// Earlier ones that ended between the same two readings. Only the last one is in the scoreboard.
    unseen: u64,
}

/// The reloads as of the last reading.
#[derive(Clone, Copy, Debug)]
struct Checked {
    manager: (i32, Duration),
    done: u64,
    failed: u64,
    /// When the one that runs began.
    running: Option<Duration>,
}

/// One array for each number, all of the same length and the latest last.
#[derive(Debug, Default, Serialize)]
struct Columns {
    age: Vec<f64>,
    requests_per_second: Vec<Option<f64>>,
    mean_duration: Vec<Option<f64>>,
    busy: Vec<Option<usize>>,
    listen_queue: Vec<Option<u32>>,
}

impl History {
    /// Adds what was read now. Pools that do not exist any more are forgotten.
    pub(super) fn add(&mut self, read: &Result<Vec<Seen>, String>, at: Duration) {
        let Ok(pools) = read else {
            for pool in self.0.values_mut() {
                pool.add(None, at);
            }
            return;
        };
        self.0
            .retain(|name, _| pools.iter().any(|seen| seen.pool == *name));
        for seen in pools {
            let pool = self.0.entry(seen.pool.clone()).or_default();
            pool.add(seen.state.as_ref().ok().map(|state| &state.report), at);
        }
    }

    /// In the form of /status.json: one pool, or several by their names.
    pub(super) fn json(&self, epoch: Duration) -> Value {
        let now = now();
        let single = self.0.get(&None).filter(|_| self.0.len() == 1);
        if let Some(only) = single {
            return only.json(now, epoch);
        }
        if self.0.is_empty() {
            return OfPool::default().json(now, epoch);
        }
        let named = self.0.iter();
        let named = named.map(|(name, pool)| {
            let name = name.clone().unwrap_or_default();
            (name, pool.json(now, epoch))
        });
        let named: serde_json::Map<_, _> = named.collect();
        json!({ "pools": named })
    }
}

impl OfPool {
    fn add(&mut self, report: Option<&Report>, at: Duration) {
        if let Some(report) = report {
            self.check_reload((report.manager, report.started), &report.reload);
        }
        let is_due = |last: &Sample| at.saturating_sub(last.at) + EARLY >= INTERVAL;
        if !self.samples.back().is_none_or(is_due) {
            return;
        }
        let mut counters = report.map(rates::Sample::of);
        let mut measured = None;
        if let (Some(now), Some(before)) = (&mut counters, &self.counters) {
            now.raise_to(before);
            let rates = now.since(before);
            measured = Some(Measured {
                requests_per_second: rates.requests_per_second,
                mean: rates.mean(),
            });
        }
        self.samples.push_back(Sample {
            at,
            rates: measured,
            busy: report.map(|report| report.busy),
            waiting: report.and_then(|report| report.listen_queue),
        });
        self.counters = counters.or_else(|| self.counters.take());
        while self
            .samples
            .front()
            .is_some_and(|first| at.saturating_sub(first.at) > LENGTH)
        {
            self.samples.pop_front();
        }
    }

    /// Finds out whether a reload has ended since the last reading.
    fn check_reload(&mut self, manager: (i32, Duration), reload: &ReloadReport) {
        let is_running = reload.state == "running";
        let before = self.checked.filter(|checked| checked.manager == manager);
        let (done, failed) = before.map_or((0, 0), |checked| (checked.done, checked.failed));
        let more_done = reload.done.saturating_sub(done);
        let more_failed = reload.failed.saturating_sub(failed);
        let began = before.and_then(|checked| checked.running);
        let ended = more_done.saturating_add(more_failed);
        if ended > 0 {
            let (result, message) = match (is_running, more_failed > 0) {
                // The time and the message are those of the next one.
                (true, true) => ("failed", String::new()),
                (true, false) => ("done", String::new()),
                (false, _) => (reload.state, reload.message.clone()),
            };
            let is_only = ended == 1 && !is_running;
            self.reloads.push_front(Ended {
                at: reload.at,
                result,
                duration: began
                    .filter(|_| is_only)
                    .and_then(|began| reload.at.checked_sub(began)),
                message,
                unseen: ended - 1,
            });
            self.reloads.truncate(RELOADS_MAX);
        }
        self.checked = Some(Checked {
            manager,
            done: reload.done.max(done),
            failed: reload.failed.max(failed),
            running: is_running.then_some(reload.at),
        });
    }

    fn json(&self, now: Duration, epoch: Duration) -> Value {
        let mut columns = Columns::default();
        for sample in &self.samples {
            let rates = sample.rates;
            columns.age.push(rounded(age(now, sample.at)));
            let requests = rates.map(|rates| rounded(rates.requests_per_second));
            columns.requests_per_second.push(requests);
            let mean = rates.and_then(|rates| rates.mean);
            // To the microsecond.
            let mean = mean.map(|mean| (mean * 1e6).round() / 1e6);
            columns.mean_duration.push(mean);
            columns.busy.push(sample.busy);
            columns.listen_queue.push(sample.waiting);
        }
        let reloads = self.reloads.iter().map(|reload| {
            json!({
                "result": reload.result,
                "time": rounded((epoch + reload.at).as_secs_f64()),
                "age": rounded(age(now, reload.at)),
                "duration": reload.duration.map(|duration| rounded(duration.as_secs_f64())),
                "message": reload.message,
                "unseen": reload.unseen,
            })
        });
        json!({
            "interval": INTERVAL.as_secs(),
            "length": LENGTH.as_secs(),
            "samples": columns,
            "reloads": Vec::from_iter(reloads),
        })
    }
}

fn age(now: Duration, at: Duration) -> f64 {
    now.saturating_sub(at).as_secs_f64()
}

/// To the millisecond.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: (i32, Duration) = (7, Duration::from_secs(1));

    fn reload(state: &'static str, done: u64, failed: u64, at: u64, message: &str) -> ReloadReport {
        ReloadReport {
            state,
            done,
            failed,
            message: message.to_owned(),
            age: None,
            at: Duration::from_secs(at),
        }
    }

    fn ends(pool: &OfPool) -> Vec<(&str, Option<u64>, &str, u64)> {
        let ends = pool.reloads.iter();
        let ends = ends.map(|end| {
            let duration = end.duration.map(|duration| duration.as_secs());
            (end.result, duration, &*end.message, end.unseen)
        });
        ends.collect()
    }

    #[test]
    fn each_reload_is_listed_once_with_its_duration_if_its_start_was_seen() {
        let mut pool = OfPool::default();
        pool.check_reload(FIRST, &reload("none", 0, 0, 0, ""));
        assert!(pool.reloads.is_empty());
        pool.check_reload(FIRST, &reload("running", 0, 0, 10, ""));
        pool.check_reload(FIRST, &reload("done", 1, 0, 12, ""));
        pool.check_reload(FIRST, &reload("done", 1, 0, 12, ""));
        assert_eq!(ends(&pool), [("done", Some(2), "", 0)]);
        pool.check_reload(FIRST, &reload("failed", 1, 1, 20, "no such file"));
        assert_eq!(ends(&pool)[0], ("failed", None, "no such file", 0));
        // Of three, only the last is known.
        pool.check_reload(FIRST, &reload("done", 3, 2, 30, ""));
        assert_eq!(ends(&pool)[0], ("done", None, "", 2));
        // One failed, and the next one runs.
        pool.check_reload(FIRST, &reload("running", 3, 3, 31, ""));
        assert_eq!(ends(&pool)[0], ("failed", None, "", 0));
        pool.check_reload(FIRST, &reload("failed", 3, 4, 33, "late"));
        assert_eq!(ends(&pool)[0], ("failed", Some(2), "late", 0));
        // Another manager counts from 0.
        let second = (8, Duration::from_secs(40));
        pool.check_reload(second, &reload("none", 0, 0, 0, ""));
        pool.check_reload(second, &reload("done", 1, 0, 50, ""));
        assert_eq!(ends(&pool).len(), 6);
        for number in 2..100 {
            pool.check_reload(second, &reload("done", number, 0, 50 + number, ""));
        }
        assert_eq!(pool.reloads.len(), RELOADS_MAX);
        assert_eq!(pool.reloads[0].at, Duration::from_secs(149));
    }

    #[test]
    fn samples_are_taken_when_they_are_due_and_dropped_when_they_are_old() {
        let mut history = History::default();
        assert_eq!(history.json(Duration::ZERO)["samples"]["age"], json!([]));
        let seen = |name: &str| Seen {
            pool: Some(name.to_owned()),
            state: Err("it has ended".to_owned()),
        };
        let both = Ok(vec![seen("a"), seen("b")]);
        // As with one page that is open.
        for second in 0..3_600 {
            history.add(&both, Duration::from_secs(second));
        }
        for pool in history.0.values() {
            let count = (LENGTH.as_secs() / INTERVAL.as_secs() + 1) as usize;
            assert_eq!(pool.samples.len(), count);
        }
        let at = Duration::from_secs(3_601);
        history.add(&Ok(vec![seen("b")]), at);
        assert_eq!(Vec::from_iter(history.0.keys()), [&Some("b".to_owned())]);
        history.add(&Err("none".to_owned()), at + INTERVAL);
        let text = history.json(Duration::ZERO).to_string();
        assert!(text.starts_with("{\"pools\":{\"b\":{"), "{text}");
        assert!(text.contains("\"busy\":[null,"), "{text}");
    }
}
