//! Management records: GET_VALUES and unknown types (section 4).

use super::application::{APIS, Application};
use super::peer::connection::Connection;
use super::peer::program::Transport;
use super::peer::records::*;
use super::{echo, echoed, every_way};

const MAX_CONNS: (&[u8], &[u8]) = (b"FCGI_MAX_CONNS", b"1");
const MAX_REQS: (&[u8], &[u8]) = (b"FCGI_MAX_REQS", b"1");
const MPXS_CONNS: (&[u8], &[u8]) = (b"FCGI_MPXS_CONNS", b"0");

/// The response to a request that reads the four bytes "body".
const READ: &str = "body|ok end=0";

fn get_values(names: &[&[u8]]) -> Vec<u8> {
    let list: Vec<_> = names.iter().map(|name| (*name, &b""[..])).collect();
    record(GET_VALUES, 0, &pairs(&list))
}

fn get_all_values() -> Vec<u8> {
    get_values(&[MAX_CONNS.0, MAX_REQS.0, MPXS_CONNS.0])
}

fn assert_all_values(connection: &mut Connection) {
    let answer = connection.record();
    assert_eq!((answer.kind, answer.id), (GET_VALUES_RESULT, 0));
    assert_eq!(answer.content, pairs(&[MAX_CONNS, MAX_REQS, MPXS_CONNS]));
}

#[test]
fn get_values_is_answered_immediately_in_every_phase() {
    every_way(|program, piece| {
        let request = request("/read?4").body("body").keep(true);
        let mut connection = program.connect();
        // Before a request.
        connection.send_in(&get_all_values(), piece);
        assert_all_values(&mut connection);
        // After BEGIN_REQUEST, and within a parameter.
        connection.send_in(&begin(ID, RESPONDER, true), piece);
        connection.send_in(&get_all_values(), piece);
        assert_all_values(&mut connection);
        let params = request.pairs();
        connection.send_in(&record(PARAMS, ID, &params[..5]), piece);
        connection.send_in(&get_all_values(), piece);
        assert_all_values(&mut connection);
        connection.send_in(&stream(PARAMS, ID, &params[5..]), piece);
        // While the application reads its input.
        connection.send_in(&get_all_values(), piece);
        assert_all_values(&mut connection);
        connection.send_in(&record(STDIN, ID, b"bo"), piece);
        connection.send_in(&get_all_values(), piece);
        assert_all_values(&mut connection);
        connection.send_in(&stream(STDIN, ID, b"dy"), piece);
        assert_eq!(connection.response().text(), READ);
        // Between two requests.
        connection.send_in(&get_all_values(), piece);
        assert_all_values(&mut connection);
        assert_eq!(connection.call(&echo(b"")).stdout, echoed(b""));
        connection.assert_closed();
    });
}

#[test]
fn get_values_in_the_same_segment_after_a_request_is_answered() {
    every_way(|program, piece| {
        for command in ["/echo", "/status?3"] {
            let mut connection = program.connect();
            let request = request(command).body("body").keep(true);
            connection.send_in(&[request.bytes(), get_all_values()].concat(), piece);
            // Either may come first.
            let mut kinds = Vec::new();
            while !(kinds.contains(&END) && kinds.contains(&GET_VALUES_RESULT)) {
                kinds.push(connection.record().kind);
            }
            assert_eq!(connection.call(&echo(b"next")).stdout, echoed(b"next"));
        }
    });
}

#[test]
fn get_values_ignores_unknown_names_and_answers_repeated_ones_once() {
    every_way(|program, piece| {
        let mut connection = program.connect();
        for (asked, answered) in [
            (get_values(&[]), pairs(&[])),
            (
                get_values(&[b"FCGI_SECRET", b"", b"fcgi_max_conns"]),
                pairs(&[]),
            ),
            (
                get_values(&[MPXS_CONNS.0, b"X", MPXS_CONNS.0]),
                pairs(&[MPXS_CONNS]),
            ),
            // A value is not a name, and an incomplete pair ends the list.
            (
                record(GET_VALUES, 0, &pairs(&[(b"A", MAX_REQS.0)])),
                pairs(&[]),
            ),
            (
                record(
                    GET_VALUES,
                    0,
                    &[pairs(&[(MAX_REQS.0, b"")]), vec![200]].concat(),
                ),
                pairs(&[MAX_REQS]),
            ),
        ] {
            connection.send_in(&asked, piece);
            let answer = connection.record();
            assert_eq!(
                (answer.kind, answer.id, answer.content),
                (GET_VALUES_RESULT, 0, answered)
            );
        }
        assert_eq!(connection.call(&echo(b"")).stdout, echoed(b""));
    });
}

