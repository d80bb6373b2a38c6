//! Every function of fcgiapp.h: its result, the state afterwards, and what the web server receives.

use crate::peer::records::{ABORT, DATA, FILTER, PARAMS, STDIN, record, request, stream};
use crate::side_by_side::{Peer, Run, Side, asking, command, same, serve, serve_peers};

const BODY: &[u8] = b"one\ntwo\n\nthe end of it.";

pub(crate) const READING: [&str; 9] = [
    "/characters",
    "/pieces",
    "/exactly",
    "/lines",
    "/back",
    "/closing",
    "/as-a-writer",
    "/ended",
    "/filter",
];
pub(crate) const WRITING: [&str; 5] = [
    "/characters",
    "/as-a-reader",
    "/closing",
    "/sizes",
    "/formats",
];

fn both(program: &str, peers: &[Peer]) -> Run {
    let run = same(|side| {
        let mut command = command(program, side);
        command.arg(peers.len().to_string());
        serve_peers(command, peers)
    });
    assert_eq!(run.ended, "code Some(0), signal None", "{}", run.report);
    run
}

/// One web server for each of these groups.
pub(crate) fn peers(groups: &[&str]) -> Vec<Peer> {
    let bytes = groups.iter().map(|group| asking(group, BODY).bytes());
    bytes.map(Peer::Waits).collect()
}

fn assert_groups(run: &Run, groups: &[&str]) {
    for group in groups {
        let line = format!("-- {group}\n");
        assert!(run.report.contains(&line), "{group}: {}", run.report);
    }
}

#[test]
fn accept_returns_the_same_errno_as_libfcgi_when_asked_to_exit() {
    let run = same(|side| serve_peers(command("exiting.c", side), &[]));
    let expected = "waiting: -4, errno 4\nagain: -4, errno 4\n";
    assert_eq!(run.report, expected);
}

#[test]
fn readers_return_the_same_results_as_in_libfcgi() {
    let run = both("reading.c", &peers(&READING));
    assert_groups(&run, &READING);
    assert!(run.report.contains("GetStr(90) = 0: ''"), "{}", run.report);
}

/// A body in records of these lengths.
fn in_records(group: &str, lengths: &[usize]) -> Vec<u8> {
    let request = request(group);
    let mut bytes = request.head();
    let mut left = BODY;
    for &length in lengths {
        let (now, later) = left.split_at(length.min(left.len()));
        bytes.extend(record(STDIN, request.id, now));
        left = later;
    }
    bytes.extend(record(STDIN, request.id, b""));
    bytes
}

#[test]
fn bytes_can_be_pushed_back_to_the_start_of_the_record() {
    let groups = ["/back", "/lines", "/characters", "/pieces"];
    let peers = groups.map(|group| Peer::Waits(in_records(group, &[3, 1, 5, 14])));
    let run = both("reading.c", &peers);
    assert_groups(&run, &groups);
}

#[test]
fn large_bodies_are_read_completely() {
    let body: Vec<u8> = (0..700_000_u32).map(|n| (n * 7 % 251) as u8).collect();
    let peers = [Peer::Waits(asking("/large", &body).bytes())];
    let run = both("reading.c", &peers);
    assert!(run.report.contains("700000 bytes, "), "{}", run.report);
}

/// A request with the beginning of its body, and then other bytes.
pub(crate) fn partial_body(more: &[u8]) -> Vec<u8> {
    let request = request("/ended");
    [
        &request.head()[..],
        &record(STDIN, request.id, b"the beginning"),
        more,
    ]
    .concat()
}

#[test]
fn a_body_without_an_end_is_an_error() {
    let half = &record(STDIN, 1, b"half of a record")[..12];
    let peers = [
        Peer::ShutsDown(partial_body(b"")),
        Peer::ShutsDown(partial_body(half)),
        Peer::ShutsDown(partial_body(&half[..5])),
        Peer::ShutsDown(request("/ended").head()),
    ];
    let run = both("reading.c", &peers);
    assert_eq!(
        run.report.matches("error -3, end -1").count(),
        12,
        "{}",
        run.report
    );
}

#[test]
fn unexpected_records_are_errors() {
    let run = both(
        "reading.c",
        &[
            Peer::Waits(partial_body(&record(PARAMS, 1, b"params"))),
            Peer::Waits(partial_body(&record(ABORT, 1, b""))),
        ],
    );
    assert_eq!(
        run.report.matches("13 bytes, error -3, end -1").count(),
        2,
        "{}",
        run.report
    );
}

#[test]
fn records_of_other_requests_are_skipped() {
    let other = [record(STDIN, 2, b"of another"), record(STDIN, 1, b"")].concat();
    let run = both("reading.c", &[Peer::Waits(partial_body(&other))]);
    assert!(
        run.report.contains("13 bytes, error 0, end -1"),
        "{}",
        run.report
    );
}

