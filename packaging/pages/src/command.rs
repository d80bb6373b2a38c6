//! Section 1: the command and its subcommands, as clap has them.

use clap::{Arg, Command};

use crate::block::{Block, Item, paragraphs};
use crate::inline::Inline;
use crate::page::Page;

/// Pages that belong to every subcommand.
const RELATED: [(&str, u8); 6] = [
    ("fcgipm", 1),
    ("fcgipm-run", 1),
    ("fcgipm-status", 1),
    ("fcgipm.toml", 5),
    ("fcgipm-options", 7),
    ("fcgipm-signals", 7),
];

pub(crate) fn pages(command: &Command, date: &str) -> Vec<Page> {
    let mut pages = vec![overview(command, date)];
    pages.extend(command.get_subcommands().map(|tool| of_tool(tool, date)));
    pages
}

fn overview(command: &Command, date: &str) -> Page {
    let whole = about(command);
    let summary = whole
        .split_once(": ")
        .map_or(whole.as_str(), |(_, what)| what);
    let mut page = Page::new(&["fcgipm"], 1, date, summary);
    page.section("Synopsis", &[synopsis(command)]);
    page.section("Description", &description(command));
    let tools = command.get_subcommands().map(|tool| {
        let page = format!("fcgipm-{}", tool.get_name());
        let body = vec![Block::text(&format!("{}.", about(tool)))];
        Item::term(Inline::new().reference(&page, 1), body)
    });
    page.section("Commands", &[Block::List(tools.collect())]);
    options(&mut page, command);
    let tools: Vec<_> = command
        .get_subcommands()
        .map(|tool| format!("fcgipm-{}", tool.get_name()))
        .collect();
    let mut related: Vec<(&str, u8)> = tools.iter().map(|name| (name.as_str(), 1)).collect();
    related.extend([
        ("fcgipm", 3),
        ("fcgipm.toml", 5),
        ("fcgipm-options", 7),
        ("fcgipm-programs", 7),
        ("fcgipm-signals", 7),
    ]);
    page.see_also(&related);
    page
}

fn of_tool(tool: &Command, date: &str) -> Page {
    let name = format!("fcgipm-{}", tool.get_name());
    let mut page = Page::new(&[&name], 1, date, &lowered(&about(tool)));
    page.section("Synopsis", &[synopsis(tool)]);
    page.section("Description", &description(tool));
    options(&mut page, tool);
    if let Some(help) = tool.get_after_help() {
        after(&mut page, &help.to_string());
    }
    page.see_also(&RELATED);
    page
}

fn about(command: &Command) -> String {
    let text = command.get_about().map(ToString::to_string);
    text.unwrap_or_default().trim_end_matches('.').to_owned()
}

/// As it is written in the middle of a line. The first word is a verb.
fn lowered(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) if !text.starts_with("HTTP") => first.to_lowercase().chain(letters).collect(),
        Some(_) | None => text.to_owned(),
    }
}

/// The usage, with the placeholders in italics.
fn synopsis(command: &Command) -> Block {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    let mut line = Inline::new();
    for (position, word) in usage.split_whitespace().enumerate() {
        line = line.text(if position == 0 { "" } else { " " });
        line = placeholders(line, word);
    }
    Block::Paragraph(line)
}

/// One word of the usage, such as `[<PROGRAM>...]`: what is between angle brackets, or in capitals, is a placeholder.
fn placeholders(line: Inline, word: &str) -> Inline {
    let is_mark = |c: char| matches!(c, '<' | '>' | '[' | ']' | '.');
    let start = word.len() - word.trim_start_matches(is_mark).len();
    let core = word[start..].trim_end_matches(is_mark);
    let without_angles = |text: &str| text.replace(['<', '>'], "");
    let line = line.text(&without_angles(&word[..start]));
    let is_placeholder = word.contains('<') || core.chars().all(|c| c.is_ascii_uppercase());
    let line = if is_placeholder && !core.is_empty() {
        line.italic(core)
    } else {
        line.bold(core)
    };
    line.text(&without_angles(&word[start + core.len()..]))
}

fn description(command: &Command) -> Vec<Block> {
    let long = command.get_long_about().map(ToString::to_string);
    let Some(long) = long else {
        return vec![Block::text(&format!("{}.", about(command)))];
    };
    let mut blocks = paragraphs(long.lines());
    // The first is the summary, which the page begins with.
    if blocks.len() > 1 {
        blocks.remove(0);
    }
    blocks
}

