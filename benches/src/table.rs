//! The output on the terminal.

use std::fmt::Write as _;

use crate::bounds::compare;
use crate::peer::Peer;
use crate::results::{CaseResults, Measure, Measured, Results};
use crate::statistics::line;

/// The pairs of peers that the table of a case compares.
const BESIDE: [(Peer, Peer); 5] = [
    (Peer::Fcgipm, Peer::Libfcgi),
    (Peer::Dropin, Peer::Libfcgi),
    (Peer::CompatEnv, Peer::FcgiEnv),
    (Peer::CompatHash, Peer::FcgiHash),
    (Peer::Fcgipm, Peer::Floor),
];

/// The scenarios that are curves, their unit, and the number of units for which the cost is printed.
pub(crate) const CURVES: [(&str, &str, f64); 5] = [
    ("params", "parameter", 1.0),
    ("response", "KiB of response", 1024.0),
    ("body", "KiB of body", 1024.0),
    ("workers", "worker", 1.0),
    ("clients", "client", 1.0),
];

/// The table of a case.
pub(crate) fn case(case: &CaseResults) -> String {
    let mut text = format!("{}: {}\n", case.id, case.description);
    let _ = writeln!(
        text,
        "  {:<34}{:>10}{:>10}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>10}{:>8}{:>8}{:>6}",
        "",
        "req/s",
        "cpu us",
        "user us",
        "load us",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "calls",
        "instr",
        "RSS K",
        "PSS K",
        "lost"
    );
    for measured in &case.peers {
        let median = &measured.median;
        let _ = writeln!(
            text,
            "  {:<34}{:>10}{:>10}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>10}{:>8.0}{:>8.0}{:>6}",
            measured.peer.title(),
            number(median.rate),
            number(median.cpu_us),
            number(median.user_us),
            number(median.load_us),
            number(median.p50_us),
            number(median.p99_us),
            number(median.p999_us),
            measured
                .syscalls
                .as_ref()
                .map_or("-".to_owned(), |calls| format!("{:.2}", calls.all)),
            measured.instructions.map_or("-".to_owned(), number),
            measured.resident_kib,
            measured.proportional_kib,
            measured.lost
        );
    }
    if case.scenario == "reload" {
        for measured in &case.peers {
            let longest = measured
                .rounds
                .iter()
                .map(|round| round.silence_us)
                .fold(0.0, f64::max);
            let reloads: u32 = measured.rounds.iter().map(|round| round.reloads).sum();
            let _ = writeln!(
                text,
                "  {}: {reloads} reloads, {} lost, longest silence {:.1} ms",
                measured.peer.title(),
                measured.lost,
                longest / 1e3
            );
        }
    } else {
        text.push_str(&beside(case));
    }
    text.push('\n');
    text
}

fn beside(case: &CaseResults) -> String {
    let of = |peer| {
        case.peers
            .iter()
            .find(|measured: &&Measured| measured.peer == peer)
    };
    let mut text = String::new();
    for (subject, against) in BESIDE {
        let (Some(one), Some(other)) = (of(subject), of(against)) else {
            continue;
        };
        if let (Some(rate), Some(cpu)) = (
            compare(one, other, Measure::Rate),
            compare(one, other, Measure::Cpu),
        ) {
            let _ = writeln!(
                text,
                "  {} / {}: {:.2} requests/s, {:.2} cpu",
                subject.name(),
                against.name(),
                rate.median,
                cpu.median
            );
        }
    }
    text
}

/// The end of the output: the growth of costs, and the bounds.
pub(crate) fn ending(results: &Results) -> String {
    let mut text = growth(results);
    let _ = writeln!(
        text,
        "Other processes used {:.0} % of the CPU time in the median round{}\n",
        results.foreign * 100.0,
        if results.foreign > 0.1 {
            ": ratios may be off, repeat it on an idle machine"
        } else {
            ""
        }
    );
    for outlay in &results.budgets {
        let _ = writeln!(
            text,
            "Instructions  {:<16}{:<13}at most {:>7.0}, counted {:>7.0}   {}",
            outlay.case,
            outlay.subject.name(),
            outlay.most,
            outlay.instructions,
            if outlay.met { "met" } else { "MISSED" }
        );
    }
    if results.bounds.is_empty() {
        return text;
    }
    let _ = writeln!(
        text,
        "Bounds (times better, by the median of the rounds; half of the rounds lie within the brackets; floor: what the bare\nloop of the subject's language reaches)\n  {:<16}{:<13}{:<11}{:<13}{:>9}{:>10}   {:<17}{:>7}",
        "case", "subject", "against", "measure", "at least", "measured", "", "floor"
    );
    for bound in &results.bounds {
        let measure = match bound.measure {
            Measure::Rate => "requests/s",
            Measure::Cpu => "cpu/request",
        };
        let _ = writeln!(
            text,
            "  {:<16}{:<13}{:<11}{:<13}{:>9.2}{:>10.2}   {:<17}{:>7}   {}",
            bound.case,
            bound.subject.name(),
            bound.against.name(),
            measure,
            bound.least,
            bound.ratio,
            format!("[{:.2} {:.2}]", bound.low, bound.high),
            bound
                .floor
                .map_or("-".to_owned(), |floor| format!("{floor:.2}")),
            if bound.met { "met" } else { "MISSED" }
        );
    }
    let missed = results.bounds.iter().filter(|bound| !bound.met).count();
    let _ = writeln!(text, "\n{} bounds, {missed} missed", results.bounds.len());
    text
}

/// The CPU time of the server per request as a line: the constant cost, and the cost of a unit. For
/// each curve also the distance of the points from the line, which shows growth that is not linear.
fn growth(results: &Results) -> String {
    let mut text = String::new();
    for (scenario, unit, per) in CURVES {
        let cases: Vec<&CaseResults> = results
            .cases
            .iter()
            .filter(|case| case.scenario == scenario)
            .collect();
        let Some(first) = cases.first() else {
            continue;
        };
        for measured in &first.peers {
            let points = points(&cases, measured.peer);
            let Some((slope, start)) = line(&points) else {
                continue;
            };
            if text.is_empty() {
                text.push_str("Growth of CPU time per request (microseconds; linear fit, and the point with the largest distance)\n");
            }
            let off = points
                .iter()
                .map(|(x, y)| (y / (start + slope * x) - 1.0).abs())
                .fold(0.0, f64::max);
            let _ = writeln!(
                text,
                "  {scenario:<10}{:<34}{start:>9.2} + {:>8.4} per {unit}, within {:.0} %",
                measured.peer.title(),
                slope * per,
                off * 100.0
            );
        }
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// CPU time per request of a peer along a curve.
pub(crate) fn points(cases: &[&CaseResults], peer: Peer) -> Vec<(f64, f64)> {
    let found = cases.iter().filter_map(|case| {
        let measured = case.peers.iter().find(|measured| measured.peer == peer)?;
        Some((case.x, measured.median.cpu_us))
    });
    found.filter(|(_, y)| *y > 0.0).collect()
}

/// With three digits, or as an integer.
pub(crate) fn number(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}
