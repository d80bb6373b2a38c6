//! The text formats of metrics: Prometheus 0.0.4, and OpenMetrics 1.0.

use std::fmt::{self, Write as _};
use std::time::Duration;

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Prometheus,
    OpenMetrics,
}

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its samples have the suffix `_total`.
    Counter,
    Gauge,
    /// A counter without the suffix `_total`.
    Unknown,
    /// Its samples have the suffixes `_bucket`, `_sum` and `_count`.
    Histogram,
    /// Always 1; its labels have the information. Its samples have the suffix `_info`.
    Info,
}

/// A metric: all samples of one name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    /// Without the suffix of its kind.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// Part of the name; may be empty.
    pub(super) unit: &'static str,
    pub(super) help: &'static str,
}

/// Names and values.
pub(super) type Labels<'l> = &'l [(&'static str, &'l str)];

pub(super) const fn gauge(name: &'static str, unit: &'static str, help: &'static str) -> Family {
    Family {
        name,
        kind: Kind::Gauge,
        unit,
        help,
    }
}

pub(super) const fn counter(name: &'static str, help: &'static str) -> Family {
    Family {
        name,
        kind: Kind::Counter,
        unit: "",
        help,
    }
}

/// To the millisecond.
pub(super) fn seconds(time: Duration) -> f64 {
    time.as_millis() as f64 / 1000.0
}

impl Format {
    /// The one that the Accept headers of a client prefer.
    pub(super) fn accepted<'h>(accept: impl Iterator<Item = &'h str>) -> Self {
        let mut best = (0.0, Self::Prometheus);
        for range in accept.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut quality, mut is_known) = (1.0, true);
            for parameter in parts {
                match parameter.split_once('=') {
                    Some(("q", value)) => quality = value.trim().parse().unwrap_or(0.0),
                    Some(("version", version)) => is_known = version != "0.0.1",
                    Some(_) | None => {}
                }
            }
            let format = match &*kind {
                "application/openmetrics-text" if is_known => Self::OpenMetrics,
                "text/plain" | "text/*" | "*/*" => Self::Prometheus,
                _ => continue,
            };
            if quality > best.0 {
                best = (quality, format);
            }
        }
        best.1
    }

    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// Writes metrics.
#[derive(Debug)]
pub(super) struct Exposition {
    format: Format,
    out: String,
    /// The name of the samples that follow.
    sample: String,
}

impl Exposition {
    pub(super) const fn new(format: Format) -> Self {
        Self {
            format,
            out: String::new(),
            sample: String::new(),
        }
    }

    /// Begins a metric.
    pub(super) fn family(&mut self, family: &Family) {
        let Family {
            name, unit, help, ..
        } = family;
        let (suffix, kind, prometheus) = match family.kind {
            Kind::Counter => ("_total", "counter", "counter"),
            Kind::Gauge => ("", "gauge", "gauge"),
            Kind::Unknown => ("", "unknown", "untyped"),
            Kind::Histogram => ("", "histogram", "histogram"),
            Kind::Info => ("_info", "info", "gauge"),
        };
        self.sample = format!("{name}{suffix}");
        let (name, kind) = match self.format {
            Format::Prometheus => (self.sample.as_str(), prometheus),
            Format::OpenMetrics => (*name, kind),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        if self.format == Format::OpenMetrics && !unit.is_empty() {
            let _ = writeln!(self.out, "# UNIT {name} {unit}");
        }
    }

    /// A sample of the metric that was begun last.
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: impl fmt::Display) {
        self.suffixed("", labels, value);
    }

    /// The samples of a histogram that was begun last: its buckets, each with its upper bound in seconds
    /// and its own count, and the sum.
    pub(super) fn histogram(
        &mut self,
        labels: Labels<'_>,
        buckets: impl Iterator<Item = (Option<f64>, u64)>,
        sum: f64,
    ) {
        let mut count = 0_u64;
        for (bound, more) in buckets {
            count = count.saturating_add(more);
            // A canonical number in OpenMetrics: with a point, and the same in each format.
            let bound = bound.map_or_else(|| "+Inf".to_owned(), |bound| format!("{bound:?}"));
            let bucket = [labels, &[("le", &bound)]].concat();
            self.suffixed("_bucket", &bucket, count);
        }
        self.suffixed("_sum", labels, sum);
        self.suffixed("_count", labels, count);
    }

    fn suffixed(&mut self, suffix: &str, labels: Labels<'_>, value: impl fmt::Display) {
        self.out.push_str(&self.sample);
        self.out.push_str(suffix);
        for (number, (name, value)) in labels.iter().enumerate() {
            let before = if number == 0 { '{' } else { ',' };
            let _ = write!(self.out, "{before}{name}=\"");
            for letter in value.chars() {
                match letter {
                    '\\' => self.out.push_str("\\\\"),
                    '"' => self.out.push_str("\\\""),
                    '\n' => self.out.push_str("\\n"),
                    other => self.out.push(other),
                }
            }
            self.out.push('"');
        }
        if !labels.is_empty() {
            self.out.push('}');
        }
        let _ = writeln!(self.out, " {value}");
    }

    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_chooses_the_format() {
        let chosen = |accept: &str| Format::accepted([accept].into_iter());
        for accept in [
            "application/openmetrics-text",
            "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;\
             version=0.0.1;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "text/html, Application/OpenMetrics-Text",
        ] {
            assert_eq!(chosen(accept), Format::OpenMetrics, "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "text/plain, application/openmetrics-text;q=0.9",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;version=0.0.1",
            "text/html",
        ] {
            assert_eq!(chosen(accept), Format::Prometheus, "{accept}");
        }
    }

    #[test]
    fn values_of_labels_are_escaped() {
        let mut metrics = Exposition::new(Format::OpenMetrics);
        metrics.family(&Family {
            name: "a",
            kind: Kind::Counter,
            unit: "",
            help: "b",
        });
        metrics.sample(&[("c", "\"\\\n{},=\u{e4}"), ("d", "")], 1);
        let text = "# HELP a b\n# TYPE a counter\n\
                    a_total{c=\"\\\"\\\\\\n{},=\u{e4}\",d=\"\"} 1\n# EOF\n";
        assert_eq!(metrics.finish(), text);
    }
}