#[test]
fn a_filter_reads_its_data_after_its_input() {
    let filter = |group: &str| {
        let request = request(group).role(FILTER).param("FCGI_DATA_LENGTH", "9");
        let body = stream(STDIN, request.id, b"input|");
        let data = stream(DATA, request.id, b"the file\n");
        Peer::Waits([request.head(), body, data].concat())
    };
    let run = both("reading.c", &["/filter", "/filter-in-time"].map(filter));
    assert!(run.report.contains("'xthe file\n'"), "{}", run.report);
}

#[test]
fn writers_return_the_same_results_as_in_libfcgi() {
    let run = both("writing.c", &peers(&WRITING));
    assert_groups(&run, &WRITING);
    // Each in a run of its own: with stock the next request has the same status.
    for (group, status) in [("/closing-messages-first", 5), ("/status", -3_i32)] {
        let run = both("writing.c", &peers(&[group]));
        assert_eq!(run.responses[0].app_status, status as u32);
    }
}

#[test]
fn writing_to_a_disconnected_web_server_is_an_error() {
    let bytes = asking("/disconnected", BODY).bytes();
    let run = both("writing.c", &[Peer::Disconnects(bytes)]);
    assert!(run.report.contains("error 32"), "{}", run.report);
}

/// libfcgi's own printf has fewer formats, and its functions do not check for NULL.
#[test]
fn every_format_is_written() {
    for side in [Side::Moved, Side::DropIn] {
        let mut command = command("writing.c", side);
        command.arg("1");
        let run = serve(command, &[asking("/more-formats", b"").bytes()]);
        let expected = format!(
            "1|-2|3|4|-5|\n0x1p+0|wide|\0|\nsecond 1|\n{:5000}|(null)|\n",
            1
        );
        assert_eq!(String::from_utf8_lossy(&run.responses[0].stdout), expected);
        assert_eq!(run.report.matches(" = -1,").count(), 2, "{}", run.report);
    }
}

fn group(name: &str, side: Side, peers: &[Peer]) -> Run {
    let mut command = command("requests.c", side);
    command.arg(name);
    let run = serve_peers(command, peers);
    let end = format!("{name}: done\n");
    assert!(run.report.ends_with(&end), "{side:?}\n{}", run.report);
    run
}

fn same_group(name: &str, peers: &[Peer]) -> Run {
    same(|side| group(name, side, peers))
}

fn any(count: usize) -> Vec<Peer> {
    peers(&["/any", "/other", "/third", "/fourth", "/fifth", "/sixth"][..count])
}

#[test]
fn functions_without_a_request_behave_as_in_libfcgi() {
    let run = same_group("no-request", &[]);
    assert!(
        run.report.contains("FCGX_Accept_r(&request) = -9998"),
        "{}",
        run.report
    );
}

#[test]
fn parameters_are_found_as_in_libfcgi() {
    let list: [(&str, &str); 7] = [
        ("A", "1"),
        ("AB", "a=b"),
        ("EMPTY", ""),
        ("TWICE", "first"),
        ("TWICE", "second"),
        ("a b", "a blank"),
        ("HTTP_ACCEPT", "\u{e4}\n"),
    ];
    let asked = list.iter().fold(request("/any"), |request, (name, value)| {
        request.param(name, value)
    });
    let run = same_group("parameters", &[Peer::Waits(asked.bytes())]);
    assert!(run.report.contains("TWICE is 'first'\n"), "{}", run.report);
}

#[test]
fn requests_begin_and_end_as_in_libfcgi() {
    let mut peers = any(6);
    peers[4] = Peer::ReadsAll(request("/fifth").bytes());
    let run = same_group("lifecycle", &peers);
    assert_eq!(run.responses[4].stdout, b"");
    assert_eq!(run.responses[5].stdout, b"sixth");
}

#[test]
fn a_connection_can_outlive_its_request() {
    let run = same_group("connection-kept", &any(1));
    assert_eq!(run.responses[0].app_status, 7);
}

#[test]
fn the_global_request_is_accepted_and_finished() {
    let run = same_group("global-request", &peers(&["/any", "/other"]));
    assert_eq!(run.responses[0].stdout, b"by FCGX_Accept");
}

#[test]
fn a_signal_ends_accept_with_fail_accept_on_intr() {
    let run = same_group("interrupted", &[]);
    assert!(
        run.report.contains("FCGX_Accept_r(&request) = -4, errno 4"),
        "{}",
        run.report
    );
}

#[test]
fn a_program_that_is_asked_to_exit_within_a_request_finishes_it() {
    for name in ["shutdown-within", "term-within"] {
        let run = same_group(name, &any(1));
        assert_eq!(run.responses[0].stdout, b"in full");
    }
}

#[test]
fn writers_of_the_program_send_the_same_records_as_in_libfcgi() {
    let run = same_group("writers", &[]);
    assert!(run.report.contains("01 06 01 02 "), "{}", run.report);
}

#[test]
fn arguments_that_crash_libfcgi_are_errors() {
    for side in [Side::Moved, Side::DropIn] {
        let run = group("bad-arguments", side, &any(1));
        assert!(
            run.report.contains("the socket is open: 1\n"),
            "{}",
            run.report
        );
        assert_eq!(run.responses[0].stdout, b"answered");
    }
}
