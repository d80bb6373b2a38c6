//! The house's rules, checked by machine: who imports whom, where `unsafe` may stand, what a room
//! without side effects may name, and how a file may look.

#[path = "structure/log_rule.rs"]
mod log_rule;
#[path = "structure/rules.rs"]
mod rules;
#[path = "structure/source.rs"]
mod source;

use std::path::Path;

use rules::Rule;
use source::Source;

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources = source::read(&root.join("src"));
    assert!(sources.len() > 40, "only {} sources found", sources.len());
    sources
}

fn assert_kept(rule: Rule) {
    let broken: Vec<_> = sources().iter().flatten_rule(rule);
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

trait FlattenRule {
    fn flatten_rule(self, rule: Rule) -> Vec<String>;
}

impl<'s, I: Iterator<Item = &'s Source>> FlattenRule for I {
    fn flatten_rule(self, rule: Rule) -> Vec<String> {
        self.flat_map(|source| {
            rule(source)
                .into_iter()
                .map(|(line, what)| format!("{}:{line}: {what}", source.path))
        })
        .collect()
    }
}

/// The rule finds something in bad code of that file, and nothing in good code.
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

#[test]
fn imports_run_one_way() {
    assert_kept(rules::imports);
}

#[test]
fn pure_rooms_touch_nothing() {
    assert_kept(rules::purity);
}

#[test]
fn unsafe_stands_in_two_rooms_and_says_why_it_is_sound() {
    assert_kept(rules::unsafety);
}

#[test]
fn everything_is_logged_by_the_one_log_that_never_waits() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = sources();
    for (below, folder) in [("bin", "src/bin"), ("libfcgi", "bindings/libfcgi/src")] {
        let mut others = source::read(&root.join(folder));
        assert!(others.len() > 10, "{folder}");
        for other in &mut others {
            other.path = format!("{below}/{}", other.path);
        }
        sources.append(&mut others);
    }
    let broken: Vec<_> = sources.iter().flatten_rule(log_rule::one_log);
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn the_log_rule_sees_what_writes_past_it() {
    let bad = [
        "fn f() { eprintln!(); }",
        "fn f() { x(|| std::eprint!(\"\")) }",
        "fn f() { dbg!(1); }",
        "use std::io::{self, stderr};",
        "fn f() { let _ = io::stderr().write_all(b\"\"); }",
    ];
    let good = ["fn f() { println!(); stderr::room(); log::line(Level::Info, \"\") }"];
    for file in ["server/request.rs", "bin/call.rs", "libfcgi/process.rs"] {
        assert_sees(log_rule::one_log, file, &bad, &good);
    }
}

#[test]
fn nothing_in_the_library_gives_up() {
    assert_kept(rules::no_panics);
}

#[test]
fn files_are_of_a_size_to_read_and_have_names_that_say_a_role() {
    assert_kept(rules::files);
}

#[test]
fn every_export_passes_the_boundary() {
    assert_kept(rules::boundary);
}

#[test]
fn every_export_says_what_it_returns() {
    assert_kept(rules::export_docs);
}

#[test]
fn the_import_rule_sees_every_way_to_name_a_room() {
    assert_sees(
        rules::imports,
        "wire/pairs.rs",
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
        rules::imports,
        "ffi/request.rs",
        &[
            "use crate::conn::Scope;",
            "use crate::sys::kick;",
            "use crate::pool::Pool;",
        ],
        &["use crate::server::Scope; use crate::manager::Manager; use crate::options::Opt;"],
    );
    assert_sees(
        rules::imports,
        "server/request.rs",
        &[
            "use crate::wire::Role;",
            "use crate::manager::Manager;",
            "use crate::ffi::error;",
        ],
        &["use crate::conn::Role; use crate::sys::io;"],
    );
    assert_sees(
        rules::imports,
        "sys/fd/io.rs",
        &["use crate::server::Peer;"],
        &["use crate::error::Result;"],
    );
}

#[test]
fn the_purity_rule_sees_side_effects() {
    let bad = [
        "use std::fs;",
        "use std::{fmt, net::TcpStream};",
        "use std::os::fd::AsFd;",
        "use std::time::{Duration, Instant};",
        "fn f() { std::time::SystemTime::now(); }",
        "fn f() { let _ = std::env::var(\"X\"); }",
        "fn f() { std::thread::yield_now(); }",
        "fn f() { std::process::exit(1); }",
        "use nix::unistd;",
        "fn f() { libc::getpid(); }",
        "fn f() { println!(\"x\"); }",
        "static mut X: u8 = 0;",
        "static X: AtomicU8 = AtomicU8::new(0);",
        "thread_local! { static X: u8 = 0; }",
        "fn f() { println!(\"{}\", std::env::args().count()); }",
    ];
    let good =
        ["use std::{fmt, time::Duration}; const X: u8 = 0; fn f() { std::mem::take(&mut 1); }"];
    for room in ["wire/header.rs", "conn/inbound.rs", "pool/machine.rs"] {
        assert_sees(rules::purity, room, &bad, &good);
    }
    assert_sees(
        rules::purity,
        "server/request.rs",
        &[],
        &["use std::time::Instant;"],
    );
}

#[test]
fn the_unsafe_rule_sees_the_room_and_the_missing_reason() {
    assert_sees(
        rules::unsafety,
        "server/request.rs",
        &[
            "fn f() { // SAFETY: no.\n unsafe { g() } }",
            "unsafe fn f() {}",
            "unsafe impl Send for X {}",
        ],
        &["fn f() {}", "extern \"C\" fn f() {}"],
    );
    assert_sees(
        rules::unsafety,
        "sys/fd/io.rs",
        &[
            "fn f() { unsafe { g() } }",
            "fn f() {\n // because\n unsafe { g() } }",
            "fn f() {\n // SAFETY: of another one.\n h();\n unsafe { g() } }",
            "unsafe impl Send for X {}",
        ],
        &[
            "fn f() {\n // SAFETY: so.\n unsafe { g() } }",
            "fn f() {\n // SAFETY: so,\n // and so.\n let x = h(\n unsafe { g() });\n }",
            "// SAFETY: so.\nunsafe impl Send for X {}",
        ],
    );
}

#[test]
fn the_panic_rule_sees_what_gives_up_outside_tests() {
    assert_sees(
        rules::no_panics,
        "conn/inbound.rs",
        &[
            "fn f() { x.unwrap(); }",
            "fn f() { x.expect(\"\"); }",
            "fn f() { x.unwrap_err(); }",
            "fn f() { panic!(); }",
            "fn f() { todo!() }",
            "fn f() { unimplemented!() }",
            "fn f() { unreachable!() }",
            "fn f() { println!(\"{}\", x.unwrap()) }",
        ],
        &[
            "fn f() { x.unwrap_or_default(); x.unwrap_or(1); }",
            "#[cfg(test)] mod tests { fn f() { x.unwrap(); panic!() } }",
            "#[test] fn f() { x.unwrap(); }",
            "fn f() { debug_assert!(x); }",
        ],
    );
}

#[test]
fn the_file_rule_sees_length_and_names() {
    let long = "\n".repeat(501);
    assert_sees(
        rules::files,
        "conn/inbound.rs",
        &[
            &long,
            "mod utils;",
            "mod helpers {}",
            "mod common;",
            "mod misc;",
        ],
        &["mod inbound;"],
    );
    assert_sees(rules::files, "conn/utils.rs", &[""], &[]);
}

#[test]
fn the_boundary_rule_sees_an_export_that_walks_past_it() {
    assert_sees(
        rules::boundary,
        "ffi/request.rs",
        &[
            "pub extern \"C\" fn f() -> i32 { 0 }",
            "pub extern \"C\" fn f() -> i32 { let x = g(); enter(|| x) }",
            "#[unsafe(no_mangle)] pub fn f() -> i32 { enter(|| Ok(0)) }",
            "pub unsafe extern \"C\" fn f() -> i32 { unsafe { outer(1) } }",
        ],
        &[
            "#[unsafe(no_mangle)] pub extern \"C\" fn f() -> i32 { enter(|| Ok(0)) }",
            "#[unsafe(no_mangle)] pub extern \"C\" fn f() { enter_quietly(|| 0); }",
            "#[unsafe(no_mangle)] pub extern \"C\" fn f() { static X: u8 = 0; enter(|| X) }",
            "fn through() -> i32 { enter(|| Ok(0)) }\n\
             #[unsafe(no_mangle)] pub extern \"C\" fn f() -> i32 { unsafe { through() } }",
            "fn inner() -> i32 { 0 }",
        ],
    );
}

#[test]
fn the_documentation_rule_sees_an_export_that_hides_what_it_returns() {
    assert_sees(
        rules::export_docs,
        "ffi/request.rs",
        &[
            "#[unsafe(no_mangle)] pub extern \"C\" fn f() -> i32 {}",
            "/** Does it. */ #[unsafe(no_mangle)] pub extern \"C\" fn f() -> i32 {}",
            "/** Does it.\n\n# Safety\nReturns. */ #[unsafe(no_mangle)] pub extern \"C\" fn f() -> i32 {}",
            "#[unsafe(no_mangle)] pub extern \"C\" fn f() {}",
        ],
        &[
            "/** Does it.\n\nReturns 0. */ #[unsafe(no_mangle)] pub extern \"C\" fn f() -> i32 {}",
            "/** Does it. */ #[unsafe(no_mangle)] pub extern \"C\" fn f() {}",
        ],
    );
}
