//! What the workers of a pool have counted of the requests that they finished.

use std::time::Duration;

use fcgipm::worker::{CLASSES, DURATION_BOUNDS, ExitCause, PoolStatus, Tallies};
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

/// The names of the classes of responses, in the order of their counters.
pub(crate) const CLASS_NAMES: [&str; CLASSES] = ["other", "2xx", "3xx", "4xx", "5xx"];

/// The sum of a pool's workers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted(pub(crate) Tallies);

/// The workers that exited, by cause.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Exits([u64; ExitCause::ALL.len()]);

/// A bucket of durations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Bucket {
    /// The upper bound in seconds; the last bucket has none.
    pub(crate) le: Option<f64>,
    /// Requests of this bucket alone.
    pub(crate) count: u64,
}

/// Durations of requests, or times that they waited.
#[derive(Serialize)]
pub(crate) struct Durations {
    /// In seconds.
    pub(crate) sum: f64,
    /// From the shortest to the longest.
    pub(crate) buckets: Vec<Bucket>,
}

struct Named<'n>(&'n [(&'static str, u64)]);

impl Counted {
    pub(crate) fn durations(&self) -> Durations {
        Durations::of(&self.0.durations, self.0.duration)
    }

    /// The times that requests waited for a worker.
    pub(crate) fn queue_waits(&self) -> Durations {
        Durations::of(&self.0.waits, self.0.wait)
    }

    pub(crate) fn by_class(&self) -> Vec<(&'static str, u64)> {
        CLASS_NAMES.into_iter().zip(self.0.responses).collect()
    }
}

impl Durations {
    fn of(counts: &[u64], micros: u64) -> Self {
        let bounds = DURATION_BOUNDS.iter().map(Duration::as_secs_f64).map(Some);
        let buckets = bounds.chain([None]).zip(counts);
        Self {
            sum: Duration::from_micros(micros).as_secs_f64(),
            buckets: buckets
                .map(|(le, count)| Bucket { le, count: *count })
                .collect(),
        }
    }
}

impl Serialize for Counted {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("aborted", &self.0.aborted)?;
        map.serialize_entry("received", &self.0.received)?;
        map.serialize_entry("sent", &self.0.sent)?;
        map.serialize_entry("responses", &Named(&self.by_class()))?;
        map.serialize_entry("durations", &self.durations())?;
        map.serialize_entry("queue_waits", &self.queue_waits())?;
        map.end()
    }
}

impl Exits {
    pub(crate) fn of(pool: &PoolStatus) -> Self {
        Self(ExitCause::ALL.map(|cause| pool.exits(cause)))
    }

    /// Those that are not in an earlier reading.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let mut new = *self;
        let pairs = new.0.iter_mut().zip(earlier.0);
        pairs.for_each(|(count, before)| *count = count.saturating_sub(before));
        new
    }

    pub(crate) fn by_cause(&self) -> Vec<(&'static str, u64)> {
        let names = ExitCause::ALL.map(ExitCause::name);
        names.into_iter().zip(self.0).collect()
    }
}

impl Serialize for Exits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Named(&self.by_cause()).serialize(serializer)
    }
}

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}
