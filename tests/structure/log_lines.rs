//! Operators find each line of the log in docs/LOG.md.

use proc_macro2::{Delimiter, Literal, TokenStream, TokenTree};

use super::paths::line;
use super::source::{self, Package, Source};
use super::{Broken, assert_kept_by, assert_sees};

/// The texts of all events.
const TEXTS: &str = "src/manager/event/texts.rs";
/// Shorter parts of a text, such as "reload failed: ", say too little to look for.
const SHORTEST: usize = 8;

fn documented(source: &Source) -> Broken {
    if !source.path.starts_with("src/manager/") {
        return Broken::new();
    }
    let page = one_line(&source::text("docs/LOG.md"));
    let tokens = source.lines.join("\n").parse().unwrap();
    let mut found = Vec::new();
    literals(tokens, source.path == TEXTS, &mut found);
    let missing = found.into_iter().filter_map(|literal| {
        let text: syn::LitStr = syn::parse_str(&literal.to_string()).ok()?;
        let text = one_line(&text.value());
        let part = parts(&text).find(|part| !page.contains(part))?.to_owned();
        Some((
            line(literal.span()),
            format!("\"{part}\" is not in docs/LOG.md"),
        ))
    });
    missing.collect()
}

/// The literals of an event's text; `is_text`: all of these are.
fn literals(tokens: TokenStream, is_text: bool, found: &mut Vec<Literal>) {
    let mut last = [String::new(), String::new()];
    for token in tokens {
        match token {
            // An attribute, such as a comment.
            TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket => {}
            TokenTree::Group(group) => {
                let [event, kind] = &last;
                let is_event = event == "Event" && (kind == "warning" || kind == "notice");
                literals(group.stream(), is_text || is_event, found);
            }
            TokenTree::Ident(ident) => {
                last.swap(0, 1);
                last[1] = ident.to_string();
            }
            TokenTree::Literal(literal) if is_text => found.push(literal),
            TokenTree::Literal(_) | TokenTree::Punct(_) => {}
        }
    }
}

/// What is the same in each line.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split('{')
        .enumerate()
        .map(|(place, part)| match part.split_once('}') {
            Some((_, rest)) if place > 0 => rest,
            _ => part,
        })
        .map(str::trim)
        .filter(|part| part.len() >= SHORTEST)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn each_line_of_an_event_is_documented() {
    assert_kept_by(&source::read(Package::Library), documented);
}

#[test]
fn the_rule_of_log_lines_sees_an_undocumented_one() {
    let bad = [
        "fn f() { x(Event::warning(format!(\"the moon is {phase}\"))) }",
        "fn f() { x(Event::notice(\"something is otherwise\")) }",
    ];
    let good = [
        "fn f() { x(Event::notice(\"reload done\")) }",
        "fn f() { x(Error::new(\"something is otherwise\")) }",
    ];
    assert_sees(documented, "src/manager/setup.rs", &bad, &good);
}
