//! Exceptions that are tolerated for now: a list for each rule in `allowed/`, which may only
//! shrink.
//!
//! A line is `KEY COUNT`. The counts must be exact: additional findings fail, and so do entries
//! that are no longer needed. `SHRINK=1 cargo test --test structure` rewrites each list that does
//! not grow in total. An empty list has no file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{env, fs};

use super::source::root;

/// One violation of a rule.
#[derive(Debug)]
pub(crate) struct Finding {
    /// The key in the list of exceptions: a file, unless the rule has another one.
    pub(crate) key: String,
    /// `FILE:LINE`.
    pub(crate) at: String,
    /// What is wrong, and where it belongs.
    pub(crate) what: String,
}

type Counts = BTreeMap<String, usize>;

/// Fails if a rule finds more than its list permits, or less.
pub(crate) fn check(rule: &str, findings: &[Finding]) {
    let file = root().join(format!("tests/structure/allowed/{rule}.txt"));
    let allowed = parse(&fs::read_to_string(&file).unwrap_or_default());
    for finding in findings {
        println!("{}: {}", finding.at, finding.what);
    }
    println!("{rule}: {} left", findings.len());
    let counts = count(findings);
    if env::var_os("SHRINK").is_some() && sum(&counts) <= sum(&allowed) {
        return write(&file, &counts);
    }
    let complaint = compare(rule, findings, &counts, &allowed);
    assert!(complaint.is_empty(), "\n{complaint}");
}

fn count(findings: &[Finding]) -> Counts {
    let mut counts = Counts::new();
    for finding in findings {
        *counts.entry(finding.key.clone()).or_default() += 1;
    }
    counts
}

fn sum(counts: &Counts) -> usize {
    counts.values().sum()
}

fn parse(list: &str) -> Counts {
    let mut counts = Counts::new();
    for line in list.lines() {
        let (key, count) = line
            .rsplit_once(' ')
            .and_then(|(key, count)| Some((key, count.parse().ok()?)))
            .unwrap_or_else(|| panic!("not KEY COUNT: {line}"));
        // A merge may leave two lines for a key. With the larger count, the test requests to shrink
        // it.
        let entry: &mut usize = counts.entry(key.to_owned()).or_default();
        *entry = (*entry).max(count);
    }
    counts
}

fn write(file: &PathBuf, counts: &Counts) {
    if counts.is_empty() {
        return drop(fs::remove_file(file));
    }
    let lines: String = counts
        .iter()
        .map(|(key, count)| format!("{key} {count}\n"))
        .collect();
    fs::write(file, lines).unwrap();
}

fn compare(rule: &str, findings: &[Finding], counts: &Counts, allowed: &Counts) -> String {
    let limit = |key: &str| allowed.get(key).copied().unwrap_or(0);
    let mut complaint = String::new();
    for (key, count) in counts.iter().filter(|(key, count)| **count > limit(key)) {
        for finding in findings.iter().filter(|finding| finding.key == *key) {
            complaint += &format!("{}: {}\n", finding.at, finding.what);
        }
        if limit(key) > 0 {
            let limit = limit(key);
            complaint += &format!("  {count} of these, and allowed/{rule}.txt permits {limit}\n");
        }
    }
    let is_less = |key: &str, limit: usize| counts.get(key).is_none_or(|count| *count < limit);
    let stale: Vec<_> = allowed
        .iter()
        .filter(|(key, limit)| is_less(key, **limit))
        .map(|(key, _)| key.as_str())
        .collect();
    if !stale.is_empty() {
        complaint += &format!(
            "tests/structure/allowed/{rule}.txt permits more than there is, of: {}\n  \
             shorten it with: SHRINK=1 cargo test --locked --test structure\n",
            stale.join(", "),
        );
    }
    if !complaint.is_empty() {
        complaint += &format!(
            "see everything that is left with: cargo test --locked --test structure {rule} -- --nocapture\n"
        );
    }
    complaint
}

#[test]
fn a_list_fails_when_it_permits_less_or_more_than_there_is() {
    let finding = |key: &str| Finding {
        key: key.to_owned(),
        at: "src/a.rs:1".to_owned(),
        what: "is wrong".to_owned(),
    };
    let found = [finding("a"), finding("a"), finding("b")];
    let complaint = |list: &str| compare("rule", &found, &count(&found), &parse(list));
    assert_eq!(complaint("a 2\nb 1\n"), "");
    assert!(complaint("a 2\n").starts_with("src/a.rs:1: is wrong\n"));
    assert!(complaint("a 1\nb 1\n").contains("2 of these, and allowed/rule.txt permits 1"));
    for stale in ["a 3\nb 1\n", "a 2\na 3\nb 1\n", "a 2\nb 1\nc 1\n"] {
        assert!(complaint(stale).contains("SHRINK=1"), "{stale}");
    }
}
