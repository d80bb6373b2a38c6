//! Only the log writes to standard error.

use super::paths::{line, paths};
use super::source::{self, Package, Source};
use super::{Broken, assert_kept_by, assert_sees};

/// Other ways to write to standard error wait for its reader, or let SIGPIPE end the process.
fn one_log(source: &Source) -> Broken {
    const MACROS: [&str; 3] = ["eprintln", "eprint", "dbg"];
    const LOG: [&str; 4] = [
        "src/sys/log/mod.rs",
        "src/sys/log/attempt.rs",
        "src/sys/log/stderr.rs",
        // `fcgipm call` may wait for its reader.
        "src/bin/console.rs",
    ];
    if LOG.contains(&source.path.as_str()) {
        return Broken::new();
    }
    let writes = |path: &[String]| match path {
        [.., last] if MACROS.contains(&last.as_str()) => true,
        [.., io, last] => io == "io" && (last == "stderr" || last == "Stderr"),
        _ => false,
    };
    let paths = paths(source).into_iter();
    let written = paths.filter(|(_, path)| writes(path));
    let what = |path: Vec<String>| {
        format!(
            "{} may block: write with sys::log (in the command, with console)",
            path.join("::")
        )
    };
    written
        .map(|(span, path)| (line(span), what(path)))
        .collect()
}

#[test]
fn only_the_log_writes_to_standard_error() {
    for package in [Package::Library, Package::Command, Package::DropIn] {
        assert_kept_by(&source::read(package), one_log);
    }
}

#[test]
fn the_log_rule_sees_what_bypasses_the_log() {
    let bad = [
        "fn f() { eprintln!(); }",
        "fn f() { x(|| std::eprint!(\"\")) }",
        "fn f() { dbg!(1); }",
        "use std::io::{self, stderr};",
        "fn f() { let _ = io::stderr().write_all(b\"\"); }",
    ];
    let good = ["fn f() { println!(); stderr::room(); log::line(Level::Info, \"\") }"];
    for file in [
        "src/server/request.rs",
        "src/bin/call.rs",
        "bindings/libfcgi/src/process.rs",
    ] {
        assert_sees(one_log, file, &bad, &good);
    }
}
