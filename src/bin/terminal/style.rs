//! Colours, and the attributes that replace them.

use std::env;

/// What a piece of text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Style {
    #[default]
    Plain,
    Bold,
    Good,
    Active,
    Warning,
    Bad,
    /// A bar, or the selected row.
    Reverse,
}

/// What may be used of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Palette {
    /// No escape sequences at all.
    None,
    /// Bold and reverse.
    Attributes,
    Colours,
}

impl Palette {
    /// Colours, unless `NO_COLOR` is in the environment and not empty: <https://no-color.org>.
    pub(crate) fn of_environment(without: Self) -> Self {
        match env::var_os("NO_COLOR").filter(|value| !value.is_empty()) {
            Some(_) => without,
            None => Self::Colours,
        }
    }

    /// The parameters of SGR (ECMA-48) that switch a style on.
    pub(crate) const fn sgr(self, style: Style) -> &'static str {
        match (self, style) {
            (Self::None, _) | (_, Style::Plain) => "",
            (_, Style::Bold) => "1",
            (_, Style::Reverse) => "7",
            (Self::Attributes, Style::Good | Style::Active) => "",
            (Self::Attributes, Style::Warning | Style::Bad) => "1",
            (Self::Colours, Style::Good) => "32",
            (Self::Colours, Style::Active) => "36",
            (Self::Colours, Style::Warning) => "33",
            (Self::Colours, Style::Bad) => "1;31",
        }
    }

    pub(crate) fn paint(self, style: Style, text: &str) -> String {
        match self.sgr(style) {
            "" => text.to_owned(),
            sgr => format!("\u{1b}[{sgr}m{text}\u{1b}[m"),
        }
    }
}

/// The style of a worker's state.
pub(crate) fn of_state(state: &str) -> Style {
    match state {
        "busy" | "reading" | "finishing" => Style::Active,
        "idle" => Style::Good,
        "starting" | "retiring" | "exiting" => Style::Warning,
        "killed" | "unknown" => Style::Bad,
        _ => Style::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_palette_without_colours_paints_none() {
        let painted = |palette: Palette| {
            [Style::Plain, Style::Good, Style::Bad].map(|style| palette.paint(style, "a"))
        };
        assert_eq!(painted(Palette::None), ["a"; 3]);
        assert_eq!(
            painted(Palette::Attributes),
            ["a", "a", "\u{1b}[1ma\u{1b}[m"]
        );
        let all = ["a", "\u{1b}[32ma\u{1b}[m", "\u{1b}[1;31ma\u{1b}[m"];
        assert_eq!(painted(Palette::Colours), all);
    }
}
