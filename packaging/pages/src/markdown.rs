//! A document of `docs` as blocks.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag as Start, TagEnd};

use crate::block::{Block, Item, Tag};
use crate::inline::{Inline, page_of};

/// The blocks of a document. Its title is left out: the page has its own.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let mut reader = Reader {
        events: Parser::new_ext(text, Options::ENABLE_TABLES),
    };
    reader.blocks(None)
}

struct Reader<'t> {
    events: Parser<'t>,
}

impl Reader<'_> {
    /// Up to the end of what contains them.
    fn blocks(&mut self, until: Option<TagEnd>) -> Vec<Block> {
        let mut blocks = Vec::new();
        // The text of a tight list item has no paragraph of its own.
        let mut loose = Inline::new();
        while let Some(event) = self.events.next() {
            match event {
                Event::End(end) if Some(end) == until => break,
                Event::Start(start) if is_block(&start) => {
                    flush(&mut loose, &mut blocks);
                    blocks.extend(self.block(start));
                }
                other => self.inline(other, &mut loose),
            }
        }
        flush(&mut loose, &mut blocks);
        blocks
    }

    fn block(&mut self, start: Start<'_>) -> Option<Block> {
        Some(match start {
            Start::Heading { level, .. } => {
                let title = self.plain(TagEnd::Heading(level));
                match level {
                    HeadingLevel::H1 => return None,
                    HeadingLevel::H2 => Block::Section(title),
                    _ => Block::Subsection(title),
                }
            }
            Start::CodeBlock(_) => {
                let text = self.plain(TagEnd::CodeBlock);
                Block::Literal(text.lines().map(str::to_owned).collect())
            }
            Start::List(first) => Block::List(self.items(first)),
            Start::Table(_) => self.table(),
            _ => Block::Paragraph(self.until(TagEnd::Paragraph)),
        })
    }

    fn items(&mut self, first: Option<u64>) -> Vec<Item> {
        let mut items = Vec::new();
        let mut number = first;
        while let Some(Event::Start(Start::Item)) = self.events.next() {
            let tag = number.map_or(Tag::Bullet, Tag::Number);
            number = number.map(|number| number + 1);
            let body = self.blocks(Some(TagEnd::Item));
            items.push(Item { tag, body });
        }
        items
    }

    fn inline(&mut self, event: Event<'_>, into: &mut Inline) {
        let text = std::mem::take(into);
        *into = match event {
            Event::Text(said) => text.prose(&said),
            Event::Code(code) => text.bold(&code),
            Event::SoftBreak | Event::HardBreak => text.text(" "),
            Event::Start(Start::Strong) => {
                let strong = self.plain(TagEnd::Strong);
                text.bold_text(&strong)
            }
            Event::Start(Start::Emphasis) => {
                let emphasis = self.plain(TagEnd::Emphasis);
                text.italic(&emphasis)
            }
            Event::Start(Start::Link { dest_url, .. }) => {
                let said = self.plain(TagEnd::Link);
                linked(text, &said, &dest_url)
            }
            _ => text,
        };
    }

    fn until(&mut self, end: TagEnd) -> Inline {
        let mut text = Inline::new();
        while let Some(event) = self.events.next() {
            if event == Event::End(end) {
                break;
            }
            self.inline(event, &mut text);
        }
        text
    }

    /// Without fonts.
    fn plain(&mut self, end: TagEnd) -> String {
        let mut text = String::new();
        for event in self.events.by_ref() {
            match event {
                Event::End(ended) if ended == end => break,
                Event::Text(said) | Event::Code(said) => text.push_str(&said),
                Event::SoftBreak | Event::HardBreak => text.push(' '),
                _ => {}
            }
        }
        text
    }

    /// A list: the first column has the terms. With more than two columns, each cell has the heading of its own.
    fn table(&mut self) -> Block {
        let mut heads: Vec<String> = Vec::new();
        let mut rows: Vec<Vec<Inline>> = Vec::new();
        while let Some(event) = self.events.next() {
            match event {
                Event::End(TagEnd::Table) => break,
                Event::Start(Start::TableRow) => rows.push(Vec::new()),
                Event::Start(Start::TableCell) => match rows.last_mut() {
                    Some(row) => row.push(self.until(TagEnd::TableCell)),
                    None => heads.push(self.plain(TagEnd::TableCell)),
                },
                _ => {}
            }
        }
        let items = rows.into_iter().map(|row| row_item(&heads, row));
        Block::List(items.collect())
    }
}

