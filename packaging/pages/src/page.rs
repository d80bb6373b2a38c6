//! A page in the man(7) macros, without anything that mandoc or groff would warn of.

use std::fmt::Write as _;

use crate::block::{Block, Item, Tag};
use crate::inline::{Inline, escape};

/// The width of lines of text in the source.
const WIDTH: usize = 78;

/// Between two lines of the file that are one for roff.
const CONTINUED: &str = " \\\n";

pub(crate) struct Page {
    pub(crate) name: String,
    pub(crate) section: u8,
    text: String,
}

impl Page {
    /// Begins a page. Names are not hyphenated, so adjusted lines would have gaps: lines are ragged, by AD from groff 1.23 on. `names`: everything that it describes, for whatis(1).
    pub(crate) fn new(names: &[&str], section: u8, date: &str, summary: &str) -> Self {
        let name = names.first().copied().unwrap_or_default();
        let mut page = Self {
            name: name.to_owned(),
            section,
            text: format!(
                ".TH {} {section} {date} \"fcgipm {}\" \"fcgipm manual\"\n.ds AD l\n.ad l\n",
                name.to_uppercase().replace('-', "\\-"),
                env!("CARGO_PKG_VERSION")
            ),
        };
        page.render(&[Block::Section("Name".to_owned())]);
        let mut line = Inline::new().names(names);
        line.push(&Inline::new().text(summary));
        page.flowing(&line);
        page
    }

    pub(crate) fn section(&mut self, title: &str, blocks: &[Block]) {
        if !blocks.is_empty() {
            self.render(&[Block::Section(title.to_owned())]);
            self.render(blocks);
        }
    }

    /// References to other pages; one to itself is left out.
    pub(crate) fn see_also(&mut self, pages: &[(&str, u8)]) {
        let mut line = Inline::new();
        let others = pages.iter().filter(|(name, _)| *name != self.name);
        for (position, (name, section)) in others.enumerate() {
            line = line.text(if position == 0 { "" } else { ", " });
            line = line.reference(name, *section);
        }
        self.section("See also", &[Block::Paragraph(line)]);
    }

    pub(crate) fn text(self) -> String {
        self.text
    }

    pub(crate) fn render(&mut self, blocks: &[Block]) {
        for block in blocks {
            match block {
                Block::Section(title) => {
                    let title = title.to_uppercase();
                    self.heading("SH", &title);
                }
                Block::Subsection(title) => self.heading("SS", title),
                Block::Paragraph(text) => {
                    // A heading already begins a paragraph.
                    if !self.follows_heading() {
                        self.text.push_str(".PP\n");
                    }
                    self.flowing(text);
                }
                Block::Literal(lines) => {
                    self.text.push_str(".IP\n");
                    self.literal(lines);
                }
                Block::List(items) => items.iter().for_each(|item| self.item(item)),
            }
        }
    }

    fn heading(&mut self, request: &str, title: &str) {
        let mut escaped = String::new();
        escape(&mut escaped, title, false);
        let _ = writeln!(
            self.text,
            ".{request} \"{}\"",
            escaped.replace('"', "\\(dq")
        );
    }

    fn follows_heading(&self) -> bool {
        let last = self.text.lines().next_back().unwrap_or_default();
        last.starts_with(".SH") || last.starts_with(".SS")
    }

    fn flowing(&mut self, text: &Inline) {
        for line in text.lines(WIDTH) {
            let _ = writeln!(self.text, "{line}");
        }
    }

    fn literal(&mut self, lines: &[String]) {
        self.text.push_str(".EX\n");
        for line in lines {
            let mut escaped = String::new();
            escape(&mut escaped, line.trim_end(), true);
            if escaped.starts_with('.') {
                escaped.insert_str(0, "\\&");
            }
            let _ = writeln!(self.text, "{escaped}");
        }
        self.text.push_str(".EE\n");
    }

    fn item(&mut self, item: &Item) {
        let indent = match &item.tag {
            Tag::Bullet => {
                self.text.push_str(".IP \\[u2022] 2\n");
                " 2"
            }
            Tag::Number(number) => {
                let _ = writeln!(self.text, ".IP {number}. 4");
                " 4"
            }
            Tag::Term(term) => {
                // One line for roff, on several of the file.
                let lines = term.lines(WIDTH - CONTINUED.len()).join(CONTINUED);
                let _ = writeln!(self.text, ".TP\n{lines}");
                ""
            }
        };
        let mut rest = item.body.as_slice();
        if let Some((Block::Paragraph(text), others)) = rest.split_first() {
            self.flowing(text);
            rest = others;
        }
        if !rest.is_empty() {
            let _ = writeln!(self.text, ".RS{indent}");
            self.render(rest);
            self.text.push_str(".RE\n");
        }
    }
}
