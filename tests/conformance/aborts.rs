//! ABORT_REQUEST (section 5.4).

use super::application::Api;
use super::peer::connection::Connection;
use super::peer::records::*;
use super::{echo, echoed, every_way};

/// The connection serves another request.
fn assert_open(connection: &mut Connection) {
    assert_eq!(connection.call(&echo(b"next")).stdout, echoed(b"next"));
    connection.assert_closed();
}

#[test]
fn an_abort_before_the_application_runs_ends_the_request() {
    every_way(|program, piece| {
        for keep in [true, false] {
            let before = program.served();
            let params = echo(b"").pairs();
            for open in [
                vec![],
                record(PARAMS, ID, &params),
                record(PARAMS, ID, &params[..4]),
            ] {
                let mut connection = program.connect();
                connection.send_in(
                    &[begin(ID, RESPONDER, keep), open, record(ABORT, ID, &[])].concat(),
                    piece,
                );
                let end = connection.response();
                assert_eq!(
                    (end.protocol_status, end.records.len()),
                    (REQUEST_COMPLETE, 1)
                );
                if keep {
                    assert_eq!(
                        connection
                            .call(&request("/params?2").keep(true))
                            .params()
                            .len(),
                        3
                    );
                    assert_open(&mut connection);
                } else {
                    connection.assert_closed();
                }
            }
            assert_eq!(program.served(), before + 1 + if keep { 6 } else { 0 });
        }
    });
}

#[test]
fn an_abort_while_the_application_reads_is_an_error_of_the_read() {
    every_way(|program, piece| {
        for keep in [true, false] {
            let mut connection = program.connect();
            connection.send_in(
                &request("/announce").body("0123456789").keep(keep).head(),
                piece,
            );
            assert_eq!(connection.record().content, b"started ");
            connection.send_in(&record(STDIN, ID, b"0123"), piece);
            connection.send_in(&padded(ABORT, ID, &[], 5), piece);
            let response = connection.response();
            let aborted = program
                .api
                .translate("FCGIPM_EABORTED FCGIPM_EABORTED FCGIPM_EABORTED end=0");
            assert_eq!(response.text(), format!("0123|{aborted}"));
            assert_eq!(response.protocol_status, REQUEST_COMPLETE);
            if keep {
                assert_open(&mut connection);
            } else {
                connection.assert_closed();
            }
        }
    });
}

#[test]
fn an_abort_is_reported_even_after_the_end_of_the_input() {
    every_way(|program, piece| {
        for body in [None, Some("")] {
            let request = request("/await-abort").keep(true);
            let mut connection = program.connect();
            connection.send_in(&request.head(), piece);
            if body.is_some() {
                connection.send_in(&record(STDIN, ID, &[]), piece);
            }
            // FCGX has no function for it: only a read reports an abort, and not after the end of
            // the input.
            let (first, then) = match (program.api, body) {
                (Api::Native, _) => ("before=0 ", "aborted=1 read=FCGIPM_EABORTED"),
                (Api::Fcgx, None) => ("reading ", "byte=-1 read=FCGX_PROTOCOL_ERROR"),
                (Api::Fcgx, Some(_)) => ("reading ", "byte=-1 read=ok"),
            };
            assert_eq!(connection.record().content, first.as_bytes());
            connection.send_in(&record(ABORT, ID, &[]), piece);
            assert_eq!(connection.response().text(), then);
            assert_open(&mut connection);
        }
    });
}

#[test]
fn an_abort_that_the_application_does_not_check_is_harmless() {
    every_way(|program, piece| {
        let mut connection = program.connect();
        for _ in 0..3 {
            connection.send_in(&request("/status?4").keep(true).bytes(), piece);
            assert_eq!(connection.response().app_status, 4);
            // It crosses the response: the request is no longer active.
            connection.send_in(&record(ABORT, ID, &[]), piece);
        }
        connection.send_in(
            &[
                request("/status?4").keep(true).head(),
                record(ABORT, ID, &[]),
            ]
            .concat(),
            piece,
        );
        assert_eq!(connection.response().app_status, 4);
        assert_open(&mut connection);
    });
}

#[test]
fn an_abort_of_an_unknown_id_is_ignored() {
    every_way(|program, piece| {
        let mut connection = program.connect();
        let params = echo(b"body").pairs();
        let abort = record(ABORT, 2, &[]);
        let bytes = [
            abort.clone(),
            begin(ID, RESPONDER, true),
            abort.clone(),
            stream(PARAMS, ID, &params),
            abort.clone(),
            stream(STDIN, ID, b"body"),
            abort,
        ];
        connection.send_in(&bytes.concat(), piece);
        assert_eq!(connection.response().stdout, echoed(b"body"));
        assert_open(&mut connection);
    });
}