fn row_item(heads: &[String], row: Vec<Inline>) -> Item {
    let mut cells = row.into_iter();
    let term = cells.next().unwrap_or_default();
    let labelled = heads.len() > 2;
    let mut body = Vec::new();
    for (head, cell) in heads.iter().skip(1).zip(cells) {
        if cell.is_empty() {
            continue;
        }
        let mut text = Inline::new();
        if labelled {
            text = text.italic(head).text(": ");
        }
        text.push(&cell);
        body.push(Block::Paragraph(text));
    }
    Item::term(term, body)
}

fn linked(text: Inline, said: &str, to: &str) -> Inline {
    let file = to.split('#').next().unwrap_or(to);
    if let Some((page, section)) = page_of(file) {
        let names_it = file
            .strip_suffix(".md")
            .is_some_and(|name| name.ends_with(said));
        let text = if names_it {
            text
        } else {
            text.text(said).text(" in ")
        };
        return text.reference(page, section);
    }
    let text = text.text(said);
    if to.starts_with("http") {
        text.text(" (").text(to).text(")")
    } else {
        text
    }
}

fn is_block(start: &Start<'_>) -> bool {
    matches!(
        start,
        Start::Paragraph
            | Start::Heading { .. }
            | Start::CodeBlock(_)
            | Start::List(_)
            | Start::Table(_)
    )
}

fn flush(loose: &mut Inline, blocks: &mut Vec<Block>) {
    let text = std::mem::take(loose);
    if !text.is_empty() {
        blocks.push(Block::Paragraph(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::Page;

    fn rendered(text: &str) -> String {
        let mut page = Page::new(&["x"], 7, "2000-01-01", "y");
        page.render(&blocks(text));
        let text = page.text();
        let (_, body) = text.split_once("x \\- y\n").unwrap();
        body.to_owned()
    }

    #[test]
    fn every_form_that_the_documents_use_is_rendered() {
        for (text, wanted) in [
            ("# Title\n\n## A `b`\n\ntext\n", ".SH \"A B\"\ntext\n"),
            (
                "### Sub\n\none\ntwo\n\nthree\n",
                ".SS \"Sub\"\none two\n.PP\nthree\n",
            ),
            ("- a\n- b\n", ".IP \\[u2022] 2\na\n.IP \\[u2022] 2\nb\n"),
            ("1. a\n\n   b\n", ".IP 1. 4\na\n.RS 4\n.PP\nb\n.RE\n"),
            ("a\n\n    .x -y\n", ".PP\na\n.IP\n.EX\n\\&.x \\-y\n.EE\n"),
            (
                "**Bold**. *it* `c-d`\n",
                ".PP\n\\fBBold\\fR. \\fIit\\fR \\fB\\%c\\-d\\fR\n",
            ),
            (
                "[SIGNALS](SIGNALS.md)\n",
                ".PP\n\\fB\\%fcgipm\\-signals\\fR(7)\n",
            ),
            (
                "| a | b |\n|---|---|\n| `x` | y |\n",
                ".TP\n\\fB\\%x\\fR\ny\n",
            ),
            (
                "| a | b | c |\n|---|---|---|\n| x | y | z |\n",
                ".TP\nx\n\\fIb\\fR: y\n.RS\n.PP\n\\fIc\\fR: z\n.RE\n",
            ),
        ] {
            assert_eq!(rendered(text), wanted, "{text}");
        }
    }
}
