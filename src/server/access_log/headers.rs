//! Values of header fields that web servers and clients send along with a request.

use std::time::Duration;

use crate::worker::WAIT_MAX;

/// How long a request that began at this time since the epoch has waited. `None`: its header does not
/// tell.
pub(super) fn wait_since(header: &[u8], began: Duration) -> Option<Duration> {
    let wait = began.saturating_sub(start_of(header)?);
    Some(wait).filter(|wait| *wait <= WAIT_MAX)
}

/// The parameter with the trace id.
pub(super) const TRACEPARENT: &[u8] = b"HTTP_TRACEPARENT";

/// The trace id in a traceparent header (W3C Trace Context, section 3.2).
pub(super) fn trace_id(header: &[u8]) -> Option<&[u8]> {
    let mut parts = header.split(|byte| *byte == b'-');
    let (version, trace, parent) = (parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |part: &[u8], length| {
        let digits = part.iter();
        part.len() == length
            && digits
                .into_iter()
                .all(|d| matches!(d, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_valid =
        is_hex(version, 2) && version != b"ff" && is_hex(trace, 32) && is_hex(parent, 16);
    Some(trace).filter(|trace| is_valid && trace.iter().any(|digit| *digit != b'0'))
}

/// The time since the epoch at which the web server received the request: `t=` and seconds with
/// decimals (nginx's `$msec`), milliseconds or microseconds (Apache's `%t`).
fn start_of(header: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(header).ok()?.trim();
    let text = text.strip_prefix("t=").unwrap_or(text);
    let is_number = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = text.parse().ok().filter(|_| is_number)?;
    // Until the year 5138 these differ.
    let seconds = match number {
        1e9..1e11 => number,
        1e12..1e14 => number / 1e3,
        1e15..1e17 => number / 1e6,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_valid_trace_id_counts() {
        let id = "4bf92f3577b34da6a3ce929d0e0e4736";
        let valid = format!("00-{id}-00f067aa0ba902b7-01");
        assert_eq!(trace_id(valid.as_bytes()), Some(id.as_bytes()));
        let later = format!("cc-{id}-00f067aa0ba902b7-01-more");
        assert_eq!(trace_id(later.as_bytes()), Some(id.as_bytes()));
        for wrong in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473\n-00f067aa0ba902b7-01",
        ] {
            assert_eq!(trace_id(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn web_servers_write_the_start_in_three_units() {
        let wanted = Duration::from_millis(1_700_000_000_125);
        for text in [
            "t=1700000000.125",
            "1700000000.125",
            "t=1700000000125",
            "t=1700000000125000",
        ] {
            assert_eq!(start_of(text.as_bytes()), Some(wanted), "{text}");
        }
        for wrong in [
            "",
            "t=",
            "t=-1700000000",
            "1e9",
            "nan",
            "inf",
            "t=17",
            "t=1.2.3",
            "t=9999999999999999999999",
        ] {
            assert_eq!(start_of(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
