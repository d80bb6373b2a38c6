//! The required results, as tables of bounds and budgets.

use crate::peer::Peer;
use crate::results::{Measure, Measured, Outlay, Results, Verdict};
use crate::statistics::{Ratio, ratio};

/// A subject serves at least N times as many requests per second as another peer, with at most 1/N of
/// its CPU time per request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    /// As in [`Case::id`](crate::scenario::Case::id).
    pub(crate) case: &'static str,
    pub(crate) subject: Peer,
    pub(crate) against: Peer,
    pub(crate) least: f64,
}

use Peer::{CompatEnv, CompatHash, Dropin, FcgiEnv, FcgiHash, Fcgipm, Floor, Libfcgi, PhpFpm};

pub(crate) const BOUNDS: [Bound; 21] = [
    bound("small", Fcgipm, Floor, 0.90),
    bound("small", Fcgipm, Libfcgi, 2.8),
    bound("small", Fcgipm, PhpFpm, 2.5),
    bound("kept", Fcgipm, Floor, 0.80),
    bound("kept", Fcgipm, Libfcgi, 0.95),
    bound("params/1000", Fcgipm, Libfcgi, 2.5),
    bound("response/1MiB", Fcgipm, Floor, 0.95),
    bound("response/1MiB", Fcgipm, Libfcgi, 1.5),
    bound("body/1MiB", Fcgipm, Libfcgi, 1.3),
    bound("small", CompatEnv, FcgiEnv, 1.8),
    bound("small", CompatHash, FcgiHash, 2.4),
    bound("small", CompatEnv, PhpFpm, 1.6),
    bound("kept", CompatEnv, FcgiEnv, 1.2),
    bound("prints", CompatEnv, FcgiEnv, 1.15),
    bound("prints", CompatHash, FcgiHash, 1.15),
    bound("response/1MiB", CompatEnv, FcgiEnv, 1.3),
    bound("body/1MiB", CompatEnv, FcgiEnv, 1.3),
    bound("lines/scalar", CompatEnv, FcgiEnv, 8.0),
    bound("lines/scalar", CompatHash, FcgiHash, 8.0),
    bound("lines/list", CompatEnv, FcgiEnv, 30.0),
    bound("lines/list", CompatHash, FcgiHash, 30.0),
];

const fn bound(case: &'static str, subject: Peer, against: Peer, least: f64) -> Bound {
    Bound {
        case,
        subject,
        against,
        least,
    }
}

/// The maximum number of instructions outside the kernel for a request: 8 % more than were measured
/// when this was written. They hardly vary, so small regressions show here long before they show in
/// times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) case: &'static str,
    pub(crate) subject: Peer,
    pub(crate) most: f64,
}

pub(crate) const BUDGETS: [Budget; 6] = [
    budget("small", Fcgipm, 7_500.0),
    budget("kept", Fcgipm, 7_870.0),
    budget("small", Dropin, 10_580.0),
    budget("kept", Dropin, 10_950.0),
    budget("small", CompatEnv, 53_500.0),
    budget("small", CompatHash, 52_500.0),
];

const fn budget(case: &'static str, subject: Peer, most: f64) -> Budget {
    Budget {
        case,
        subject,
        most,
    }
}

/// The counted instructions beside their budgets.
pub(crate) fn outlays(results: &Results) -> Vec<Outlay> {
    let cases = results.cases.iter();
    cases
        .flat_map(|case| {
            case.peers
                .iter()
                .map(|measured| (case.id.as_str(), measured))
        })
        .filter_map(|(case, measured)| outlay(case, measured))
        .collect()
}

fn outlay(case: &str, measured: &Measured) -> Option<Outlay> {
    let budget = BUDGETS
        .iter()
        .find(|budget| budget.case == case && budget.subject == measured.peer)?;
    let instructions = measured.instructions?;
    Some(Outlay {
        case: case.to_owned(),
        subject: budget.subject,
        most: budget.most,
        instructions,
        met: instructions <= budget.most,
    })
}

/// Whether there is a bound for a case.
pub(crate) fn has_bound(case: &str) -> bool {
    BOUNDS.iter().any(|bound| bound.case == case)
}

/// The verdicts on the bounds whose two sides were measured.
pub(crate) fn verdicts(results: &Results) -> Vec<Verdict> {
    let cases = results.cases.iter();
    cases
        .flat_map(|case| verdicts_on(&case.id, &case.peers.iter().collect::<Vec<_>>()))
        .collect()
}

