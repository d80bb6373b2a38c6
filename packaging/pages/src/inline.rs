//! Text within a paragraph, in the language of roff(7).

use std::fmt::Write as _;

/// The documents that are man pages: the file in `docs`, the page, its section.
const PAGES: [(&str, &str, u8); 6] = [
    ("OPTIONS.md", "fcgipm-options", 7),
    ("SIGNALS.md", "fcgipm-signals", 7),
    ("SYSTEMD.md", "fcgipm-systemd", 7),
    ("PROGRAMS.md", "fcgipm-programs", 7),
    ("FORKING.md", "fcgipm-forking", 7),
    ("LOG.md", "fcgipm-log", 7),
];

/// The page that a document is, if it is one.
pub(crate) fn page_of(document: &str) -> Option<(&'static str, u8)> {
    let name = document.strip_prefix("docs/").unwrap_or(document);
    let found = PAGES.iter().find(|(file, ..)| *file == name)?;
    Some((found.1, found.2))
}

/// Text with fonts, escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inline(String);

impl Inline {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Plain text.
    pub(crate) fn text(mut self, text: &str) -> Self {
        escape(&mut self.0, text, false);
        self
    }

    /// The names of a page, and the dash between them and the summary.
    pub(crate) fn names(mut self, names: &[&str]) -> Self {
        escape(&mut self.0, &names.join(", "), true);
        self.0.push_str(" \\- ");
        self
    }

    /// What is typed as it is: its hyphens are the minus signs of the keyboard.
    /// They are not broken at the end of a line.
    pub(crate) fn bold(mut self, text: &str) -> Self {
        self.0.push_str("\\fB\\%");
        escape(&mut self.0, text, true);
        self.0.push_str("\\fR");
        self
    }

    /// Bold words of a sentence.
    pub(crate) fn bold_text(mut self, text: &str) -> Self {
        self.0.push_str("\\fB");
        escape(&mut self.0, text, false);
        self.0.push_str("\\fR");
        self
    }

    /// What stands for something else.
    pub(crate) fn italic(mut self, text: &str) -> Self {
        self.0.push_str("\\fI");
        escape(&mut self.0, text, true);
        self.0.push_str("\\fR");
        self
    }

    /// A reference to a page, as `name(7)`.
    pub(crate) fn reference(self, name: &str, section: u8) -> Self {
        self.bold(name).text(&format!("({section})"))
    }

    pub(crate) fn push(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    /// Text in which names are marked: options of the command line, functions, constants and variables in capitals,
    /// and documents that are pages.
    pub(crate) fn prose(self, text: &str) -> Self {
        let mut marked = self;
        for (position, word) in text.split(' ').enumerate() {
            if position > 0 {
                marked = marked.text(" ");
            }
            marked = marked.word(word);
        }
        marked
    }

    fn word(self, word: &str) -> Self {
        let start = word.len() - word.trim_start_matches(['(', '"']).len();
        let core = word[start..].trim_end_matches(['.', ',', ';', ':', ')', '"']);
        let core = if word[start + core.len()..].starts_with(')') && core.ends_with('(') {
            &word[start..=start + core.len()]
        } else {
            core
        };
        let (before, after) = (&word[..start], &word[start + core.len()..]);
        let this = self.text(before);
        let this = if let Some((page, section)) = page_of(core) {
            this.reference(page, section)
        } else if is_name(core) {
            this.bold(core)
        } else {
            this.text(core)
        };
        this.text(after)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.trim().is_empty()
    }

    /// On one line, as a tag or an argument.
    pub(crate) fn line(&self) -> String {
        guarded(self.0.trim())
    }

    /// On lines of at most this width, where there are spaces.
    pub(crate) fn lines(&self, width: usize) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for word in self.0.split_whitespace() {
            match lines.last_mut() {
                Some(line) if line.len() + 1 + word.len() <= width => {
                    let _ = write!(line, " {word}");
                }
                _ => lines.push(guarded(word)),
            }
        }
        lines
    }
}

/// A name that is typed as it stands.
fn is_name(word: &str) -> bool {
    let of_function = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let of_constant = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let is_function = |word: &str| word.starts_with("fcgipm_") && word.chars().all(of_function);
    (word.starts_with("--") && word.len() > 2)
        || is_function(word.strip_suffix("()").unwrap_or(word))
        || (word.contains('_') && word.len() > 3 && word.chars().all(of_constant))
}

/// A line that begins with a control character would be a request.
fn guarded(line: &str) -> String {
    if line.starts_with(['.', '\'']) {
        format!("\\&{line}")
    } else {
        line.to_owned()
    }
}

/// Escapes text. `verbatim`: hyphens are minus signs.
pub(crate) fn escape(into: &mut String, text: &str, verbatim: bool) {
    for c in text.chars() {
        match c {
            '\\' => into.push_str("\\e"),
            '-' if verbatim => into.push_str("\\-"),
            '\'' => into.push_str("\\(aq"),
            '`' => into.push_str("\\(ga"),
            '^' => into.push_str("\\(ha"),
            '~' => into.push_str("\\(ti"),
            '\n' | '\t' if !verbatim => into.push(' '),
            c if c.is_ascii() => into.push(c),
            c => {
                let _ = write!(into, "\\[u{:04X}]", u32::from(c));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_roff_would_interpret_is_escaped() {
        let text = Inline::new().text(".TH \\fB it's ~^`").line();
        assert_eq!(text, "\\&.TH \\efB it\\(aqs \\(ti\\(ha\\(ga");
        let wrapped = Inline::new().text("aaa .b").lines(3);
        assert_eq!(wrapped, ["aaa", "\\&.b"]);
    }

    #[test]
    fn names_are_marked_and_documents_are_pages() {
        for (text, wanted) in [
            ("(--max-age)", "(\\fB\\%\\-\\-max\\-age\\fR)"),
            ("fcgipm_x(), y", "\\fB\\%fcgipm_x()\\fR, y"),
            ("(see fcgipm_x()).", "(see \\fB\\%fcgipm_x()\\fR)."),
            ("FCGIPM_EX;", "\\fB\\%FCGIPM_EX\\fR;"),
            ("docs/SIGNALS.md.", "\\fB\\%fcgipm\\-signals\\fR(7)."),
            ("TERM and well-known", "TERM and well-known"),
        ] {
            assert_eq!(Inline::new().prose(text).line(), wanted);
        }
    }
}