#[test]
fn any_number_of_names_is_answered_with_one_record() {
    for api in APIS {
        let program = Application::start(api, Transport::Unix, &[]);
        let mut connection = program.connect();
        let many: Vec<&[u8]> = vec![MAX_CONNS.0; 65_535 / 16];
        connection.send(&get_values(&many));
        let answer = connection.record();
        assert_eq!(
            (answer.kind, answer.content),
            (GET_VALUES_RESULT, pairs(&[MAX_CONNS]))
        );
        assert_eq!(connection.call(&echo(b"")).stdout, echoed(b""));
    }
}

#[test]
fn a_flood_of_get_values_is_answered_and_harmless() {
    every_way(|program, piece| {
        let mut connection = program.connect();
        let count = if piece == 1 { 20 } else { 3_000 };
        let flood = get_all_values().repeat(count);
        connection.send(&begin(ID, RESPONDER, true));
        connection.send_in(&flood, piece);
        connection.send(&stream(PARAMS, ID, &echo(b"body").pairs()));
        for _ in 0..count {
            assert_all_values(&mut connection);
        }
        connection.send_in(&flood, piece);
        connection.send(&stream(STDIN, ID, b"body"));
        for _ in 0..count {
            assert_all_values(&mut connection);
        }
        assert_eq!(connection.response().stdout, echoed(b"body"));
    });
}

#[test]
fn an_unknown_management_type_is_answered_in_every_phase_and_its_payload_is_discarded() {
    every_way(|program, piece| {
        let unknown = |kind: u8| padded(kind, 0, b"unexpected payload", 3);
        let expect = |connection: &mut Connection, kind: u8| {
            let answer = connection.record();
            assert_eq!((answer.kind, answer.id), (UNKNOWN_TYPE, 0));
            assert_eq!(answer.content, [kind, 0, 0, 0, 0, 0, 0, 0]);
        };
        let params = request("/read?4").body("body").pairs();
        let mut connection = program.connect();
        connection.send_in(&unknown(12), piece);
        expect(&mut connection, 12);
        connection.send_in(&begin(ID, RESPONDER, false), piece);
        connection.send_in(&record(PARAMS, ID, &params[..3]), piece);
        connection.send_in(&unknown(200), piece);
        expect(&mut connection, 200);
        connection.send_in(&stream(PARAMS, ID, &params[3..]), piece);
        connection.send_in(&record(STDIN, ID, b"bo"), piece);
        connection.send_in(&unknown(255), piece);
        expect(&mut connection, 255);
        connection.send_in(&unknown(0), piece);
        expect(&mut connection, 0);
        connection.send_in(&stream(STDIN, ID, b"dy"), piece);
        assert_eq!(connection.response().text(), READ);
    });
}

#[test]
fn unknown_application_types_of_the_active_request_are_ignored() {
    every_way(|program, piece| {
        let params = echo(b"body").pairs();
        let mut connection = program.connect();
        for bytes in [
            begin(ID, RESPONDER, false),
            record(PARAMS, ID, &params[..3]),
            record(42, ID, b"unexpected payload"),
            record(STDERR, ID, b"not for an application"),
            stream(PARAMS, ID, &params[3..]),
            record(STDIN, ID, b"bo"),
            padded(42, ID, b"unexpected payload", 9),
            stream(STDIN, ID, b"dy"),
        ] {
            connection.send_in(&bytes, piece);
        }
        assert_eq!(connection.response().stdout, echoed(b"body"));
    });
}