pub(crate) fn verdicts_on(case: &str, peers: &[&Measured]) -> Vec<Verdict> {
    let of = |peer| peers.iter().copied().find(|measured| measured.peer == peer);
    let mut verdicts = Vec::new();
    for bound in BOUNDS.iter().filter(|bound| bound.case == case) {
        if let (Some(subject), Some(against)) = (of(bound.subject), of(bound.against)) {
            for measure in [Measure::Rate, Measure::Cpu] {
                let floor = of(bound.subject.floor())
                    .and_then(|floor| compare(floor, against, measure))
                    .map(|found| found.median);
                let found = compare(subject, against, measure);
                verdicts.extend(found.map(|found| judge(bound, measure, found, floor)));
            }
        }
    }
    verdicts
}

/// The ratio between two peers in the same rounds. Above 1, the subject is better.
pub(crate) fn compare(subject: &Measured, against: &Measured, measure: Measure) -> Option<Ratio> {
    match measure {
        Measure::Rate => ratio(
            &subject.column(|round| round.rate),
            &against.column(|round| round.rate),
        ),
        Measure::Cpu => ratio(
            &against.column(|round| round.cpu_us),
            &subject.column(|round| round.cpu_us),
        ),
    }
}

fn judge(bound: &Bound, measure: Measure, found: Ratio, floor: Option<f64>) -> Verdict {
    Verdict {
        case: bound.case.to_owned(),
        subject: bound.subject,
        against: bound.against,
        measure,
        least: bound.least,
        ratio: found.median,
        low: found.low,
        high: found.high,
        met: found.median >= bound.least,
        floor,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::Round;
    use crate::scenario;

    fn measured(peer: Peer, rounds: &[(f64, f64)]) -> Measured {
        let rounds = rounds.iter().map(|&(rate, cpu_us)| Round {
            rate,
            cpu_us,
            ..Round::default()
        });
        Measured {
            rounds: rounds.collect(),
            ..Measured::of(peer)
        }
    }

    #[test]
    fn every_bound_is_on_a_case_that_measures_both_sides() {
        let cases = scenario::all();
        for bound in BOUNDS {
            let case = cases.iter().find(|case| case.id() == bound.case).unwrap();
            assert!(case.peers.contains(&bound.subject), "{bound:?}");
            assert!(case.peers.contains(&bound.against), "{bound:?}");
        }
    }

    #[test]
    fn every_budget_is_for_a_case_that_counts_its_subject() {
        let cases = scenario::all();
        for budget in BUDGETS {
            let case = cases.iter().find(|case| case.id() == budget.case).unwrap();
            assert!(case.peers.contains(&budget.subject), "{budget:?}");
            assert!(case.counted.is_some(), "{budget:?}");
        }
    }

    #[test]
    fn a_budget_is_met_up_to_its_last_instruction() {
        let with = |instructions| {
            let one = Measured {
                instructions,
                ..Measured::of(Fcgipm)
            };
            outlay("small", &one).map(|outlay| outlay.met)
        };
        assert_eq!(with(Some(7_500.0)), Some(true));
        assert_eq!(with(Some(7_501.0)), Some(false));
        assert_eq!(with(None), None);
    }

    #[test]
    fn a_bound_is_met_in_both_measures_by_the_median_round() {
        let ours = measured(Fcgipm, &[(290.0, 10.0), (300.0, 10.0), (100.0, 10.0)]);
        let theirs = measured(Libfcgi, &[(100.0, 28.0), (100.0, 27.9), (100.0, 27.0)]);
        let verdicts = verdicts_on("small", &[&ours, &theirs]);
        let met: Vec<_> = verdicts
            .iter()
            .map(|verdict| (verdict.measure, verdict.ratio, verdict.met))
            .collect();
        assert_eq!(
            met,
            [(Measure::Rate, 2.9, true), (Measure::Cpu, 2.79, false)]
        );
    }

    #[test]
    fn a_bound_includes_the_ratio_of_the_floor() {
        let one = measured(Fcgipm, &[(80.0, 12.0)]);
        let two = measured(Libfcgi, &[(40.0, 20.0)]);
        let floor = measured(Floor, &[(100.0, 10.0)]);
        let verdicts = verdicts_on("small", &[&one, &two, &floor]);
        let against = |peer| {
            verdicts
                .iter()
                .filter(move |verdict| verdict.against == peer)
        };
        let floors: Vec<_> = against(Libfcgi).map(|verdict| verdict.floor).collect();
        assert_eq!(floors, [Some(2.5), Some(2.0)]);
        assert!(against(Floor).all(|verdict| verdict.floor == Some(1.0)));
    }

    #[test]
    fn without_a_measured_side_there_is_no_verdict() {
        assert!(verdicts_on("small", &[&measured(Fcgipm, &[(1.0, 1.0)])]).is_empty());
        let one = measured(Fcgipm, &[(1.0, 1.0)]);
        let two = measured(Floor, &[(1.0, 1.0), (1.0, 1.0)]);
        assert!(verdicts_on("small", &[&one, &two]).is_empty());
    }
}
