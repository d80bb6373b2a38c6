//! The licences of the crates: what is linked into the products has one that asks for no more than ours,
//! and what only builds or tests them is free software.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::metadata::{Metadata, name_of, text};

/// What people get.
pub(crate) const PRODUCTS: [&str; 3] = ["fcgipm", "fcgipm-command", "fcgipm-libfcgi"];
/// Of crates in the products. `make build` puts their texts into THIRD-PARTY-LICENSES.
const LINKED: [&str; 2] = ["Apache-2.0", "MIT"];
/// Of crates that run in the compiler, in a test or in a benchmark, besides.
const BESIDE: [&str; 2] = ["MPL-2.0", "Unicode-3.0"];

/// Whether the crate may be used under these licences alone. The expression is one of SPDX, or old-fashioned
/// with a slash for OR. `None`: it is neither.
fn permits(expression: &str, allowed: &[&str]) -> Option<bool> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ");
    let spaced = spaced.replace('/', " OR ");
    let mut words: VecDeque<_> = spaced.split_whitespace().collect();
    let permitted = any(&mut words, allowed)?;
    words.is_empty().then_some(permitted)
}

fn any(words: &mut VecDeque<&str>, allowed: &[&str]) -> Option<bool> {
    let mut permitted = all(words, allowed)?;
    while takes(words, "OR") {
        permitted |= all(words, allowed)?;
    }
    Some(permitted)
}

fn all(words: &mut VecDeque<&str>, allowed: &[&str]) -> Option<bool> {
    let mut permitted = one(words, allowed)?;
    while takes(words, "AND") {
        permitted &= one(words, allowed)?;
    }
    Some(permitted)
}

fn one(words: &mut VecDeque<&str>, allowed: &[&str]) -> Option<bool> {
    if takes(words, "(") {
        let permitted = any(words, allowed)?;
        return takes(words, ")").then_some(permitted);
    }
    let name = words
        .pop_front()
        .filter(|name| !["OR", "AND", "WITH", ")"].contains(name))?;
    if takes(words, "WITH") {
        return words.pop_front().map(|_| false);
    }
    Some(allowed.contains(&name))
}

/// Takes this word, if it is the next one.
fn takes(words: &mut VecDeque<&str>, word: &str) -> bool {
    let is_next = words.front() == Some(&word);
    if is_next {
        words.pop_front();
    }
    is_next
}

fn refused(metadata: &Metadata, products: &[&str]) -> Vec<String> {
    let linked = metadata.linked_into(products);
    let complaint = |package: &Value| {
        let name = name_of(package);
        let Some(licence) = package["license"].as_str() else {
            return Some(format!("{name} does not state its licence: do without it"));
        };
        let is_linked = linked.contains(&text(package, "id"));
        let beside = if is_linked { &[][..] } else { &BESIDE };
        let allowed = [&LINKED[..], beside].concat();
        match permits(licence, &allowed) {
            Some(true) => None,
            Some(false) => Some(format!(
                "{name} has the licence '{licence}', and allowed for what {} are {}: do without it, or \
                 extend tests/structure/licences.rs after reading the licence",
                if is_linked {
                    "is linked"
                } else {
                    "is not linked"
                },
                allowed.join(", ")
            )),
            None => Some(format!(
                "{name}: the licence '{licence}' is no SPDX expression"
            )),
        }
    };
    metadata.packages.iter().filter_map(complaint).collect()
}

#[test]
fn crates_have_licences_that_ours_permits() {
    let refused = refused(&Metadata::read(), &PRODUCTS);
    assert!(refused.is_empty(), "\n{}", refused.join("\n"));
}

#[test]
fn the_rule_about_licences_reads_expressions() {
    for fine in [
        "MIT",
        "MIT/Apache-2.0",
        "Unlicense OR MIT",
        "GPL-3.0-only OR (MIT AND Apache-2.0)",
    ] {
        assert_eq!(permits(fine, &LINKED), Some(true), "{fine}");
    }
    for refused in [
        "GPL-3.0-only",
        "MIT AND GPL-3.0-only",
        "Apache-2.0 WITH LLVM-exception",
        "LicenseRef-ours",
        "MPL-2.0",
    ] {
        assert_eq!(permits(refused, &LINKED), Some(false), "{refused}");
    }
    for broken in [
        "free, as you like",
        "MIT OR",
        "(MIT",
        "MIT)",
        "AND MIT",
        "MIT WITH",
        "",
    ] {
        assert_eq!(permits(broken, &LINKED), None, "{broken}");
    }
}

#[test]
fn the_rule_about_licences_sees_what_is_linked() {
    let package = |id: &str, licence: Value, kind: &str| json!({ "id": id, "name": id, "version": "1.0.0", "license": licence, "targets": [{ "kind": [kind] }] });
    let depends = |on: &str, kind: Value| json!({ "pkg": on, "dep_kinds": [{ "kind": kind }] });
    let found = |licence: &str, kind: Value, target: &str| {
        let metadata = Metadata::parse(json!({
            "packages": [package("ours", "MIT".into(), "lib"), package("a", licence.into(), target)],
            "resolve": { "nodes": [
                { "id": "ours", "deps": [depends("a", kind)] },
                { "id": "a", "deps": [] },
            ] },
        }));
        refused(&metadata, &["ours"]).len()
    };
    assert_eq!(found("MPL-2.0", Value::Null, "lib"), 1);
    assert_eq!(found("MPL-2.0", Value::Null, "proc-macro"), 0);
    assert_eq!(found("MPL-2.0", "build".into(), "lib"), 0);
    assert_eq!(found("GPL-2.0-only", "dev".into(), "lib"), 1);
    assert_eq!(found("MIT", Value::Null, "lib"), 0);
}
