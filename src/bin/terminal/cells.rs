//! Text in the cells of a terminal: escaped, measured and cut.

use std::env;
use std::sync::LazyLock;

use unicode_width::UnicodeWidthChar as _;

/// Whether the terminal shows UTF-8, by the locale. In others, bytes of a character can be controls.
pub(crate) fn shows_utf8() -> bool {
    static SHOWS: LazyLock<bool> = LazyLock::new(is_utf8);
    *SHOWS
}

fn is_utf8() -> bool {
    let names = ["LC_ALL", "LC_CTYPE", "LANG"].map(|name| env::var(name).unwrap_or_default());
    let name = names.into_iter().find(|value| !value.is_empty());
    let name = name.unwrap_or_default().to_ascii_lowercase();
    name.contains("utf-8") || name.contains("utf8")
}

/// The text with each character escaped that is not visible alone: controls, marks of direction, and
/// what combines with its neighbour. It may have been escaped before, so backslashes stay.
pub(crate) fn visible(text: &str, is_utf8: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            ' '..='~' => out.push(letter),
            // Fillers, which are as wide as letters.
            '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' => {
                out.extend(letter.escape_unicode())
            }
            _ if !is_utf8 || width_of(letter) == 0 => out.extend(letter.escape_unicode()),
            // Of others, it escapes what is not printable.
            _ => out.extend(letter.escape_debug()),
        }
    }
    out
}

/// The cells that visible text takes.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(width_of).sum()
}

/// Cuts visible text to this many cells, and fills them up.
pub(crate) fn fitted(text: &str, cells: usize) -> String {
    let (mut out, left) = begin_of(text, cells);
    out.extend(std::iter::repeat_n(' ', left));
    out
}

/// Cuts visible text to this many cells.
pub(crate) fn cut(text: &str, cells: usize) -> String {
    begin_of(text, cells).0
}

/// The same, and how many cells are left.
fn begin_of(text: &str, cells: usize) -> (String, usize) {
    let mut left = cells;
    let mut out = String::new();
    for letter in text.chars() {
        let Some(rest) = left.checked_sub(width_of(letter)) else {
            break;
        };
        left = rest;
        out.push(letter);
    }
    (out, left)
}

fn width_of(letter: char) -> usize {
    letter.width().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_visible_is_not_escaped() {
        let shown = |text: &str| visible(text, true);
        assert_eq!(shown("/a?b=\"c'd\\u{1b}"), "/a?b=\"c'd\\u{1b}");
        assert_eq!(
            shown("\u{1b}[2J\r\n\t\u{7f}"),
            r"\u{1b}[2J\u{d}\u{a}\u{9}\u{7f}"
        );
        // CSI of 8 bits, the override of direction, a zero width joiner, a combining accent, a filler.
        let hostile = "\u{9b}\u{202e}\u{2066}\u{200d}\u{301}\u{3164}\u{115f}\u{feff}\u{2028}";
        assert!(shown(hostile).is_ascii(), "{}", shown(hostile));
        assert_eq!(shown("ä漢"), "ä漢");
        assert_eq!(visible("ä", false), r"\u{e4}");
    }

    #[test]
    fn wide_characters_are_not_cut_in_half() {
        assert_eq!(width("a漢ä"), 4);
        assert_eq!(cut("a漢ä", 2), "a");
        assert_eq!(fitted("a漢ä", 2), "a ");
        assert_eq!(fitted("a漢ä", 6), "a漢ä  ");
    }
}
