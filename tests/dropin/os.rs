//! The functions of fcgios.h, and libfcgi's program cgi-fcgi.

use std::path::PathBuf;
use std::process::Command;

use crate::peer::connection::Address;
use crate::peer::program::{Transport, dropin, unused};
use crate::side_by_side::{Run, SIDES, Side, built, command, on, run, same};

pub(crate) const INPUT: &[u8] = b"first input, and the rest of it";

fn group(source: &str, name: &str, side: Side) -> Run {
    let mut command = command(source, side);
    command.arg(name);
    run(command, INPUT)
}

fn same_group(source: &str, name: &str) {
    let run = same(|side| group(source, name, side));
    assert!(
        run.report.ends_with(&format!("{name}: done\n")),
        "{}",
        run.report
    );
}

#[test]
fn sockets_are_opened_connected_and_closed_as_in_libfcgi() {
    same_group("os_sockets.c", "sockets");
}

#[test]
fn connections_are_accepted_only_from_web_servers() {
    same_group("os_sockets.c", "tcp");
}

#[test]
fn asynchronous_operations_complete_in_the_same_order() {
    same_group("os_operations.c", "operations");
}

#[test]
fn children_are_started_with_the_listening_socket() {
    same_group("os_sockets.c", "children");
}

#[test]
fn signals_interrupt_accept_and_end_it() {
    same_group("os_sockets.c", "signals");
}

/// The reports of a group that only the drop-in can run.
fn dropin_reports(source: &str, name: &str) -> Vec<String> {
    [Side::Moved, Side::DropIn]
        .map(|side| {
            let run = group(source, name, side);
            assert!(
                run.report.ends_with(&format!("{name}: done\n")),
                "{side:?}\n{}",
                run.report
            );
            run.report
        })
        .into()
}

#[test]
fn errors_that_end_the_process_in_libfcgi_are_returned() {
    let sockets = [
        "OS_FcgiConnect((char *)\"no-such-host.invalid:9000\") == -1 = 1",
        "OS_FcgiConnect((char *)\"localhost:99999\") = -1, errno 22",
        "OS_FcgiConnect(too_long) = -1, errno 22",
        "OS_CreateLocalIpcFd(\"/nonexistent/folder/socket\", 5) = -1, errno 2",
        "OS_SpawnChild(NULL, 0) = -1, errno 22",
        "OS_SetFlags(999, O_NONBLOCK), errno 9",
    ];
    let operations = [
        "OS_AsyncRead(-1, 0, buffer, 1, on_end, NULL) = -1, errno 9",
        "OS_AsyncRead(0, 0, buffer, 1, on_end, NULL) = -1, errno 16",
        "after shutdown: 1, 'f'",
        "not open: -1, ''",
        "OS_DoIo(&(struct timeval){ -1, 0 }) = -1, errno 22",
        "continues: 1, ''",
    ];
    for report in dropin_reports("os_sockets.c", "socket-errors") {
        assert_contains(&report, &sockets);
    }
    for report in dropin_reports("os_operations.c", "operation-errors") {
        assert_contains(&report, &operations);
        assert!(!report.contains("never:"), "{report}");
    }
}

fn assert_contains(report: &str, lines: &[&str]) {
    for line in lines {
        assert!(report.contains(line), "'{line}' is not in\n{report}");
    }
}

#[test]
fn descriptors_above_the_limit_of_select_are_watched() {
    for report in dropin_reports("os_operations.c", "many-descriptors") {
        assert!(report.contains("high: 10, 'from below'\n"), "{report}");
    }
}

#[test]
fn a_request_to_exit_ends_a_wait_immediately_even_with_sa_restart() {
    for report in dropin_reports("os_sockets.c", "woken") {
        assert!(
            report.contains("OS_Accept(listener, 0, NULL) = -1, errno 0\nalarms = 1,"),
            "{report}"
        );
    }
}

