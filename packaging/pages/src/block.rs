//! What a page consists of.

use crate::inline::Inline;

#[derive(Clone, Debug)]
pub(crate) enum Block {
    Section(String),
    Subsection(String),
    Paragraph(Inline),
    /// Lines as they are.
    Literal(Vec<String>),
    List(Vec<Item>),
}

#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) tag: Tag,
    pub(crate) body: Vec<Block>,
}

#[derive(Clone, Debug)]
pub(crate) enum Tag {
    Bullet,
    Number(u64),
    Term(Inline),
}

impl Block {
    pub(crate) fn text(text: &str) -> Self {
        Self::Paragraph(Inline::new().prose(text))
    }
}

impl Item {
    pub(crate) fn term(term: Inline, body: Vec<Block>) -> Self {
        Self {
            tag: Tag::Term(term),
            body,
        }
    }
}

/// Plain text as the comments of the header and the help have it: paragraphs are separated by empty lines, and what
/// is indented is literal.
pub(crate) fn paragraphs<'t>(lines: impl IntoIterator<Item = &'t str>) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut running: Vec<&str> = Vec::new();
    for line in lines.into_iter().chain([""]) {
        let changes = running
            .last()
            .is_some_and(|last| is_literal(last) != is_literal(line));
        if line.trim().is_empty() || changes {
            blocks.extend(block(&running));
            running.clear();
        }
        if !line.trim().is_empty() {
            running.push(line);
        }
    }
    blocks
}

fn is_literal(line: &str) -> bool {
    line.starts_with("  ")
}

fn block(lines: &[&str]) -> Option<Block> {
    let first = lines.first()?;
    if !is_literal(first) {
        return Some(Block::text(&lines.join(" ")));
    }
    let indent = |line: &&str| line.len() - line.trim_start().len();
    let common = lines.iter().map(indent).min().unwrap_or(0);
    let cut = lines.iter().map(|line| line[common..].to_owned());
    Some(Block::Literal(cut.collect()))
}
