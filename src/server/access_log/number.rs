//! Numbers and times, written without the formatter: a line has about ten of them.

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::format::Clock;
use crate::sys::log::time::{CommonLog, UtcSecond};

/// Adds a decimal number.
pub(super) fn integer(out: &mut Vec<u8>, number: u64) {
    padded(out, number, 1);
}

/// Adds a decimal number with at least this many digits, of at most 20.
pub(super) fn padded(out: &mut Vec<u8>, mut number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    while number > 0 {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    let begin = at.min(digits.len().saturating_sub(width));
    out.extend_from_slice(&digits[begin..]);
}

/// Adds a number of parts with this many decimals, at most 9: 1,500 with three is `1.500`.
pub(super) fn decimal(out: &mut Vec<u8>, parts: u64, decimals: u32) {
    let one = 10_u64.pow(decimals.min(9));
    integer(out, parts / one);
    if decimals > 0 {
        out.push(b'.');
        padded(out, parts % one, decimals as usize);
    }
}

/// A duration in microseconds.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Dates and times, of which the text is computed once a second.
#[derive(Debug, Default)]
pub(super) struct Times {
    common: Cached,
    iso: Cached,
}

#[derive(Debug, Default)]
struct Cached {
    text: String,
    second: u64,
}

impl Cached {
    fn of<T: fmt::Display>(&mut self, second: u64, shown: impl FnOnce(u64) -> T) -> &[u8] {
        if self.second != second || self.text.is_empty() {
            self.text.clear();
            let _ = write!(self.text, "{}", shown(second));
            self.second = second;
        }
        self.text.as_bytes()
    }
}

impl Times {
    /// Adds a time since the epoch.
    pub(super) fn write(&mut self, out: &mut Vec<u8>, clock: Clock, at: Duration) {
        let (second, millis) = (at.as_secs(), u64::from(at.subsec_millis()));
        match clock {
            Clock::Common => {
                out.extend_from_slice(self.common.of(second, CommonLog));
            }
            Clock::Iso => {
                out.extend_from_slice(self.iso.of(second, UtcSecond));
                out.push(b'.');
                padded(out, millis, 3);
                out.push(b'Z');
            }
            Clock::Epoch => {
                integer(out, second);
                out.push(b'.');
                padded(out, millis, 3);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_as_the_formatter_writes_them() {
        for number in [0, 1, 9, 10, 1_234, u64::MAX] {
            assert_eq!(written(|out| integer(out, number)), number.to_string());
            let wanted = format!("{number:03}");
            assert_eq!(written(|out| padded(out, number, 3)), wanted);
        }
        for (parts, decimals, wanted) in [
            (7, 0, "7"),
            (0, 3, "0.000"),
            (1_500, 3, "1.500"),
            (1_000_007, 6, "1.000007"),
            (u64::MAX, 6, "18446744073709.551615"),
        ] {
            assert_eq!(written(|out| decimal(out, parts, decimals)), wanted);
        }
    }

    #[test]
    fn times_change_with_the_second() {
        let mut times = Times::default();
        for (millis, common, iso, epoch) in [
            (
                1_796_107_504_007,
                "01/Dec/2026:06:45:04 +0000",
                "2026-12-01T06:45:04.007Z",
                "1796107504.007",
            ),
            (
                1_796_107_504_900,
                "01/Dec/2026:06:45:04 +0000",
                "2026-12-01T06:45:04.900Z",
                "1796107504.900",
            ),
            (
                1_796_107_505_000,
                "01/Dec/2026:06:45:05 +0000",
                "2026-12-01T06:45:05.000Z",
                "1796107505.000",
            ),
        ] {
            let at = Duration::from_millis(millis);
            for (clock, wanted) in [
                (Clock::Common, common),
                (Clock::Iso, iso),
                (Clock::Epoch, epoch),
            ] {
                assert_eq!(written(|out| times.write(out, clock, at)), wanted);
            }
        }
    }
}
