//! `fcgipm status --watch`: the status again and again.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::terminal::size;

/// Prints frames until standard output is closed. A frame that cannot be made is printed as its reason,
/// because a manager may come back; only the first one must succeed.
pub(super) fn watch(
    interval: Duration,
    is_json: bool,
    mut frame: impl FnMut() -> Result<String, String>,
) -> Result<(), String> {
    let mut out = io::stdout().lock();
    let is_terminal = out.is_terminal();
    let mut text = frame()?;
    let mut is_first = true;
    loop {
        let time = format!("time      {}\n", utc(SystemTime::now()));
        let whole = match (is_json, is_terminal) {
            (true, _) => text,
            (false, true) => redrawn(&(time + &text), size::of_stdout().1),
            (false, false) if is_first => time + &text,
            (false, false) => format!("\n{time}{text}"),
        };
        is_first = false;
        match out.write_all(whole.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(format!("standard output: {error}")),
        }
        std::thread::sleep(interval);
        text = frame().unwrap_or_else(|reason| {
            if is_json {
                serde_json::json!({ "error": reason }).to_string() + "\n"
            } else {
                format!("error     {reason}\n")
            }
        });
    }
}

/// From the first line of the screen on, without wrapping long lines. Each line erases what it does not cover.
fn redrawn(text: &str, rows: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    let mut shown = lines.clone();
    // The cursor stays in the row below.
    let most = rows.saturating_sub(1).max(1);
    let more;
    if lines.len() > most {
        shown.truncate(most - 1);
        more = format!("... {} more lines", lines.len() - shown.len());
        shown.push(&more);
    }
    let body: String = shown
        .iter()
        .map(|line| format!("{line}\u{1b}[K\r\n"))
        .collect();
    format!("\u{1b}[H\u{1b}[?7l{body}\u{1b}[J\u{1b}[?7h")
}

/// As in `2026-01-31T23:59:59Z`.
fn utc(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Days of an era of 400 years that begins on a 1st of March.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_fits_the_screen() {
        let shown = redrawn("a\nb\nc\n", 4);
        let begin = "\u{1b}[H\u{1b}[?7l";
        assert_eq!(
            shown,
            format!("{begin}a\u{1b}[K\r\nb\u{1b}[K\r\nc\u{1b}[K\r\n\u{1b}[J\u{1b}[?7h")
        );
        let shown = redrawn("a\nb\nc\n", 3);
        assert_eq!(
            shown,
            format!("{begin}a\u{1b}[K\r\n... 2 more lines\u{1b}[K\r\n\u{1b}[J\u{1b}[?7h")
        );
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
