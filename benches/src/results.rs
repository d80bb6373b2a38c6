//! The results of a run, as in results.json.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::machine::Machine;
use crate::peer::Peer;
use crate::statistics::median;

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    /// The share of CPU time of other processes, in the median round.
    pub(crate) foreign: f64,
    pub(crate) cases: Vec<CaseResults>,
    pub(crate) bounds: Vec<Verdict>,
    pub(crate) budgets: Vec<Outlay>,
}

/// One case.
#[derive(Debug, Serialize)]
pub(crate) struct CaseResults {
    pub(crate) id: String,
    pub(crate) scenario: &'static str,
    pub(crate) name: String,
    pub(crate) x: f64,
    pub(crate) workers: usize,
    pub(crate) clients: u32,
    pub(crate) description: String,
    pub(crate) peers: Vec<Measured>,
}

/// One peer in one case.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    pub(crate) peer: Peer,
    /// Medians over the rounds.
    pub(crate) median: Round,
    pub(crate) lost: u64,
    pub(crate) syscalls: Option<Syscalls>,
    /// Instructions outside the kernel per request, by one worker.
    pub(crate) instructions: Option<f64>,
    /// Memory of a worker, in KiB: resident, and proportional.
    pub(crate) resident_kib: f64,
    pub(crate) proportional_kib: f64,
    pub(crate) rounds: Vec<Round>,
}

/// System calls per request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Syscalls {
    pub(crate) all: f64,
    pub(crate) by_name: BTreeMap<String, f64>,
}

/// The result of a round of one peer. Times are in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Round {
    pub(crate) requests: u64,
    pub(crate) lost: u64,
    pub(crate) rate: f64,
    /// CPU time of the server per request.
    pub(crate) cpu_us: f64,
    /// The part of it outside the kernel.
    pub(crate) user_us: f64,
    /// CPU time of the load generator per request.
    pub(crate) load_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) silence_us: f64,
    pub(crate) reloads: u32,
    /// The share of CPU time of other processes.
    pub(crate) foreign: f64,
}

impl Measured {
    pub(crate) fn of(peer: Peer) -> Self {
        Self {
            peer,
            median: Round::default(),
            lost: 0,
            syscalls: None,
            instructions: None,
            resident_kib: 0.0,
            proportional_kib: 0.0,
            rounds: Vec::new(),
        }
    }

    pub(crate) fn column(&self, of: impl Fn(&Round) -> f64) -> Vec<f64> {
        self.rounds.iter().map(of).collect()
    }

    /// Computes the medians over the rounds.
    pub(crate) fn settle(&mut self) {
        let of = |of: fn(&Round) -> f64| median(&self.column(of));
        let median = Round {
            requests: of(|round| round.requests as f64) as u64,
            lost: of(|round| round.lost as f64) as u64,
            rate: of(|round| round.rate),
            cpu_us: of(|round| round.cpu_us),
            user_us: of(|round| round.user_us),
            load_us: of(|round| round.load_us),
            p50_us: of(|round| round.p50_us),
            p99_us: of(|round| round.p99_us),
            p999_us: of(|round| round.p999_us),
            silence_us: of(|round| round.silence_us),
            reloads: of(|round| f64::from(round.reloads)) as u32,
            foreign: of(|round| round.foreign),
        };
        self.median = median;
        self.lost = self.rounds.iter().map(|round| round.lost).sum();
    }
}

/// A budget and the counted instructions.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outlay {
    pub(crate) case: String,
    pub(crate) subject: Peer,
    pub(crate) most: f64,
    pub(crate) instructions: f64,
    pub(crate) met: bool,
}

/// The compared measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Measure {
    #[serde(rename = "requests/s")]
    Rate,
    #[serde(rename = "cpu/request")]
    Cpu,
}

/// A bound and the measured ratio.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) case: String,
    pub(crate) subject: Peer,
    pub(crate) against: Peer,
    pub(crate) measure: Measure,
    pub(crate) least: f64,
    /// The ratio of the subject to the other peer, inverted for CPU time.
    pub(crate) ratio: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    pub(crate) met: bool,
    /// The ratio of the floor in the subject's language to the other peer.
    pub(crate) floor: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_have_medians_and_losses_are_added() {
        let mut measured = Measured::of(Peer::Floor);
        for (rate, cpu_us, lost) in [(10.0, 3.0, 0), (30.0, 1.0, 2), (20.0, 2.0, 1)] {
            measured.rounds.push(Round {
                rate,
                cpu_us,
                lost,
                ..Round::default()
            });
        }
        measured.settle();
        assert_eq!(
            (measured.median.rate, measured.median.cpu_us, measured.lost),
            (20.0, 2.0, 3)
        );
    }
}
