//! Numbers as a person reads them, and text that a terminal can show.

use std::time::{SystemTime, UNIX_EPOCH};

use fcgipm::log::time::UtcSecond;

use super::rates::Quantile;

/// An age in at most two units.
pub(crate) fn age(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0..10 => format!("{seconds:.1}s"),
        10..60 => format!("{whole}s"),
        60..3_600 => format!("{}m{:02}s", whole / 60, whole % 60),
        3_600..86_400 => format!("{}h{:02}m", whole / 3_600, whole / 60 % 60),
        86_400.. => format!("{}d{:02}h", whole / 86_400, whole / 3_600 % 24),
    }
}

/// A duration of a request: `0.4ms`, `25ms`, `1.5s`.
pub(crate) fn duration(seconds: f64) -> String {
    let millis = seconds * 1_000.0;
    match millis {
        ..9.95 if millis.fract() == 0.0 => format!("{millis:.0}ms"),
        ..9.95 => format!("{millis:.1}ms"),
        ..999.5 => format!("{millis:.0}ms"),
        _ if seconds.fract() == 0.0 => format!("{seconds:.0}s"),
        _ => format!("{seconds:.1}s"),
    }
}

/// `<=25ms`, `>60s`.
pub(crate) fn quantile(quantile: Quantile) -> String {
    match quantile {
        Quantile::Within(bound) => format!("<={}", duration(bound)),
        Quantile::Above(bound) => format!(">{}", duration(bound)),
    }
}

/// A number per second.
pub(crate) fn rate(per_second: f64) -> String {
    match per_second {
        ..9.995 if per_second == 0.0 => "0".to_owned(),
        ..9.995 => format!("{per_second:.2}"),
        ..99.95 => format!("{per_second:.1}"),
        ..99_999.5 => format!("{per_second:.0}"),
        ..9_999_500.0 => format!("{:.0}k", per_second / 1_000.0),
        _ => format!("{:.0}M", per_second / 1_000_000.0),
    }
}

/// Memory, in binary units.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "K", "M", "G", "T", "P", "E"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1_024.0;
        unit += 1;
    }
    let name = UNITS[unit];
    if unit > 0 && value < 9.95 {
        format!("{value:.1}{name}")
    } else {
        format!("{value:.0}{name}")
    }
}

/// A share in per cent.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent == 0.0 || percent >= 9.95 {
        format!("{percent:.0}%")
    } else {
        format!("{percent:.1}%")
    }
}

/// As in `2026-01-31T23:59:59Z`.
pub(crate) fn utc(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}Z", UtcSecond(since.as_secs()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn ages_have_two_units_at_most() {
        let ages: Vec<_> = [0.04, 9.96, 59.9, 61.0, 3_661.0, 90_000.0]
            .map(age)
            .to_vec();
        assert_eq!(ages, ["0.0s", "10.0s", "59s", "1m01s", "1h01m", "1d01h"]);
    }

    #[test]
    fn numbers_are_short() {
        let durations = [0.0004, 0.005, 0.025, 0.2504, 1.0, 2.5, 60.0].map(duration);
        assert_eq!(
            durations,
            ["0.4ms", "5ms", "25ms", "250ms", "1s", "2.5s", "60s"]
        );
        let rates = [0.0, 0.031, 9.99, 12.34, 123.4, 123_456.0, 1e12].map(rate);
        assert_eq!(
            rates,
            ["0", "0.03", "9.99", "12.3", "123", "123k", "1000000M"]
        );
        let sizes = [0, 999, 1_000, 10 << 20, 1 << 30, u64::MAX].map(bytes);
        assert_eq!(sizes, ["0B", "999B", "1.0K", "10M", "1.0G", "16E"]);
        let shares = [0.0, 0.004, 0.0999, 0.5, 12.0].map(percent);
        assert_eq!(shares, ["0%", "0.4%", "10%", "50%", "1200%"]);
        assert_eq!(quantile(Quantile::Within(0.025)), "<=25ms");
        assert_eq!(quantile(Quantile::Above(60.0)), ">60s");
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, shown) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), shown);
        }
    }
}
