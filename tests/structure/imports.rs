//! Every import is listed in the tables of `layers.rs`.

use super::allowed::{self, Finding};
use super::layers::{PUBLIC, TABLES, Table};
use super::paths::{line, paths_outside_tests};
use super::source::{self, Source};

type Objection = (String, String);

/// The imports that are not in the table of their folder.
fn imports(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources {
        let mut object = |line: usize, objection: Option<Objection>| {
            findings.extend(objection.map(|(key, what)| Finding {
                key: format!("{} {key}", source.path),
                at: format!("{}:{line}", source.path),
                what,
            }));
        };
        object(1, place(source));
        for (span, path) in paths_outside_tests(source) {
            let objection = match &path[..] {
                [root, path @ ..] if root == "crate" => within(source, path),
                [library, layer, ..] if library == "fcgipm" => across(source, layer),
                _ => None,
            };
            object(line(span), objection);
        }
    }
    findings
}

/// Whether the file is in the table of its folder.
fn place(source: &Source) -> Option<Objection> {
    let folder = source.package.folder();
    (0..source.module.len()).find_map(|depth| {
        let folder = join(folder, &source.module[..depth]);
        let name = &source.module[depth];
        let table = table(&folder)?;
        let is_listed = table.iter().any(|(listed, _)| listed == name);
        (!is_listed).then(|| {
            let what = format!(
                "{folder}/{name} has no place: say in tests/structure/layers.rs what it may import"
            );
            ("has no place".to_owned(), what)
        })
    })
}

/// An import within a crate, by the table of the innermost folder that contains both modules. A
/// name that is not in that table is an item of the folder itself.
fn within(source: &Source, target: &[String]) -> Option<Objection> {
    let from = &source.module;
    let shared = from.iter().zip(target).take_while(|(a, b)| a == b).count();
    let folder = join(source.package.folder(), &from[..shared]);
    let table = table(&folder)?;
    // The `mod.rs` of a folder may import all of its modules. Another rule prevents circles.
    let importer = match from.get(shared) {
        Some(name) => name.as_str(),
        None if shared == 0 => "lib",
        None => return None,
    };
    let imported = target.get(shared)?;
    let allowed = table.iter().find(|(name, _)| *name == importer)?.1;
    let is_listed = |name: &str| table.iter().any(|(listed, _)| *listed == name);
    if !is_listed(imported) || allowed.contains(&imported.as_str()) {
        return None;
    }
    let what = match allowed {
        [] => format!("{folder}/{importer} imports {imported}, and may import nothing of {folder}"),
        _ => format!(
            "{folder}/{importer} imports {imported}, and may import only {}: move what it needs into one of \
             these, or pass it as a value",
            allowed.join(", "),
        ),
    };
    Some((imported.clone(), what))
}

/// An import of the library from another crate.
fn across(source: &Source, layer: &str) -> Option<Objection> {
    let (_, allowed) = PUBLIC
        .iter()
        .find(|(package, _)| *package == source.package)?;
    let what = format!(
        "{} imports fcgipm::{layer}, and may import only {}",
        source.package.folder(),
        allowed.join(", ")
    );
    (!allowed.contains(&layer)).then(|| (format!("fcgipm::{layer}"), what))
}

fn table(folder: &str) -> Option<Table> {
    let found = TABLES.iter().find(|(name, _)| *name == folder)?;
    Some(found.1)
}

fn join(folder: &str, names: &[String]) -> String {
    let mut path = folder.to_owned();
    for name in names {
        path.push('/');
        path.push_str(name);
    }
    path
}

#[test]
fn imports_follow_the_layers() {
    allowed::check("imports", &imports(&source::read_code()));
}

fn assert_sees(path: &str, bad: &[&str], good: &[&str]) {
    for text in bad {
        let found = imports(&[Source::parse(path, text)]);
        assert!(!found.is_empty(), "in {path} nothing is found in: {text}");
    }
    for text in good {
        let found = imports(&[Source::parse(path, text)]);
        assert!(found.is_empty(), "in {path} {found:?} is found in: {text}");
    }
}

#[test]
fn the_import_rule_sees_every_way_to_name_a_module() {
    assert_sees(
        "src/wire/pairs.rs",
        &[
            "use crate::conn::Inbound;",
            "use crate::{error::Error, sys};",
            "use super::super::sys::io;",
            "fn f() { crate::sys::io::log(\"\") }",
            "fn f() { println!(\"{}\", crate::sys::process::pid()) }",
            "fn f(x: crate::server::Request) {}",
            "mod inner { use super::super::super::pool::Pool; }",
        ],
        &[
            "use crate::error::Error; use super::VERSION; use crate::wire::Header;",
            "mod inner { use super::super::VERSION; }",
            "/// See [`crate::conn`].\npub(crate) fn f() {}",
            "#[cfg(test)] mod tests { use super::*; }",
        ],
    );
    assert_sees(
        "src/ffi/request.rs",
        &[
            "use crate::conn::Scope;",
            "use crate::sys::signal;",
            "use crate::pool::Pool;",
        ],
        &["use crate::server::Scope; use crate::manager::Manager; use crate::options::Opt;"],
    );
    assert_sees(
        "src/server/request.rs",
        &[
            "use crate::wire::Role;",
            "use crate::manager::Manager;",
            "use crate::ffi::error;",
        ],
        &["use crate::conn::Role; use crate::sys::io; use super::accept::Acceptor;"],
    );
    assert_sees(
        "src/server/accept/wait.rs",
        &[
            "use crate::server::exchange::Exchange;",
            "use super::super::request::Request;",
        ],
        &["use super::idle_set::IdleSet; use crate::server::connection::Connection;"],
    );
    assert_sees(
        "src/sys/fd/io.rs",
        &["use crate::server::Peer;"],
        &["use crate::error::Result;"],
    );
    assert_sees("src/novel.rs", &[""], &[]);
    assert_sees(
        "src/bin/gateway/mod.rs",
        &[
            "fn f() { crate::call::seconds(\"\") }",
            "use fcgipm::pool::Pool;",
        ],
        &["use crate::args::address::Address; use fcgipm::wire::Role;"],
    );
    assert_sees(
        "bindings/libfcgi/src/reader.rs",
        &[
            "use crate::stdio::session;",
            "use fcgipm::manager::Manager;",
        ],
        &["use crate::layout::Stream; use fcgipm::server::Scope;"],
    );
    assert_sees(
        "benches/src/peer.rs",
        &["use crate::run::Plan;"],
        &["use std::fs;"],
    );
}
