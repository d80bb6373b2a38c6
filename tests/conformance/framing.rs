//! Records in any fragmentation, and records for other requests.

use super::peer::records::*;
use super::{assert_refused, echo, echoed, every_way, exchange};

#[test]
fn a_request_arrives_in_any_fragmentation() {
    every_way(|program, piece| {
        let bytes = echo(b"a body\n").param("LONG", vec![b'v'; 300]).bytes();
        assert_eq!(exchange(program, &bytes, piece).stdout, echoed(b"a body\n"));
        for piece in [2, 3, 7, 9, 64] {
            assert_eq!(exchange(program, &bytes, piece).stdout, echoed(b"a body\n"));
        }
    });
}

#[test]
fn records_of_the_largest_size_with_the_largest_padding_are_read() {
    every_way(|program, piece| {
        // Only the ends are sent in small pieces, and the middle at once.
        let body: Vec<u8> = (0..65_535_u32).map(|i| (i % 251) as u8).collect();
        let mut connection = program.connect();
        let (head, tail) = (echo(&body).head(), padded(STDIN, ID, &body, 255));
        connection.send_in(&head, piece);
        connection.send_in(&tail[..20], piece);
        connection.send(&tail[20..tail.len() - 300]);
        connection.send_in(&tail[tail.len() - 300..], piece);
        connection.send_in(&padded(STDIN, ID, &[], 255), piece);
        assert_eq!(connection.response().stdout, echoed(&body));
        connection.assert_closed();
    });
}

#[test]
fn padding_is_skipped_on_every_record_including_empty_and_ignored_ones() {
    every_way(|program, piece| {
        let request = echo(b"body");
        for padding in [0, 1, 7, 8, 255] {
            let bytes = [
                padded(BEGIN, ID, &[0, 1, 0, 0, 0, 0, 0, 0], padding),
                padded(PARAMS, ID, &request.pairs(), padding),
                padded(STDIN, 77, b"of another request", padding),
                padded(STDIN, 77, &[], padding),
                padded(PARAMS, ID, &[], padding),
                padded(STDIN, ID, b"bo", padding),
                padded(99, ID, b"of no known type", padding),
                padded(99, ID, &[], padding),
                padded(STDIN, ID, b"dy", padding),
                padded(STDIN, ID, &[], padding),
            ]
            .concat();
            assert_eq!(exchange(program, &bytes, piece).stdout, echoed(b"body"));
        }
    });
}

#[test]
fn another_protocol_version_closes_the_connection_without_a_request() {
    every_way(|program, _| {
        for version in [0, 2, 255] {
            let mut bytes = echo(b"").bytes();
            bytes[0] = version;
            assert_refused(program, &bytes);
            // The same after valid records.
            let mut tail = record(PARAMS, ID, &[]);
            tail[0] = version;
            assert_refused(program, &[begin(ID, RESPONDER, false), tail].concat());
        }
    });
}

#[test]
fn another_version_within_the_input_is_an_error_of_the_read() {
    every_way(|program, piece| {
        let mut bad = record(STDIN, ID, b"two");
        bad[0] = 2;
        let bytes = [echo(b"onetwo").head(), record(STDIN, ID, b"one"), bad].concat();
        let text = exchange(program, &bytes, piece).text();
        assert_eq!(
            text,
            program
                .api
                .translate("one|FCGIPM_EPROTOCOL FCGIPM_EPROTOCOL FCGIPM_EPROTOCOL end=0")
        );
    });
}

#[test]
fn records_of_an_id_that_is_not_active_are_ignored_with_their_payload() {
    every_way(|program, piece| {
        // The payload looks like a request. If it were parsed, the application would run twice.
        let decoy = request("/status?9").bytes();
        let others: Vec<u8> = [PARAMS, STDIN, DATA, ABORT, STDOUT, END]
            .iter()
            .flat_map(|kind| [record(*kind, 2, &decoy), record(*kind, 65_535, &[])].concat())
            .collect();
        let request = echo(b"body");
        let before = program.served();
        let mut connection = program.connect();
        let bytes = [
            others.clone(),
            begin(ID, RESPONDER, false),
            others.clone(),
            stream(PARAMS, ID, &request.pairs()),
            others.clone(),
            stream(STDIN, ID, b"body"),
            others,
        ]
        .concat();
        connection.try_send_in(&bytes, piece);
        let response = connection.response();
        assert_eq!((response.stdout, response.app_status), (echoed(b"body"), 0));
        connection.assert_closed();
        assert_eq!(program.served(), before + 2);
    });
}

#[test]
fn id_0_never_starts_or_feeds_a_request() {
    every_way(|program, piece| {
        let before = program.served();
        let mut connection = program.connect();
        // A complete request with id 0, within a real one.
        let zero = request("/status?9").id(0).body("zero").bytes();
        let real = echo(b"body");
        connection.send_in(&zero, piece);
        connection.send_in(&begin(ID, RESPONDER, false), piece);
        connection.send_in(&record(PARAMS, 0, &[]), piece);
        connection.send_in(&stream(PARAMS, ID, &real.pairs()), piece);
        connection.send_in(&record(STDIN, 0, b"zero"), piece);
        connection.send_in(&record(STDIN, 0, &[]), piece);
        connection.send_in(&stream(STDIN, ID, b"body"), piece);
        let mut stdout = Vec::new();
        loop {
            let record = connection.record();
            match (record.kind, record.id) {
                // Application types are unknown to management (section 4.2).
                (UNKNOWN_TYPE, 0) => {}
                (STDOUT, ID) => stdout.extend(record.content),
                (END, ID) => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(stdout, echoed(b"body"));
        connection.assert_closed();
        assert_eq!(program.served(), before + 2);
    });
}
