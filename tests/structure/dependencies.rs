//! Each crate of the lock file must build with `rust-version`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::metadata::{Metadata, name_of};

/// Crates that do not state which compiler they need, one a line. That each builds with `rust-version`
/// was tried with that compiler, which is to be repeated for a new version of one.
const UNSTATED: &str = include_str!("unstated.txt");

/// `1.85` and `1.85.0` are the same.
fn parsed(version: &str) -> Vec<u64> {
    let numbers = version.split('.').map(|part| part.parse().unwrap());
    numbers.chain([0, 0]).take(3).collect()
}

/// The crates that need a newer compiler than `oldest`, or that do not say what they need.
fn too_new(packages: &[Value], oldest: &str, unstated: &[&str]) -> Vec<String> {
    let complaint = |package: &Value| {
        let name = name_of(package);
        match package["rust_version"].as_str() {
            Some(needs) if parsed(needs) > parsed(oldest) => Some(format!(
                "{name} needs Rust {needs}, and rust-version is {oldest}: pin an older one with \
                 `cargo update --precise`, or do without"
            )),
            None if !unstated.contains(&&*name) => Some(format!(
                "{name} does not state which Rust it needs: build with Rust {oldest}, and add it to \
                 tests/structure/unstated.txt"
            )),
            Some(_) | None => None,
        }
    };
    packages.iter().filter_map(complaint).collect()
}

#[test]
fn dependencies_build_with_the_oldest_supported_compiler() {
    let packages = Metadata::read().packages;
    let unstated: Vec<_> = UNSTATED.lines().collect();
    let broken = too_new(&packages, env!("CARGO_PKG_RUST_VERSION"), &unstated);
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
    let names: BTreeSet<_> = packages.iter().map(name_of).collect();
    let gone: Vec<_> = unstated
        .iter()
        .filter(|name| !names.contains(**name))
        .collect();
    assert!(
        gone.is_empty(),
        "no longer in the lock file: remove {gone:?} from unstated.txt"
    );
}

#[test]
fn the_rule_about_dependencies_compares_versions() {
    let package = |rust_version: Value| serde_json::json!({ "name": "a", "version": "0.1.0", "rust_version": rust_version });
    let found =
        |rust_version, unstated: &[&str]| too_new(&[package(rust_version)], "1.85", unstated).len();
    for fine in ["1.85", "1.85.0", "1.9", "1.84.1", "1"] {
        assert_eq!(found(fine.into(), &[]), 0, "{fine}");
    }
    for newer in ["1.85.1", "1.88", "1.100.0", "2"] {
        assert_eq!(found(newer.into(), &["a 0.1.0"]), 1, "{newer}");
    }
    assert_eq!(found(Value::Null, &["a 0.2.0"]), 1);
    assert_eq!(found(Value::Null, &["a 0.1.0"]), 0);
}
