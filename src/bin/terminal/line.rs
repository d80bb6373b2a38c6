//! A line of the screen. What it holds is visible: nothing in it controls a terminal.

use super::cells;
use super::style::{Palette, Style};

/// Pieces of text with their styles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line(Vec<(Style, String)>);

impl Line {
    pub(crate) fn of(style: Style, text: &str) -> Self {
        Self::default().with(style, text)
    }

    pub(crate) fn with(mut self, style: Style, text: &str) -> Self {
        self.push(style, text);
        self
    }

    pub(crate) fn push(&mut self, style: Style, text: &str) {
        self.0
            .push((style, cells::visible(text, cells::shows_utf8())));
    }

    /// Adds text that takes this many cells.
    pub(crate) fn cell(&mut self, style: Style, text: &str, cells: usize, is_right: bool) {
        let text = cells::visible(text, cells::shows_utf8());
        let gap = cells.saturating_sub(cells::width(&text));
        let text = if is_right {
            format!("{}{text}", " ".repeat(gap))
        } else {
            text
        };
        self.0.push((style, cells::fitted(&text, cells)));
    }

    /// The same text in one style, as wide as the screen.
    pub(crate) fn bar(&self, style: Style, cells: usize) -> Self {
        Self(vec![(style, cells::fitted(&self.text(), cells))])
    }

    /// Its text in as many lines as it needs.
    pub(crate) fn wrapped(&self, cells: usize) -> Vec<Self> {
        let text = self.text();
        let mut rest = text.as_str();
        let mut lines = Vec::new();
        loop {
            let begin = cells::cut(rest, cells);
            // A character that is wider than the screen must not stop it.
            let length = begin
                .len()
                .max(rest.chars().next().map_or(0, char::len_utf8));
            lines.push(Self(vec![(Style::Plain, begin)]));
            rest = rest.get(length..).unwrap_or_default();
            if rest.is_empty() {
                return lines;
            }
        }
    }

    pub(crate) fn text(&self) -> String {
        self.0.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// Its first cells, with the escape sequences of their styles.
    pub(crate) fn painted(&self, palette: Palette, cells: usize) -> String {
        let mut left = cells;
        let mut out = String::new();
        for (style, text) in &self.0 {
            let text = cells::cut(text, left);
            left -= cells::width(&text);
            out.push_str(&palette.paint(*style, &text));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_controls_the_terminal() {
        let hostile = "\u{1b}[2J\u{9b}\r\n\u{202e}";
        let mut line = Line::of(Style::Bad, hostile);
        line.cell(Style::Plain, hostile, 60, true);
        let text = line.text();
        assert!(
            text.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            "{text:?}"
        );
    }

    #[test]
    fn a_line_is_cut_to_the_screen() {
        let line = Line::of(Style::Bad, "abc").with(Style::Plain, "def");
        assert_eq!(line.painted(Palette::None, 4), "abcd");
        assert_eq!(line.painted(Palette::None, 2), "ab");
        assert_eq!(line.painted(Palette::Colours, 3), "\u{1b}[1;31mabc\u{1b}[m");
        assert_eq!(line.bar(Style::Reverse, 8).text(), "abcdef  ");
        let wrapped = line.wrapped(4);
        assert_eq!(
            wrapped.iter().map(Line::text).collect::<Vec<_>>(),
            ["abcd", "ef"]
        );
        assert_eq!(Line::default().wrapped(4).len(), 1);
        let mut line = Line::default();
        line.cell(Style::Plain, "7", 3, true);
        line.cell(Style::Plain, "abcd", 3, false);
        assert_eq!(line.text(), "  7abc");
    }
}
