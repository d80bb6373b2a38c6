//! Section 3: the comments of the header. The functions of a file in `src/ffi` are one page, as they are one part of
//! the header; the page has the name of the first, and the others link to it.

use std::fs;

use crate::block::{Block, Item, paragraphs};
use crate::header::{self, Entry, Header, Kind};
use crate::inline::Inline;
use crate::page::Page;
use crate::{Content, Output, read};

/// The width of a declaration, within an indented paragraph.
const WIDTH: usize = 66;

/// The functions, constants and types of one file.
struct Group<'h> {
    /// From the file's own description.
    summary: String,
    functions: Vec<&'h Entry>,
    constants: Vec<&'h Entry>,
}

pub(crate) fn pages(date: &str) -> Result<Vec<Output>, String> {
    let header = header::parse(&read("include/fcgipm.h")?)?;
    let groups = groups(&header)?;
    let names: Vec<&str> = groups
        .iter()
        .map(|group| group.functions[0].name.as_str())
        .collect();
    let mut pages = vec![Output::from(overview(&header, &groups, date)?)];
    for group in &groups {
        let page = of_group(&header, group, &names, date);
        let first = page.name.clone();
        pages.push(page.into());
        pages.extend(group.functions.iter().skip(1).map(|function| Output {
            name: format!("{}.3", function.name),
            content: Content::LinkTo(format!("{first}.3")),
        }));
    }
    Ok(pages)
}

/// The files of `src/ffi` that have functions, in the order of the header.
fn groups(header: &Header) -> Result<Vec<Group<'_>>, String> {
    let folder = fs::read_dir("src/ffi").map_err(|error| format!("src/ffi: {error}"))?;
    let mut groups = Vec::new();
    let mut found = 0;
    for file in folder {
        let path = file.map_err(|error| format!("src/ffi: {error}"))?.path();
        let text = read(&path.to_string_lossy())?;
        let declares = |entry: &&Entry| {
            let name = &entry.name;
            match entry.kind {
                Kind::Constant => text.contains(&format!("const {name}:")),
                Kind::Function => text.contains(&format!("fn {name}(")),
                Kind::Type => false,
            }
        };
        let (functions, constants): (Vec<_>, Vec<_>) = header
            .entries
            .iter()
            .filter(declares)
            .partition(|entry| entry.kind == Kind::Function);
        if !functions.is_empty() {
            found += functions.len();
            groups.push(Group {
                summary: summary(&text),
                functions,
                constants,
            });
        }
    }
    let all = header
        .entries
        .iter()
        .filter(|entry| entry.kind == Kind::Function);
    if found != all.count() {
        return Err("src/ffi and include/fcgipm.h do not have the same functions".to_owned());
    }
    let place = |group: &Group<'_>| {
        let first = &group.functions[0].name;
        header.entries.iter().position(|entry| entry.name == *first)
    };
    groups.sort_by_key(place);
    Ok(groups)
}

/// What a file says about itself, without saying that it is for C.
fn summary(file: &str) -> String {
    let line = file
        .lines()
        .next()
        .unwrap_or_default()
        .trim_start_matches("//! ");
    let sentence = line
        .split(". ")
        .next()
        .unwrap_or(line)
        .trim_end_matches('.');
    let sentence = sentence
        .replace(", as C sees them", "")
        .replace(", as C sees it", "");
    let mut letters = sentence.chars();
    let first = letters.next().into_iter().flat_map(char::to_lowercase);
    first.chain(letters).collect()
}

fn of_group(header: &Header, group: &Group<'_>, pages: &[&str], date: &str) -> Page {
    let names: Vec<&str> = group
        .functions
        .iter()
        .map(|function| function.name.as_str())
        .collect();
    let mut page = Page::new(&names, 3, date, &group.summary);
    let mut synopsis = vec!["#include <fcgipm.h>".to_owned(), String::new()];
    for structure in structures(header, group) {
        synopsis.extend(fields(&structure.declaration));
        synopsis.push(String::new());
    }
    for function in &group.functions {
        synopsis.extend(prototype(&function.declaration));
    }
    page.section("Synopsis", &[Block::Literal(synopsis)]);

    let mut description = Vec::new();
    let mut results = Vec::new();
    for function in &group.functions {
        let call = format!("{}()", function.name);
        let blocks = paragraphs(function.about.iter().map(String::as_str));
        let is_result = |block: &Block| matches!(block, Block::Paragraph(text) if text.line().starts_with("Returns "));
        let split = blocks.iter().position(is_result).unwrap_or(blocks.len());
        let (what, result) = blocks.split_at(split);
        if !what.is_empty() {
            description.push(Block::Subsection(call.clone()));
            description.extend_from_slice(what);
        }
        if !result.is_empty() {
            results.push(Item::term(Inline::new().bold(&call), result.to_vec()));
        }
    }
    page.section("Description", &description);
    if !group.constants.is_empty() {
        let items = group.constants.iter().map(|entry| constant(entry));
        page.section("Constants", &[Block::List(items.collect())]);
    }
    page.section("Return value", &[Block::List(results)]);
    let text: Vec<_> = group
        .functions
        .iter()
        .flat_map(|function| &function.about)
        .map(String::as_str)
        .collect();
    let errors = errors(header, Some(&text.join(" ")));
    if !errors.is_empty() {
        page.section("Errors", &[Block::List(errors)]);
    }
    let mut related = vec![("fcgipm", 3)];
    related.extend(pages.iter().map(|name| (*name, 3)));
    related.extend([("fcgipm-options", 7), ("fcgipm-signals", 7)]);
    page.see_also(&related);
    page
}

