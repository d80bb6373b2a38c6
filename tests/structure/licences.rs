//! The licences of the crates: what is linked into the products has one that asks for no more than ours,
//! and what only builds or tests them is free software.

use serde_json::{Value, json};
use spdx::{Expression, LicenseReq, ParseMode};

use super::metadata::{Metadata, name_of, text};

/// What people get.
pub(crate) const PRODUCTS: [&str; 3] = ["fcgipm", "fcgipm-command", "fcgipm-libfcgi"];
/// Of crates in the products. `make build` puts their texts into THIRD-PARTY-LICENSES.
const LINKED: [&str; 2] = ["Apache-2.0", "MIT"];
/// Of crates that run in the compiler, in a test or in a benchmark, besides.
const BESIDE: [&str; 2] = ["MPL-2.0", "Unicode-3.0"];

/// Whether the crate may be used under these licences alone.
fn permits(licence: &str, allowed: &[&str]) -> Result<bool, String> {
    let expression =
        Expression::parse_mode(licence, ParseMode::LAX).map_err(|error| error.to_string())?;
    Ok(expression.evaluate(|wanted: &LicenseReq| {
        let id = wanted.license.id();
        wanted.addition.is_none() && id.is_some_and(|id| allowed.contains(&id.name))
    }))
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
            Ok(true) => None,
            Ok(false) => Some(format!(
                "{name} has the licence '{licence}', and allowed for what {} are {}: do without it, or \
                 extend tests/structure/licences.rs after reading the licence",
                if is_linked {
                    "is linked"
                } else {
                    "is not linked"
                },
                allowed.join(", ")
            )),
            Err(error) => Some(format!(
                "{name}: the licence '{licence}' is no SPDX expression: {error}"
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
        assert_eq!(permits(fine, &LINKED), Ok(true), "{fine}");
    }
    for refused in [
        "GPL-3.0-only",
        "MIT AND GPL-3.0-only",
        "Apache-2.0 WITH LLVM-exception",
        "LicenseRef-ours",
        "MPL-2.0",
    ] {
        assert_eq!(permits(refused, &LINKED), Ok(false), "{refused}");
    }
    assert!(permits("free, as you like", &LINKED).is_err());
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
