//! The rules of the source tree: imports, `unsafe`, the purity of layers, the shape of types and
//! files, and the words of all texts.
//!
//! Each rule has its own file, with a test that the rule finds violations. `allowed.rs` explains
//! the lists of exceptions.

mod allowed;
mod circles;
mod dependencies;
mod exports;
mod files;
mod imports;
mod language;
mod layers;
mod licences;
mod lock_file;
mod log;
mod log_lines;
mod metadata;
mod owned_fds;
mod panics;
mod paths;
mod purity;
mod source;
mod types;
mod unsafety;
mod words;

use source::{Package, Source};

/// The lines of a file that violate a rule, and the reason for each.
type Broken = Vec<(usize, String)>;
type Rule = fn(&Source) -> Broken;

/// Asserts that all sources follow a rule.
fn assert_kept(rule: Rule) {
    assert_kept_by(&source::read(Package::Library), rule);
}

fn assert_kept_by(sources: &[Source], rule: Rule) {
    let broken: Vec<_> = sources
        .iter()
        .flat_map(|source| {
            rule(source)
                .into_iter()
                .map(|(line, what)| format!("{}:{line}: {what}", source.path))
        })
        .collect();
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

/// Asserts that a rule finds something in each bad text, and nothing in the good ones.
fn assert_sees(rule: Rule, path: &str, bad: &[&str], good: &[&str]) {
    for text in bad {
        let found = rule(&Source::parse(path, text));
        assert!(!found.is_empty(), "in {path} nothing is found in: {text}");
    }
    for text in good {
        let found = rule(&Source::parse(path, text));
        assert!(found.is_empty(), "in {path} {found:?} is found in: {text}");
    }
}
