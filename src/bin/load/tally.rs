//! The counts of a run. Pure: times are parameters.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use nix::errno::Errno;

use super::loss::{Kind, Loss};

/// The number of losses that are reported in detail.
const FIRST: usize = 5;

/// Latencies have a resolution of a microsecond and three digits.
const FINEST: Duration = Duration::from_micros(1);

/// The counts of a run.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) started: Instant,
    pub(crate) ok: u64,
    lost: [u64; Kind::ALL.len()],
    /// `Refused`, by errno.
    pub(crate) refused: Vec<(Errno, u64)>,
    pub(crate) connections: u64,
    /// Of ok requests, in nanoseconds.
    pub(crate) latencies: Histogram<u64>,
    pub(crate) silence: Silence,
    pub(crate) first: Vec<Reported>,
}

/// A period in which no request became ok, and when it began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Silence {
    pub(crate) length: Duration,
    pub(crate) began: Duration,
}

/// One loss.
#[derive(Debug)]
pub(crate) struct Reported {
    pub(crate) at: Duration,
    pub(crate) kind: Kind,
    pub(crate) reason: String,
}

impl Tally {
    /// # Errors
    /// The timeout is above the maximum of a latency.
    pub(crate) fn new(started: Instant, limit: Duration) -> Result<Self, String> {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let highest = nanoseconds(limit).max(nanoseconds(FINEST) * 1000);
        let latencies = Histogram::new_with_bounds(nanoseconds(FINEST), highest, 3)
            .map_err(|error| format!("--timeout {}: {error}", limit.as_secs_f64()))?;
        Ok(Self {
            started,
            ok: 0,
            lost: [0; Kind::ALL.len()],
            refused: Vec::new(),
            connections: 0,
            latencies,
            silence: Silence::default(),
            first: Vec::new(),
        })
    }

    /// A request became ok and ended this silence.
    pub(crate) fn ok(&mut self, began: Instant, now: Instant, silence: Silence) {
        self.ok += 1;
        let latency = now.saturating_duration_since(began).as_nanos();
        self.latencies
            .saturating_record(u64::try_from(latency).unwrap_or(u64::MAX));
        self.finish(silence);
    }

    /// A request was lost.
    pub(crate) fn lost(&mut self, loss: &Loss, now: Instant) {
        let kind = loss.kind();
        if let Some(count) = self.lost.get_mut(kind as usize) {
            *count += 1;
        }
        if let Loss::Refused(errno) = loss {
            match self.refused.iter_mut().find(|(other, _)| other == errno) {
                Some((_, count)) => *count += 1,
                None => self.refused.push((*errno, 1)),
            }
        }
        if self.first.len() < FIRST {
            self.first.push(Reported {
                at: now.saturating_duration_since(self.started),
                kind,
                reason: loss.to_string(),
            });
        }
    }

    /// A request that was counted as ok is lost after all.
    pub(crate) fn lost_after(&mut self, now: Instant) {
        self.ok = self.ok.saturating_sub(1);
        self.lost(&Loss::Reset, now);
    }

    /// A silence has ended.
    pub(crate) fn finish(&mut self, silence: Silence) {
        if silence.length > self.silence.length {
            self.silence = silence;
        }
    }

    /// Adds the counts of another thread.
    ///
    /// # Errors
    /// Its latencies are above the maximum.
    pub(crate) fn merge(&mut self, other: Self) -> Result<(), String> {
        self.ok += other.ok;
        for (count, more) in self.lost.iter_mut().zip(other.lost) {
            *count += more;
        }
        for (errno, more) in other.refused {
            match self.refused.iter_mut().find(|(known, _)| *known == errno) {
                Some((_, count)) => *count += more,
                None => self.refused.push((errno, more)),
            }
        }
        self.connections += other.connections;
        self.latencies
            .add(other.latencies)
            .map_err(|error| format!("latencies: {error}"))?;
        self.finish(other.silence);
        self.first.extend(other.first);
        self.first.sort_by_key(|loss| loss.at);
        self.first.truncate(FIRST);
        Ok(())
    }

    pub(crate) fn of(&self, kind: Kind) -> u64 {
        self.lost.get(kind as usize).copied().unwrap_or(0)
    }

    pub(crate) fn all_lost(&self) -> u64 {
        self.lost.iter().sum()
    }

    pub(crate) fn requests(&self) -> u64 {
        self.ok + self.all_lost()
    }
}