/// Runs Debian's cgi-fcgi, with stock or with the drop-in. Its application uses the same library.
fn cgi_fcgi(side: Side, arguments: &[&str], body: &[u8]) -> Run {
    let mut command = on(Command::new("/usr/bin/cgi-fcgi"), side);
    command
        .args(arguments)
        .env_clear()
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("QUERY_STRING", "a=b&c")
        .env("EMPTY", "")
        .env("SERVE", "3");
    // Set again, because `env_clear` removed it.
    let command = on(command, side);
    run(command, body)
}

/// The installed cgi-fcgi was built with stock.
const BUILT_WITH_STOCK: [Side; 2] = [Side::Stock, Side::Moved];

fn check(run: &Run, body: &[u8]) {
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(text.contains("QUERY_STRING=a=b&c\n"), "{text}");
    assert!(text.contains(&format!("{} bytes\n", body.len())), "{text}");
    assert_eq!(run.ended, "code Some(3), signal None");
}

#[test]
fn cgi_fcgi_starts_an_application_and_connects_to_it() {
    let bodies = [Vec::new(), b"small".to_vec(), vec![b'x'; 200_000]];
    let runs = BUILT_WITH_STOCK.map(|side| {
        let address = unused(Transport::Unix);
        let app = built("answer.c", side);
        let arguments = ["-connect", &address.text(), app.to_str().unwrap()];
        let runs = bodies.clone().map(|body| {
            // The first run starts the application, and each one connects to it.
            let run = cgi_fcgi(side, &arguments, &body);
            check(&run, &body);
            run
        });
        address.remove();
        runs
    });
    assert_eq!(runs[0], runs[1]);
}

#[test]
fn cgi_fcgi_only_starts_or_only_connects() {
    for transport in [Transport::Unix, Transport::Tcp] {
        let runs = BUILT_WITH_STOCK.map(|side| {
            let address = unused(transport);
            let app = built("answer.c", side);
            let name = local(&address);
            let started = cgi_fcgi(
                side,
                &["-start", "-connect", &name, app.to_str().unwrap(), "1"],
                b"",
            );
            assert_eq!(
                started.ended, "code Some(0), signal None",
                "{side:?} {started:?}"
            );
            let connect = ["-bind", "-connect", &name];
            let runs = [(); 3].map(|()| {
                let run = cgi_fcgi(side, &connect, b"a body");
                check(&run, b"a body");
                run
            });
            address.remove();
            (started, runs)
        });
        assert_eq!(runs[0], runs[1]);
    }
}

/// The address without its host, as cgi-fcgi requires to listen.
fn local(address: &Address) -> String {
    match address {
        Address::Unix(_) => address.text(),
        Address::Tcp(address) => format!(":{}", address.port()),
    }
}

#[test]
fn cgi_fcgi_reports_that_no_process_listens() {
    let runs = BUILT_WITH_STOCK.map(|side| {
        let address = unused(Transport::Unix);
        let run = cgi_fcgi(side, &["-bind", "-connect", &address.text()], b"");
        address.remove();
        run
    });
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0].ended, "code Some(0), signal None");
}

/// Otherwise these tests would compare a library with itself.
#[test]
fn each_side_runs_on_its_library() {
    for side in SIDES {
        let library = library(&command("os_sockets.c", side));
        assert_eq!(
            library.starts_with(dropin()),
            side != Side::Stock,
            "{side:?}: {library:?}"
        );
    }
}

/// The library that the loader would use.
fn library(command: &Command) -> PathBuf {
    let mut loader = Command::new("ldd");
    loader.arg(command.get_program());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => loader.env(name, value),
            None => loader.env_remove(name),
        };
    }
    let out = String::from_utf8(loader.output().expect("ldd").stdout).unwrap();
    let line = out.lines().find(|line| line.contains("libfcgi.so.0"));
    let path = line.and_then(|line| line.split_whitespace().nth(2));
    path.unwrap_or_else(|| panic!("no libfcgi in {out}")).into()
}
