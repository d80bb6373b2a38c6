//! Names and phrases that are no longer used, in code and in all texts.
//!
//! `words.txt` lists them with replacements. Words are searched for in a text without comment markers
//! and with identifiers split into words, so `stops_gently`, `StopsGently` and a phrase on two lines
//! of a comment are all found. Names are whole identifiers.

use regex::{Regex, RegexBuilder};

use super::allowed::{self, Finding};
use super::source;

/// Texts beside the [folders with code](source::FOLDERS).
const TEXTS: [&str; 6] = [
    "docs",
    ".ci",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
];
const FILES: [&str; 3] = ["Makefile", "Cargo.toml", "build.rs"];

struct List {
    words: Vec<Entry>,
    names: Vec<Entry>,
    /// Parts of paths, and the patterns that are allowed there.
    exceptions: Vec<(String, String)>,
    any_word: Regex,
    any_name: Regex,
}

struct Entry {
    pattern: String,
    whole: Regex,
    instead: String,
}

fn list(text: &str) -> List {
    let (mut words, mut names) = (Vec::new(), Vec::new());
    let (mut fine, mut exceptions) = (Vec::new(), Vec::new());
    let mut section = "";
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if line.starts_with('[') {
            section = line;
            continue;
        }
        if section == "[fine]" {
            fine.push(line);
            continue;
        }
        let (left, right) = line
            .split_once(" | ")
            .unwrap_or_else(|| panic!("no ` | `: {line}"));
        let (left, right) = (left.trim(), right.trim().to_owned());
        let entry = || Entry {
            pattern: left.to_owned(),
            whole: regex(&format!("^(?:{left})$")),
            instead: right.clone(),
        };
        match section {
            "[words]" => words.push(entry()),
            "[names]" => names.push(entry()),
            "[except]" => exceptions.push((left.to_owned(), right)),
            other => panic!("section {other}"),
        }
    }
    List {
        // These phrases come first, so that they match instead of the words in them.
        any_word: any(fine.into_iter().chain(patterns(&words))),
        any_name: any(patterns(&names)),
        words,
        names,
        exceptions,
    }
}

fn patterns(entries: &[Entry]) -> impl Iterator<Item = &str> {
    entries.iter().map(|entry| entry.pattern.as_str())
}

fn any<'p>(patterns: impl Iterator<Item = &'p str>) -> Regex {
    let patterns: Vec<_> = patterns.collect();
    regex(&format!(r"\b(?:{})\b", patterns.join("|")))
}

fn regex(pattern: &str) -> Regex {
    let built = RegexBuilder::new(pattern)
        .unicode(false)
        .size_limit(1 << 25)
        .build();
    built.unwrap_or_else(|error| panic!("{error}"))
}

/// A text in lower case on one line, without comment markers and with identifiers split into words,
/// and the position of each original line in it.
fn flatten(text: &str) -> (String, Vec<usize>) {
    let (mut flat, mut starts) = (String::new(), Vec::new());
    for line in text.lines() {
        starts.push(flat.len());
        let line = line.trim_start().trim_end_matches('\\');
        let line = line.trim_start_matches(['/', '!', '#', '*', '>']).trim();
        let mut before = ' ';
        for char in line.chars() {
            if char.is_uppercase() && before.is_lowercase() {
                flat.push(' ');
            }
            match char {
                '_' | '\u{2019}' => flat.push(if char == '_' { ' ' } else { '\'' }),
                char => flat.extend(char.to_lowercase()),
            }
            before = char;
        }
        flat.push(' ');
    }
    (flat, starts)
}

/// The old words of a text.
fn old_words(list: &List, path: &str, text: &str) -> Vec<Finding> {
    let (flat, starts) = flatten(text);
    let in_flat = |at: usize| starts.partition_point(|start| *start <= at);
    let in_text = |at: usize| text[..at].matches('\n').count() + 1;
    let words = list
        .any_word
        .find_iter(&flat)
        .map(|found| (in_flat(found.start()), found.as_str(), &list.words));
    let names = list
        .any_name
        .find_iter(text)
        .map(|found| (in_text(found.start()), found.as_str(), &list.names));
    let mut findings = Vec::new();
    for (line, found, entries) in words.chain(names) {
        let Some(entry) = entries.iter().find(|entry| entry.whole.is_match(found)) else {
            continue;
        };
        let is_excepted =
            |(place, pattern): &(String, String)| path.contains(place) && *pattern == entry.pattern;
        if !list.exceptions.iter().any(is_excepted) {
            findings.push(Finding {
                key: path.to_owned(),
                at: format!("{path}:{line}"),
                what: format!("\"{found}\": write {}", entry.instead),
            });
        }
    }
    findings.sort_by_key(|finding| {
        finding
            .at
            .rsplit(':')
            .next()
            .and_then(|line| line.parse::<usize>().ok())
    });
    findings
}

fn is_text(path: &str) -> bool {
    let is_own =
        path.starts_with("tests/structure/words") || path.starts_with("tests/structure/allowed/");
    let is_binary = [".svg", ".png", ".lock", ".map", ".bin"]
        .iter()
        .any(|end| path.ends_with(end));
    !is_own && !is_binary
}

#[test]
fn words_are_standard_terms() {
    let list = list(&source::text("tests/structure/words.txt"));
    let mut findings = Vec::new();
    for path in source::files(
        &[&source::FOLDERS[..], &TEXTS[..], &FILES[..]].concat(),
        is_text,
    ) {
        findings.extend(old_words(&list, &path, &source::text(&path)));
    }
    allowed::check("words", &findings);
}

#[test]
fn the_word_rule_sees_identifiers_and_broken_lines() {
    let list = list(
        "[words]\n\
         quaintly | oddly\n\
         sets? apart | park\n\
         [names]\n\
         is_quaint | is_odd\n\
         [fine]\n\
         very quaintly\n\
         [except]\n\
         Compat | quaintly\n",
    );
    let found = |path: &str, text: &str| -> Vec<String> {
        let findings = old_words(&list, path, text).into_iter();
        findings.map(|finding| finding.at).collect()
    };
    for text in [
        "Stops Quaintly.",
        "fn stops_quaintly() {}",
        "struct StopsQuaintly;",
        "/// What it sets\n/// apart is here.",
        "\"it sets \\\n   apart\"",
        "if is_quaint {}",
        "very quaintly, quaintly",
    ] {
        assert_eq!(found("src/a.rs", text), ["src/a.rs:1"], "{text}");
    }
    assert_eq!(
        found("src/a.rs", "x\n# quaintly\n\nis_quaint quaintly"),
        ["src/a.rs:2", "src/a.rs:4", "src/a.rs:4"]
    );
    for text in [
        "quaint",
        "set apartments",
        "is_quainter",
        "IS_QUAINT",
        "very quaintly",
    ] {
        assert!(found("src/a.rs", text).is_empty(), "{text}");
    }
    assert!(found("bindings/perl/lib/FCGIPM/Compat.pm", "quaintly").is_empty());
}
