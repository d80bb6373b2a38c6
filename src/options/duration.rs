//! Times as operators write them, in seconds or with units.

use std::time::Duration;

/// The units and their lengths in seconds, as in systemd.time(7), up to a week.
const UNITS: [(&str, f64); 12] = [
    ("us", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("sec", 1.0),
    ("m", 60.0),
    ("min", 60.0),
    ("h", 3_600.0),
    ("hr", 3_600.0),
    ("d", 86_400.0),
    ("day", 86_400.0),
    ("w", 604_800.0),
    ("week", 604_800.0),
];

/// The longest valid time: three years.
pub const DURATION_MAX: Duration = Duration::from_secs(100_000_000);

/// The syntax of a duration, for error messages.
pub const DURATION: &str = "a number of seconds or a time such as 250ms, 5m or 1h30m";

/// Parses a number of seconds, which may have a fraction, or numbers with units: `250ms`, `5m`,
/// `1h30m`, `1h 30m`. Returns `None` for anything else. A time beyond [`DURATION_MAX`] is cut to
/// just above it.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let mut seconds = 0.0;
    let mut rest = text;
    loop {
        // Digits and a point only: f64 would also parse "inf", "nan" and "1e9".
        let number_ends = end(rest, |byte| byte.is_ascii_digit() || byte == b'.');
        let number: f64 = rest[..number_ends].parse().ok()?;
        rest = &rest[number_ends..];
        let unit_ends = end(rest, |byte| byte.is_ascii_alphabetic());
        let unit = &rest[..unit_ends];
        rest = &rest[unit_ends..];
        // A number without a unit is ambiguous unless it stands alone.
        let is_alone = rest.is_empty() && number_ends == text.len();
        let factor = if unit.is_empty() && is_alone {
            1.0
        } else {
            UNITS.iter().find(|(name, _)| *name == unit)?.1
        };
        seconds += number * factor;
        if rest.is_empty() {
            break;
        }
        rest = rest.trim_start_matches(' ');
    }
    let beyond = DURATION_MAX + Duration::from_secs(1);
    Some(Duration::try_from_secs_f64(seconds).map_or(beyond, |time| time.min(beyond)))
}

fn end(text: &str, belongs: impl Fn(u8) -> bool) -> usize {
    text.bytes()
        .position(|byte| !belongs(byte))
        .unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_units_and_sums_of_them_are_valid() {
        for (text, milliseconds) in [
            ("0", 0),
            ("5", 5_000),
            ("1.5", 1_500),
            (".5", 500),
            ("250ms", 250),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("2min 3sec", 123_000),
            ("1d", 86_400_000),
            ("1w", 604_800_000),
            ("500000us", 500),
        ] {
            let wanted = Duration::from_millis(milliseconds);
            assert_eq!(duration(text), Some(wanted), "{text}");
        }
        assert!(duration("99999999999999999999w").unwrap() > DURATION_MAX);
    }

    #[test]
    fn anything_else_is_rejected() {
        for text in [
            "", " ", "s", "-1", "+1", "1e3", "inf", "nan", "1.2.3", ".", "5x", "5 m", "1h30",
            "1h30m ", " 5m", "5M", "1h,30m", "٣m",
        ] {
            assert_eq!(duration(text), None, "'{text}'");
        }
    }
}
