//! The pure layers: no descriptor, environment, clock or global.

use syn::spanned::Spanned as _;
use syn::visit::Visit;

use super::paths::{line, paths};
use super::source::Source;
use super::{Broken, assert_kept, assert_sees};

const PURE: [&str; 3] = ["wire", "conn", "pool"];

pub(crate) fn purity(source: &Source) -> Broken {
    if !PURE.contains(&source.layer()) {
        return Broken::new();
    }
    let mut broken = Broken::new();
    for (span, path) in paths(source) {
        let names: Vec<&str> = path.iter().map(String::as_str).collect();
        let impure = match names[..] {
            [
                "std",
                "fs" | "net" | "os" | "env" | "io" | "process" | "thread",
                ..,
            ]
            | ["std", "time", "Instant" | "SystemTime" | "*", ..]
            | ["nix" | "libc" | "parking_lot" | "once_cell", _, ..] => true,
            // A macro's name is a path of its own.
            [
                ..,
                "thread_local" | "println" | "eprintln" | "print" | "eprint" | "dbg",
            ] => true,
            _ => false,
        };
        if impure {
            broken.push((
                line(span),
                format!(
                    "a pure layer names {}: pass it in as a value",
                    names.join("::")
                ),
            ));
        }
    }
    struct Statics(Broken);
    impl<'a> Visit<'a> for Statics {
        fn visit_item_static(&mut self, item: &'a syn::ItemStatic) {
            self.0.push((
                line(item.span()),
                format!(
                    "a pure layer has the global {}: make it a part of a value",
                    item.ident
                ),
            ));
        }
    }
    let mut statics = Statics(broken);
    statics.visit_file(&source.syntax);
    statics.0
}

#[test]
fn pure_layers_have_no_side_effects() {
    assert_kept(purity);
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
    for file in [
        "src/wire/header.rs",
        "src/conn/inbound.rs",
        "src/pool/machine.rs",
    ] {
        assert_sees(purity, file, &bad, &good);
    }
    assert_sees(
        purity,
        "src/server/request.rs",
        &[],
        &["use std::time::Instant;"],
    );
}
