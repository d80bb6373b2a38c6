//! Dates and times in UTC: no table of time zones is read, and lines of several machines can be compared.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: u64 = 86_400;

/// The current time and a blank, as in `2026-11-30T17:52:47.123Z `.
pub(crate) fn stamp() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    format!("{} ", Utc(now.unwrap_or_default()))
}

/// A time since the epoch as in RFC 3339: `2026-11-30T17:52:47.123Z`.
struct Utc(Duration);

impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.subsec_millis();
        write!(f, "{}.{millis:03}Z", UtcSecond(self.0.as_secs()))
    }
}

/// Seconds since the epoch as in RFC 3339, up to the second: `2026-11-30T17:52:47`.
#[derive(Clone, Copy, Debug)]
pub struct UtcSecond(pub u64);

impl fmt::Display for UtcSecond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date(self.0 / DAY);
        let (hour, minute, second) = time_of_day(self.0);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )
    }
}

/// Seconds since the epoch in the Common Log Format: `30/Nov/2026:17:52:47 +0000`.
#[derive(Clone, Copy, Debug)]
pub struct CommonLog(pub u64);

impl fmt::Display for CommonLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        let (year, month, day) = date(self.0 / DAY);
        let (hour, minute, second) = time_of_day(self.0);
        let month = MONTHS[(month as usize + 11) % 12];
        write!(
            f,
            "{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} +0000"
        )
    }
}

fn time_of_day(seconds: u64) -> (u64, u64, u64) {
    (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60)
}

/// The date of a day since 1970-01-01. Years are counted from March on, so that the leap day is the
/// last one.
fn date(days: u64) -> (u64, u64, u64) {
    /// Days from 0000-03-01 to 1970-01-01.
    const EPOCH: u64 = 719_468;
    const DAYS_OF_400_YEARS: u64 = 146_097;
    let days = days + EPOCH;
    let (era, day) = (days / DAYS_OF_400_YEARS, days % DAYS_OF_400_YEARS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    // The months from March on have 31, 30, 31, 30, 31 days, twice, and then 31 and the rest.
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = 400 * era + year;
    if month < 10 {
        (year, month + 3, day)
    } else {
        (year + 1, month - 9, day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.007Z "),
            (951_782_399, "2000-02-28T23:59:59.007Z "),
            (951_782_400, "2000-02-29T00:00:00.007Z "),
            (951_868_800, "2000-03-01T00:00:00.007Z "),
            (1_704_067_199, "2023-12-31T23:59:59.007Z "),
            (1_709_164_800, "2024-02-29T00:00:00.007Z "),
            (4_107_542_400, "2100-03-01T00:00:00.007Z "),
        ] {
            let at = Duration::new(seconds, 7_654_321);
            assert_eq!(Utc(at).to_string(), expected.trim_end());
        }
    }

    #[test]
    fn the_common_log_format_has_names_of_months() {
        for (seconds, expected) in [
            (0, "01/Jan/1970:00:00:00 +0000"),
            (1_796_107_504, "01/Dec/2026:06:45:04 +0000"),
        ] {
            assert_eq!(CommonLog(seconds).to_string(), expected);
        }
    }
}