fn overview(header: &Header, groups: &[Group<'_>], date: &str) -> Result<Page, String> {
    let mut page = Page::new(
        &["fcgipm"],
        3,
        date,
        "FastCGI server library and prefork process manager",
    );
    let synopsis = [
        "#include <fcgipm.h>",
        "",
        "cc app.c $(pkg-config --cflags --libs fcgipm)",
    ];
    page.section(
        "Synopsis",
        &[Block::Literal(synopsis.map(str::to_owned).to_vec())],
    );
    // The first paragraphs say which file it is, and where it comes from.
    let rules = header
        .about
        .iter()
        .skip_while(|line| !line.starts_with("Results:"));
    page.section("Description", &paragraphs(rules.map(String::as_str)));
    let parts = groups.iter().map(|group| {
        let mut names = Inline::new();
        for (position, function) in group.functions.iter().enumerate() {
            names = names
                .text(if position == 0 { "" } else { ", " })
                .reference(&function.name, 3);
        }
        let title = Inline::new().italic(&capitalised(&group.summary));
        Item::term(title, vec![Block::Paragraph(names)])
    });
    page.section("Functions", &[Block::List(parts.collect())]);
    page.section("Errors", &[Block::List(errors(header, None))]);
    page.section("Examples", &[Block::Literal(example()?)]);
    page.see_also(&[
        ("fcgipm", 1),
        ("fcgipm-forking", 7),
        ("fcgipm-options", 7),
        ("fcgipm-programs", 7),
        ("fcgipm-signals", 7),
    ]);
    Ok(page)
}

/// The structures that the functions of a group take.
fn structures<'h>(header: &'h Header, group: &Group<'_>) -> Vec<&'h Entry> {
    let takes = |entry: &&Entry| {
        let mut declarations = group
            .functions
            .iter()
            .flat_map(|function| &function.declaration);
        declarations.any(|line| line.contains(&format!("{} ", entry.name)))
    };
    let types = header
        .entries
        .iter()
        .filter(|entry| entry.kind == Kind::Type);
    // The handles have no fields that a program sees.
    types
        .filter(|entry| entry.declaration.len() > 1)
        .filter(takes)
        .collect()
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

/// The C program of the README.
fn example() -> Result<Vec<String>, String> {
    let readme = read("README.md")?;
    let program = readme
        .lines()
        .skip_while(|line| *line != "    #include <stdio.h>")
        .take_while(|line| line.is_empty() || line.starts_with("    "));
    let mut program: Vec<_> = program
        .map(|line| line.get(4..).unwrap_or("").to_owned())
        .collect();
    while program.last().is_some_and(String::is_empty) {
        program.pop();
    }
    if program.is_empty() {
        return Err("README.md: no C program that begins with #include <stdio.h>".to_owned());
    }
    Ok(program)
}

fn constant(entry: &Entry) -> Item {
    let about = paragraphs(entry.about.iter().map(String::as_str));
    Item::term(Inline::new().bold(&entry.name), about)
}

/// The errors that a text names, or all.
fn errors(header: &Header, text: Option<&str>) -> Vec<Item> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words: Option<Vec<_>> = text.map(|text| text.split(|c| !is_of_name(c)).collect());
    let is_named = |entry: &&Entry| {
        entry.name.starts_with("FCGIPM_E")
            && !entry.name.starts_with("FCGIPM_EVENT_")
            && words
                .as_ref()
                .is_none_or(|words| words.contains(&entry.name.as_str()))
    };
    let errors = header
        .entries
        .iter()
        .filter(|entry| entry.kind == Kind::Constant);
    errors.filter(is_named).map(constant).collect()
}

/// A structure without its comments, whose text is in the fields' names.
fn fields(declaration: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut in_comment = false;
    for line in declaration {
        let trimmed = line.trim();
        in_comment |= trimmed.starts_with("/**");
        if !in_comment {
            lines.push(line.replacen("  ", "    ", 1));
        }
        in_comment &= !trimmed.ends_with("*/");
    }
    lines
}

/// A declaration on lines of this page's width.
fn prototype(declaration: &[String]) -> Vec<String> {
    let words: Vec<_> = declaration.iter().map(|line| line.trim()).collect();
    let text = words.join(" ");
    let mut lines = vec![String::new()];
    for (position, argument) in text.split(", ").enumerate() {
        let last = lines.len() - 1;
        let separator = if position == 0 { "" } else { ", " };
        if lines[last].len() + separator.len() + argument.len() > WIDTH && position > 0 {
            lines[last].push(',');
            lines.push(format!("    {argument}"));
        } else {
            lines[last].push_str(separator);
            lines[last].push_str(argument);
        }
    }
    lines
}