/// The arguments and options, by their headings.
fn options(page: &mut Page, command: &Command) {
    let shown: Vec<&Arg> = command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set())
        .collect();
    let positional: Vec<Item> = shown
        .iter()
        .filter(|arg| arg.is_positional())
        .map(|arg| item(arg))
        .collect();
    if !positional.is_empty() {
        page.section("Arguments", &[Block::List(positional)]);
    }
    let mut headings: Vec<Option<&str>> = Vec::new();
    for arg in shown.iter().filter(|arg| !arg.is_positional()) {
        let heading = arg.get_help_heading();
        if !headings.contains(&heading) {
            headings.push(heading);
        }
    }
    headings.sort_by_key(Option::is_some);
    for heading in headings {
        let of_heading = |arg: &&&Arg| !arg.is_positional() && arg.get_help_heading() == heading;
        let items = shown
            .iter()
            .filter(of_heading)
            .map(|arg| item(arg))
            .collect();
        page.section(heading.unwrap_or("Options"), &[Block::List(items)]);
    }
}

fn item(arg: &Arg) -> Item {
    let mut tag = Inline::new();
    if let Some(short) = arg.get_short() {
        tag = tag.bold(&format!("-{short}"));
    }
    if let Some(long) = arg.get_long() {
        tag = tag.text(if arg.get_short().is_some() { ", " } else { "" });
        tag = tag.bold(&format!("--{long}"));
    }
    let takes_value = arg.get_action().takes_values();
    let values: Vec<_> = arg.get_value_names().unwrap_or_default().iter().collect();
    if takes_value && !values.is_empty() {
        let named = values
            .iter()
            .map(|name| name.as_str())
            .collect::<Vec<_>>()
            .join(" ");
        let is_optional = arg
            .get_num_args()
            .is_some_and(|count| count.min_values() == 0);
        tag = match (arg.is_positional(), arg.is_require_equals_set()) {
            (true, _) => tag.italic(&named),
            (false, true) if is_optional => tag.text("[=").italic(&named).text("]"),
            (false, true) => tag.text("=").italic(&named),
            (false, false) => tag.text(" ").italic(&named),
        };
        if arg
            .get_num_args()
            .is_some_and(|count| count.max_values() > 1)
        {
            tag = tag.text("...");
        }
    }
    let help = arg.get_long_help().or_else(|| arg.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    let mut lines: Vec<String> = help.lines().map(str::to_owned).collect();
    // In the form that the command itself prints.
    let mut note = |title: &str, values: Vec<String>, separator: &str| {
        let known = takes_value && values.iter().any(|value| !value.is_empty());
        if let (Some(line), true) = (lines.last_mut(), known) {
            line.push_str(&format!(" [{title}: {}]", values.join(separator)));
        }
    };
    let values = arg.get_possible_values();
    let values = values.iter().map(|value| value.get_name().to_owned());
    note("possible values", values.collect(), ", ");
    let defaults = arg.get_default_values().iter();
    let defaults = defaults.map(|value| value.to_string_lossy().into_owned());
    note("default", defaults.collect(), " ");
    let body = paragraphs(lines.iter().map(String::as_str));
    Item::term(tag, body)
}

/// The text after the options: a short line that ends with a colon is the heading of what follows.
fn after(page: &mut Page, help: &str) {
    let mut parts: Vec<(&str, Vec<&str>)> = vec![("Notes", Vec::new())];
    for line in help.lines() {
        let is_heading =
            line.ends_with(':') && !line.starts_with(' ') && line.split(' ').count() <= 3;
        if is_heading {
            parts.push((line.trim_end_matches(':'), Vec::new()));
        } else if let Some((_, lines)) = parts.last_mut() {
            lines.push(line);
        }
    }
    for (title, lines) in parts {
        let mut blocks = Vec::new();
        for block in paragraphs(lines) {
            blocks.push(match block {
                Block::Literal(lines) => listed(&lines).unwrap_or(Block::Literal(lines)),
                other => other,
            });
        }
        page.section(title, &blocks);
    }
}

/// Lines of terms, each with its meaning in a second column.
fn listed(lines: &[String]) -> Option<Block> {
    let mut items: Vec<(String, String)> = Vec::new();
    for line in lines {
        if line.starts_with(' ') {
            let (_, meaning) = items.last_mut()?;
            meaning.push(' ');
            meaning.push_str(line.trim());
            continue;
        }
        let (term, meaning) = line.split_once("  ")?;
        items.push((term.to_owned(), meaning.trim().to_owned()));
    }
    let items = items
        .iter()
        .map(|(term, meaning)| Item::term(Inline::new().bold(term), vec![Block::text(meaning)]));
    Some(Block::List(items.collect()))
}
