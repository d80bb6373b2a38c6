//! Intended differences between the drop-in and libfcgi. Each is checked with both libraries, so
//! that a change of either is noticed. The list is in bindings/libfcgi/README.md.

use crate::fcgx::{partial_body, peers};
use crate::peer::records::{CANT_MPX_CONN, DATA, END, RESPONDER, STDIN, begin, record, request};
use crate::side_by_side::{Peer, Run, SIDES, Side, asking, command, serve_all, serve_peers};

/// Runs a program with stock and with the drop-in, and passes each run to a check.
fn differs(program: &str, argument: &str, peers: &[Peer], check: impl Fn(bool, &Run)) {
    for side in SIDES {
        let mut command = command(program, side);
        command.arg(argument);
        check(side == Side::Stock, &serve_peers(command, peers));
    }
}

fn assert_reports(run: &Run, line: &str) {
    assert!(run.report.contains(line), "'{line}':\n{}", run.report);
}

#[test]
fn writes_to_a_failed_stream_fail() {
    let peers = [Peer::Disconnects(asking("/failed", b"").bytes())];
    differs("writing.c", "1", &peers, |is_stock, run| {
        let result = if is_stock { 4 } else { -1 };
        assert_reports(run, "FCGX_FFlush(out) = -1, errno 32");
        assert_reports(
            run,
            &format!("FCGX_PutS(\"more\", out) = {result}, errno 0"),
        );
    });
}

#[test]
fn a_request_whose_client_disconnected_in_the_queue_is_skipped() {
    for side in SIDES {
        let is_stock = side == Side::Stock;
        let mut command = command("reading.c", side);
        command.arg(if is_stock { "3" } else { "2" });
        let run = serve_all(command, |address| {
            let mut first = address.connect();
            first.send(&partial_body(b""));
            let mut gone = address.connect();
            gone.send(&request("/gone").bytes());
            drop(gone);
            let mut last = address.connect();
            last.send(&request("/last").bytes());
            // The scenario: the first request is busy while the second client disconnects.
            std::thread::sleep(std::time::Duration::from_millis(50));
            first.send(&record(STDIN, 1, b""));
            [first, last].map(|mut peer| peer.response().into()).into()
        });
        assert_eq!(run.report.contains("-- /gone"), is_stock, "{}", run.report);
        assert_reports(&run, "-- /last");
    }
}

#[test]
fn printf_counts_a_nul_and_writes_numbers_of_any_length() {
    differs("writing.c", "1", &peers(&["/nul"]), |is_stock, run| {
        let counted = if is_stock { 2 } else { 3 };
        let line = format!("FCGX_FPrintF(request->out, \"a%cb\", 0) = {counted}, errno 0");
        assert_reports(run, &line);
    });
    let peers = [Peer::ReadsAll(asking("/long-number", b"").bytes())];
    differs("writing.c", "1", &peers, |is_stock, run| {
        let ended = if is_stock {
            "code None, signal Some(6)"
        } else {
            "code Some(0), signal None"
        };
        assert_eq!(run.ended, ended);
        assert_eq!(run.report.contains(" = 1115, errno 0"), !is_stock);
    });
}

#[test]
fn the_exit_status_is_reset_for_the_next_request() {
    let peers = peers(&["/any", "/other"]);
    differs("requests.c", "statuses", &peers, |is_stock, run| {
        let statuses: Vec<_> = run.responses.iter().map(|seen| seen.app_status).collect();
        assert_eq!(statuses, [9, if is_stock { 9 } else { 0 }]);
    });
}

#[test]
fn a_socket_that_cannot_be_opened_is_an_error() {
    differs("requests.c", "open-fails", &[], |is_stock, run| {
        assert_eq!(run.ended == "code Some(0), signal None", !is_stock);
        let line = "FCGX_OpenSocket(\"/nonexistent/folder/socket\", 5) = -1, errno 2";
        assert_eq!(run.report.contains(line), !is_stock, "{}", run.report);
    });
}

fn assert_body_ends(more: &[u8], stock: &str, ours: &str) {
    let peers = [Peer::Waits(partial_body(more))];
    differs("reading.c", "1", &peers, |is_stock, run| {
        assert_reports(run, if is_stock { stock } else { ours });
    });
}

#[test]
fn records_of_unknown_types_are_skipped() {
    let end = record(STDIN, 1, b"");
    let more = [record(99, 1, b"unknown"), end].concat();
    let whole = "13 bytes, error 0, end -1";
    assert_body_ends(&more, "13 bytes, error -3, end -1", whole);
    let data = [record(DATA, 1, b"for a filter"), record(STDIN, 1, b"")].concat();
    assert_body_ends(&data, "13 bytes, error -3, end -1", whole);
}

#[test]
fn another_version_is_a_protocol_error() {
    let mut other = record(STDIN, 1, b"");
    other[0] = 9;
    let stock = "13 bytes, error -2, end -1";
    assert_body_ends(&other, stock, "13 bytes, error -3, end -1");
}

/// libfcgi ends the current request with CANT_MPX_CONN, and then still sends its response.
#[test]
fn a_second_begin_of_the_same_request_does_not_end_it() {
    let again = begin(1, RESPONDER, false);
    let more = [again, record(STDIN, 1, b"")].concat();
    let peers = [Peer::ReadsAll(partial_body(&more))];
    let refusal = [1, END, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, CANT_MPX_CONN, 0, 0, 0];
    differs("reading.c", "1", &peers, |is_stock, run| {
        let sent = &run.responses[0].stdout;
        assert_eq!(sent.starts_with(&refusal), is_stock, "{sent:?}");
        assert!(sent.windows(5).any(|bytes| bytes == b"read\n"), "{sent:?}");
    });
}
