//! The programs that call every function, on the drop-in, under AddressSanitizer and under
//! valgrind's memcheck.

use std::process::Command;

use crate::fcgx::waits;
use crate::peer::records::request;
use crate::side_by_side::{Peer, Run, Side, asking, built, built_with, run, serve_peers};

const READING: &[&str] = &[
    "/characters",
    "/pieces",
    "/exactly",
    "/lines",
    "/back",
    "/closing",
    "/as-a-writer",
    "/ended",
    "/large",
    "/filter",
];
const WRITING: &[&str] = &[
    "/characters",
    "/as-a-reader",
    "/closing",
    "/closing-messages-first",
    "/sizes",
    "/formats",
    "/more-formats",
    "/long-number",
    "/nul",
    "/status",
];
const STDIO: &[&str] = &[
    "/input",
    "/output",
    "/positions",
    "/files",
    "/parameters",
    "/silence",
    "/closing",
    "/reopening",
    "/large",
    "/formats",
    "/status",
];
const REQUESTS: [(&str, usize); 9] = [
    ("before", 0),
    ("parameters", 1),
    ("kept-by-the-program", 1),
    ("the-one-request", 2),
    ("interrupted", 0),
    ("shutdown-within", 1),
    ("term-within", 1),
    ("writers", 0),
    ("beyond", 1),
];
const OS: &[&str] = &[
    "sockets",
    "tcp",
    "operations",
    "children",
    "signals",
    "beyond",
];

fn assert_clean(run: &Run, code: i32, what: &str) {
    let ended = format!("code Some({code}), signal None");
    assert_eq!(run.ended, ended, "{what}\n{}", run.report);
}

/// Runs all of them; `on` makes a command from a program's source.
fn all(on: impl Fn(&str) -> Command) {
    for (source, groups) in [
        ("reading.c", READING),
        ("writing.c", WRITING),
        ("stdio.c", STDIO),
    ] {
        let mut peers = waits(groups);
        let body = vec![b'b'; 100_000];
        peers.push(Peer::Waits(asking(groups[8], &body).bytes()));
        let mut command = on(source);
        command.arg(peers.len().to_string());
        let run = serve_peers(command, &peers);
        assert_clean(&run, if source == "stdio.c" { 6 } else { 0 }, source);
        for group in groups {
            assert!(
                run.report.contains(&format!("-- {group}\n")),
                "{source} {group}"
            );
        }
    }
    for (group, count) in REQUESTS {
        let peers = waits(&["/any", "/other"][..count]);
        let mut command = on("requests.c");
        command.arg(group);
        assert_clean(&serve_peers(command, &peers), 0, group);
    }
    let mut peers = waits(&["/a", "/b", "/c", "/d", "/e", "/f"]);
    peers[4] = Peer::Takes(request("/e").bytes());
    let mut command = on("requests.c");
    command.arg("lives");
    assert_clean(&serve_peers(command, &peers), 0, "lives");
    for group in OS {
        let mut command = on("os.c");
        command.arg(group);
        assert_clean(&run(command, b"first input, and the rest of it"), 0, group);
    }
}

#[test]
fn every_function_is_clean_under_address_sanitizer() {
    all(|source| {
        let mut command = Command::new(built_with(source, Side::DropIn, "-fsanitize=address"));
        command.env(
            "ASAN_OPTIONS",
            "exitcode=99:detect_stack_use_after_return=1",
        );
        command
    });
}

#[test]
fn every_function_is_clean_under_memcheck() {
    all(|source| {
        let mut command = Command::new("valgrind");
        command
            .args([
                "-q",
                "--error-exitcode=99",
                "--leak-check=full",
                "--errors-for-leak-kinds=definite",
            ])
            .arg(built(source, Side::DropIn));
        command
    });
}
