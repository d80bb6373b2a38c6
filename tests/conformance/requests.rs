//! The beginning of a request, and what must not begin one.

use super::peer::records::*;
use super::{assert_refused, echo, echoed, every_way};

#[test]
fn an_unknown_role_is_refused_and_the_connection_kept_if_requested() {
    every_way(|program, piece| {
        for role in [0, 4, 65_535] {
            for keep in [true, false] {
                let before = program.served();
                let mut connection = program.connect();
                connection.send_in(&begin(9, role, keep), piece);
                let end = connection.response_to(9);
                assert_eq!((end.protocol_status, end.app_status), (UNKNOWN_ROLE, 0));
                if keep {
                    // Its other records, which the peer has already sent, are ignored.
                    let rest = [
                        stream(PARAMS, 9, &echo(b"").pairs()),
                        stream(STDIN, 9, b"no"),
                    ]
                    .concat();
                    connection.send_in(&rest, piece);
                    assert_eq!(connection.call(&echo(b"next")).stdout, echoed(b"next"));
                }
                connection.assert_closed();
                assert_eq!(program.served(), before + 1 + u32::from(keep));
            }
        }
    });
}

#[test]
fn a_second_request_on_the_connection_is_refused_and_the_first_continues() {
    every_way(|program, piece| {
        let refused = |connection: &mut super::peer::connection::Connection, id| {
            let end = connection.response_to(id);
            assert_eq!((end.protocol_status, end.records.len()), (CANT_MPX_CONN, 1));
        };
        let params = request("/announce").body("body").pairs();
        let second = request("/status?9").id(2).bytes();
        let mut connection = program.connect();
        connection.send_in(&begin(ID, RESPONDER, true), piece);
        connection.send_in(&record(PARAMS, ID, &params[..7]), piece);
        connection.send_in(&second, piece);
        refused(&mut connection, 2);
        connection.send_in(&stream(PARAMS, ID, &params[7..]), piece);
        assert_eq!(
            connection.record().content,
            b"started ",
            "the application does not run"
        );
        connection.send_in(&begin(3, RESPONDER, true), piece);
        refused(&mut connection, 3);
        connection.send_in(&stream(STDIN, ID, b"body"), piece);
        assert_eq!(connection.response().stdout, echoed(b"body"));
        // A refused id can be used later.
        assert_eq!(connection.call(&echo(b"x").id(2)).stdout, echoed(b"x"));
    });
}

#[test]
fn a_begin_request_of_a_wrong_length_closes_the_connection() {
    every_way(|program, _| {
        for content in [&b""[..], b"\0\x01\0", b"\0\x01\0\0\0\0\0\0\0"] {
            let bytes = [record(BEGIN, ID, content), echo(b"").head()[16..].to_vec()].concat();
            assert_refused(program, &bytes);
        }
    });
}

#[test]
fn pairs_may_span_records() {
    every_way(|program, piece| {
        let request = request("/params?2")
            .param("NAME", vec![b'v'; 500])
            .param("EMPTY", "");
        let params = request.pairs();
        for cut in [1, 2, 3, 9, 30] {
            let mut bytes = begin(ID, RESPONDER, false);
            params
                .chunks(cut)
                .for_each(|part| bytes.extend(record(PARAMS, ID, part)));
            bytes.extend(record(PARAMS, ID, &[]));
            bytes.extend(record(STDIN, ID, &[]));
            let response = super::exchange(program, &bytes, piece);
            assert_eq!(response.param("NAME"), Some(vec![b'v'; 500]));
            assert_eq!(response.param("EMPTY"), Some(Vec::new()));
        }
    });
}

#[test]
fn params_without_an_empty_record_at_the_end_are_refused() {
    every_way(|program, _| {
        let params = echo(b"").pairs();
        let open = [begin(ID, RESPONDER, false), record(PARAMS, ID, &params)].concat();
        // The connection ends after BEGIN_REQUEST, in a header, in a record, or after complete
        // pairs.
        for end in [16, 20, 30, open.len()] {
            assert_refused(program, &open[..end]);
        }
        // Another stream of the request begins.
        for kind in [STDIN, DATA] {
            assert_refused(
                program,
                &[
                    open.clone(),
                    record(kind, ID, b"x"),
                    record(PARAMS, ID, &[]),
                ]
                .concat(),
            );
            assert_refused(program, &[open.clone(), record(kind, ID, &[])].concat());
        }
        // A pair is cut off in its lengths, its name or its value.
        for cut in [1, 2, 5, params.len() - 1] {
            let bytes = [
                begin(ID, RESPONDER, false),
                stream(PARAMS, ID, &params[..cut]),
            ]
            .concat();
            assert_refused(program, &bytes);
        }
    });
}

#[test]
fn a_request_without_parameters_runs() {
    every_way(|program, piece| {
        let bytes = [
            begin(ID, RESPONDER, false),
            stream(PARAMS, ID, &[]),
            stream(STDIN, ID, &[]),
        ]
        .concat();
        assert_eq!(
            super::exchange(program, &bytes, piece).protocol_status,
            REQUEST_COMPLETE
        );
    });
}

#[test]
fn parameters_after_their_end_are_an_error() {
    every_way(|program, piece| {
        let bytes = [
            echo(b"body").head(),
            record(PARAMS, ID, &pairs(&[(b"LATE", b"1")])),
        ]
        .concat();
        let text = super::exchange(program, &bytes, piece).text();
        assert_eq!(
            text,
            program
                .api
                .translate("|FCGIPM_EPROTOCOL FCGIPM_EPROTOCOL FCGIPM_EPROTOCOL end=0")
        );
    });
}
