//! The terminal as a screen: entered and left, on a panic too.

use std::io::{self, Write as _};
use std::panic;
use std::sync::Once;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use super::line::Line;
use super::style::Palette;

/// The alternate screen, cleared, without a cursor. Terminals that have none, as the console of older
/// kernels, ignore its sequence.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[m\u{1b}[H\u{1b}[J\u{1b}[?25l";
const LEAVE: &str = "\u{1b}[m\u{1b}[H\u{1b}[J\u{1b}[?25h\u{1b}[?1049l";

/// The settings of the terminal while it is a screen.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);
static HOOK: Once = Once::new();

/// The terminal, which is left when this is dropped.
#[derive(Debug)]
pub(crate) struct Screen {
    palette: Palette,
    columns: usize,
    /// What each row shows.
    rows: Vec<String>,
}

impl Screen {
    pub(crate) fn enter(palette: Palette) -> io::Result<Self> {
        HOOK.call_once(|| {
            let report = panic::take_hook();
            panic::set_hook(Box::new(move |panic| {
                leave();
                report(panic);
            }));
        });
        let screen = Self {
            palette,
            columns: 0,
            rows: Vec::new(),
        };
        enter()?;
        Ok(screen)
    }

    /// Enters it again, after it was left or another process used it. Everything is drawn anew.
    pub(crate) fn again(&mut self) -> io::Result<()> {
        self.rows.clear();
        enter()
    }

    /// What to write so that it shows these lines: those that changed.
    pub(crate) fn change(&mut self, lines: &[Line], (columns, rows): (usize, usize)) -> String {
        let mut out = String::new();
        if self.columns != columns || self.rows.len() != rows {
            self.columns = columns;
            self.rows = vec![String::new(); rows];
            out.push_str("\u{1b}[m\u{1b}[H\u{1b}[J");
        }
        for (number, row) in self.rows.iter_mut().enumerate() {
            let new = lines
                .get(number)
                .map(|line| line.painted(self.palette, columns))
                .unwrap_or_default();
            if new != *row {
                // Erased first: after a character in the last column, it would be the one that is erased.
                out.push_str(&format!("\u{1b}[{};1H\u{1b}[K{new}", number + 1));
                *row = new;
            }
        }
        out
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave();
    }
}

/// Writes to the terminal, and blocks until it has taken it.
pub(crate) fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn enter() -> io::Result<()> {
    let mut before = BEFORE.lock();
    let settings = match &*before {
        Some(known) => known.clone(),
        None => tcgetattr(io::stdin())?,
    };
    let mut raw = settings.clone();
    raw.make_raw();
    tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
    *before = Some(settings);
    write(ENTER)
}

/// Gives the terminal back as it was. Errors are ignored: it may be closed.
pub(crate) fn leave() {
    // The lock must not be held while writing blocks.
    let settings = BEFORE.lock().take();
    if let Some(settings) = settings {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &settings);
        let _ = write(LEAVE);
    }
}

/// The same for a terminal that may not take any output, as one behind a broken connection.
pub(crate) fn leave_within(limit: Duration) {
    let (sender, left) = channel();
    thread::spawn(move || {
        leave();
        let _ = sender.send(());
    });
    let _ = left.recv_timeout(limit);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::style::Style;

    #[test]
    fn only_lines_that_changed_are_written() {
        let mut screen = Screen {
            palette: Palette::None,
            columns: 0,
            rows: Vec::new(),
        };
        let line = |text| Line::of(Style::Plain, text);
        let first = screen.change(&[line("a"), line("b")], (10, 3));
        assert!(
            first.ends_with("\u{1b}[J\u{1b}[1;1H\u{1b}[Ka\u{1b}[2;1H\u{1b}[Kb"),
            "{first:?}"
        );
        let next = screen.change(&[line("a"), line("c")], (10, 3));
        assert_eq!(next, "\u{1b}[2;1H\u{1b}[Kc");
        assert_eq!(screen.change(&[line("a")], (10, 3)), "\u{1b}[2;1H\u{1b}[K");
        // Another size: all of it, and no more rows than there are.
        let all = screen.change(&[line("abc"), line("d")], (2, 1));
        assert_eq!(all, "\u{1b}[m\u{1b}[H\u{1b}[J\u{1b}[1;1H\u{1b}[Kab");
    }
}
