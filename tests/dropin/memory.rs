//! The programs that call every function of the drop-in, under AddressSanitizer and valgrind's
//! memcheck.

use std::process::Command;

use crate::fcgx::{READING, WRITING, peers};
use crate::peer::records::request;
use crate::side_by_side::{Peer, Run, Side, asking, built, built_with, run, serve_peers};
use crate::{os, stdio};

const MORE_READING: [&str; 1] = ["/large"];
const MORE_WRITING: [&str; 5] = [
    "/closing-messages-first",
    "/more-formats",
    "/long-number",
    "/nul",
    "/status",
];
const MORE_STDIO: [&str; 4] = ["/closing", "/reopening", "/formats", "/large"];
const REQUESTS: [(&str, usize); 9] = [
    ("no-request", 0),
    ("parameters", 1),
    ("connection-kept", 1),
    ("global-request", 2),
    ("interrupted", 0),
    ("shutdown-within", 1),
    ("term-within", 1),
    ("writers", 0),
    ("bad-arguments", 1),
];
const OS: [(&str, &str); 7] = [
    ("os_sockets.c", "sockets"),
    ("os_sockets.c", "tcp"),
    ("os_sockets.c", "children"),
    ("os_sockets.c", "signals"),
    ("os_sockets.c", "socket-errors"),
    ("os_operations.c", "operations"),
    ("os_operations.c", "operation-errors"),
];

fn assert_clean(run: &Run, code: i32, what: &str) {
    let ended = format!("code Some({code}), signal None");
    assert_eq!(run.ended, ended, "{what}\n{}", run.report);
}

/// Runs all programs. `on` makes the command for a source file.
fn all(on: impl Fn(&str) -> Command) {
    for (source, groups) in [
        ("reading.c", [&READING[..], &MORE_READING].concat()),
        ("writing.c", [&WRITING[..], &MORE_WRITING].concat()),
        ("stdio.c", [&stdio::GROUPS[..], &MORE_STDIO].concat()),
    ] {
        let mut peers = peers(&groups);
        let body = vec![b'b'; 100_000];
        let last = groups[groups.len() - 1];
        peers.push(Peer::Waits(asking(last, &body).bytes()));
        let mut command = on(source);
        command.arg(peers.len().to_string());
        let run = serve_peers(command, &peers);
        assert_clean(&run, if source == "stdio.c" { 6 } else { 0 }, source);
        for group in &groups {
            assert!(
                run.report.contains(&format!("-- {group}\n")),
                "{source} {group}"
            );
        }
    }
    for (group, count) in REQUESTS {
        let peers = peers(&["/any", "/other"][..count]);
        let mut command = on("requests.c");
        command.arg(group);
        assert_clean(&serve_peers(command, &peers), 0, group);
    }
    let mut peers = peers(&["/a", "/b", "/c", "/d", "/e", "/f"]);
    peers[4] = Peer::ReadsAll(request("/e").bytes());
    let mut command = on("requests.c");
    command.arg("lifecycle");
    assert_clean(&serve_peers(command, &peers), 0, "lifecycle");
    for (source, group) in OS {
        let mut command = on(source);
        command.arg(group);
        assert_clean(&run(command, os::INPUT), 0, group);
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
