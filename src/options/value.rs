//! The types of options, and their parsers.

use std::time::Duration;

use super::duration::{DURATION, DURATION_MAX, duration};
use crate::error::{Code, Error, Result};

/// The type of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number in a range.
    Count {
        /// Smallest value.
        min: u64,
        /// Largest value.
        max: u64,
    },
    /// A number of bytes in a range, with an optional suffix `k`, `m` or `g` (powers of 1,024).
    Bytes {
        /// Smallest value.
        min: u64,
        /// Largest value.
        max: u64,
    },
    /// A [time](super::duration()); 0 means none.
    Seconds,
    /// `1`, `yes`, `true`, `on`, or `0`, `no`, `false`, `off`.
    Flag,
    /// File permissions in octal; empty means those that the umask leaves.
    Mode,
    /// Text without NUL; empty means not set.
    Text,
    /// The path of a URI, without a query; empty means not set.
    Path,
    /// Where the log goes: `stderr`, `none`, or the absolute path of a file; `none:` before the path
    /// if the program writes the lines itself.
    Log,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number in a range that may be negative; empty means unchanged.
    Signed {
        /// Smallest value.
        min: i64,
        /// Largest value.
        max: i64,
    },
    /// A resource limit: a whole number (suffix `k`, `m` or `g`) or `unlimited`; empty means
    /// unchanged.
    Limit,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Number(u64),
    Seconds(Duration),
    Mode(Option<u32>),
    Text(String),
    Signed(Option<i64>),
    Limit(Option<u64>),
}

/// Parses the value of an option.
pub(super) fn parse(name: &str, kind: Kind, text: &str) -> Result<Value> {
    let bad = |wanted: &str| {
        Error::new(
            Code::Value,
            format!("option {name}: '{text}' is not {wanted}"),
        )
    };
    let in_range = |number: u64, min: u64, max: u64| {
        if (min..=max).contains(&number) {
            Ok(Value::Number(number))
        } else {
            Err(bad(&format!("in the range {min}..{max}")))
        }
    };
    match kind {
        Kind::Count { min, max } => {
            let number = text
                .parse()
                .map_err(|_| bad(&format!("a whole number in the range {min}..{max}")))?;
            in_range(number, min, max)
        }
        Kind::Bytes { min, max } => {
            let number = parse_bytes(text)
                .ok_or_else(|| bad("a number of bytes (suffix k, m or g allowed)"))?;
            in_range(number, min, max)
        }
        Kind::Seconds => {
            let time = duration(text).ok_or_else(|| bad(DURATION))?;
            if time > DURATION_MAX {
                return Err(bad("in the range 0..100000000 seconds"));
            }
            Ok(Value::Seconds(time))
        }
        Kind::Flag => match text.to_ascii_lowercase().as_str() {
            "1" | "yes" | "true" | "on" => Ok(Value::Number(1)),
            "0" | "no" | "false" | "off" | "" => Ok(Value::Number(0)),
            _ => Err(bad("a flag: 1, yes, true, on, 0, no, false or off")),
        },
        Kind::Mode if text.is_empty() => Ok(Value::Mode(None)),
        Kind::Mode => match u32::from_str_radix(text, 8) {
            Ok(mode) if mode <= 0o777 && !text.starts_with('+') => Ok(Value::Mode(Some(mode))),
            Ok(_) | Err(_) => Err(bad("an octal mode in the range 0..777")),
        },
        Kind::Text if text.contains('\0') => Err(bad("valid: it contains a NUL byte")),
        Kind::Text => Ok(Value::Text(text.to_owned())),
        Kind::Path if text.is_empty() => Ok(Value::Text(String::new())),
        Kind::Path => match text.starts_with('/') && !text.contains(['\0', '?', '#']) {
            true => Ok(Value::Text(text.to_owned())),
            false => Err(bad("a path that begins with a slash, without a query")),
        },
        Kind::Log => match text.strip_prefix("none:").unwrap_or(text) {
            "stderr" | "none" => Ok(Value::Text(text.to_owned())),
            path if path.starts_with('/') && !path.contains('\0') => {
                Ok(Value::Text(text.to_owned()))
            }
            _ => Err(bad("one of: stderr, none, or the absolute path of a file")),
        },
        Kind::Word(words) => match words.iter().position(|word| *word == text) {
            Some(position) => Ok(Value::Number(position as u64)),
            None => Err(bad(&format!("one of: {}", words.join(", ")))),
        },
        Kind::Signed { .. } if text.is_empty() => Ok(Value::Signed(None)),
        Kind::Signed { min, max } => match text.parse() {
            Ok(number) if (min..=max).contains(&number) => Ok(Value::Signed(Some(number))),
            Ok(_) | Err(_) => Err(bad(&format!("a whole number in the range {min}..{max}"))),
        },
        Kind::Limit => match text {
            "" => Ok(Value::Limit(None)),
            "unlimited" => Ok(Value::Limit(Some(u64::MAX))),
            _ => parse_bytes(text)
                .map(|limit| Value::Limit(Some(limit)))
                .ok_or_else(|| bad("a whole number (suffix k, m or g allowed) or 'unlimited'")),
        },
    }
}

/// A whole number, with an optional suffix for powers of 1,024.
fn parse_bytes(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().ok()?;
    Some(number.saturating_mul(1 << shift))
}
