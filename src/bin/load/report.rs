//! The report, as text or as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::crew::Outcome;
use super::loss::Kind;

/// The reported latencies: name, JSON key and quantile.
const QUANTILES: [(&str, &str, f64); 5] = [
    ("p50", "p50", 0.5),
    ("p90", "p90", 0.9),
    ("p99", "p99", 0.99),
    ("p99.9", "p99_9", 0.999),
    ("max", "max", 1.0),
];

impl Outcome {
    fn rate(&self) -> f64 {
        let seconds = self.time.as_secs_f64();
        if seconds > 0.0 {
            self.tally.ok as f64 / seconds
        } else {
            0.0
        }
    }

    fn latency(&self, quantile: f64) -> Duration {
        let latencies = &self.tally.latencies;
        Duration::from_nanos(latencies.value_at_quantile(quantile).min(latencies.max()))
    }

    /// The kinds that occurred, with their counts.
    fn kinds(&self) -> impl Iterator<Item = (Kind, u64)> + '_ {
        let all = Kind::ALL
            .into_iter()
            .map(|kind| (kind, self.tally.of(kind)));
        all.filter(|(_, count)| *count > 0)
    }

    pub(crate) fn text(&self) -> String {
        let tally = &self.tally;
        let mut lines = vec![format!(
            "requests={} ok={} lost={} time={:.2}s rate={:.0}/s",
            tally.requests(),
            tally.ok,
            tally.all_lost(),
            self.time.as_secs_f64(),
            self.rate()
        )];
        if self.was_interrupted {
            lines.push(format!(
                "interrupted: {} unfinished requests are not counted",
                self.unfinished
            ));
        }
        for (kind, count) in self.kinds() {
            let mut line = format!("lost {}: {count}", kind.name());
            if kind == Kind::Refused {
                for (position, (errno, count)) in tally.refused.iter().enumerate() {
                    let before = if position == 0 { " (" } else { ", " };
                    let _ = write!(line, "{before}{errno:?} {count}");
                }
                line.push(')');
            }
            lines.push(line);
        }
        if tally.ok > 0 {
            let latencies =
                QUANTILES.map(|(name, _, share)| format!("{name}={}", span(self.latency(share))));
            lines.push(format!("latency: {}", latencies.join(" ")));
        }
        lines.push(format!(
            "longest silence: {}, beginning at {:.3}s",
            span(tally.silence.length),
            tally.silence.began.as_secs_f64()
        ));
        lines.push(format!("connections: {}", tally.connections));
        if !tally.first.is_empty() {
            lines.push("first losses:".to_owned());
        }
        for loss in &tally.first {
            lines.push(format!(
                "  at {:.3}s {}: {}",
                loss.at.as_secs_f64(),
                loss.kind.name(),
                loss.reason
            ));
        }
        lines.join("\n")
    }

    pub(crate) fn json(&self) -> Value {
        let tally = &self.tally;
        let kinds = Kind::ALL.map(|kind| (kind.key().to_owned(), json!(tally.of(kind))));
        let refused = tally
            .refused
            .iter()
            .map(|(errno, count)| (format!("{errno:?}"), json!(count)));
        let latencies = QUANTILES.map(|(_, key, share)| {
            let value = (tally.ok > 0).then(|| self.latency(share).as_secs_f64());
            (key.to_owned(), json!(value))
        });
        let first: Vec<Value> = tally
            .first
            .iter()
            .map(|loss| {
                json!({
                    "at": loss.at.as_secs_f64(),
                    "kind": loss.kind.key(),
                    "reason": loss.reason,
                })
            })
            .collect();
        json!({
            "requests": tally.requests(),
            "ok": tally.ok,
            "lost": tally.all_lost(),
            "time": self.time.as_secs_f64(),
            "rate": self.rate(),
            "interrupted": self.was_interrupted,
            "unfinished": self.unfinished,
            "lost_by_kind": kinds.into_iter().collect::<Map<_, _>>(),
            "refused_by_errno": refused.collect::<Map<_, _>>(),
            "latency": latencies.into_iter().collect::<Map<_, _>>(),
            "longest_silence": {
                "length": tally.silence.length.as_secs_f64(),
                "began": tally.silence.began.as_secs_f64(),
            },
            "connections": tally.connections,
            "first_losses": first,
        })
    }
}

/// A time in a suitable unit.
fn span(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds >= 1.0 {
        format!("{seconds:.3}s")
    } else {
        format!("{:.3}ms", seconds * 1e3)
    }
}
