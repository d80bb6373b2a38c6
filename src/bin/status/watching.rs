//! `fcgipm status --watch`: the status again and again.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::time::{Duration, SystemTime};

use crate::managers::text::utc;
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
}
