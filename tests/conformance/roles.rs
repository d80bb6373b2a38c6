//! Filter and authorizer (sections 6.3 and 6.4).

use super::application::Api;
use super::peer::records::*;
use super::{every_way, exchange};

/// The response of a successful filter. In FCGX, as in libfcgi, starting the data too early closes
/// the input, so it does not try that.
fn filter_response(api: Api) -> &'static str {
    match api {
        Api::Native => NATIVE_FILTER_RESPONSE,
        Api::Fcgx => {
            "stdin=0123|ok ok ok end=1 start=0 ok data=file|ok ok ok end=1 late=-1 FCGX_CALL_SEQ_ERROR"
        }
    }
}

const NATIVE_FILTER_RESPONSE: &str = "early=FCGIPM_ESTATE 0 half=FCGIPM_ESTATE stdin=123|ok ok ok end=1 start=ok data=file|ok ok ok end=1 late=FCGIPM_ESTATE";

#[test]
fn a_filter_reads_its_input_and_then_starts_its_data() {
    every_way(|program, piece| {
        for keep in [true, false] {
            let filter = request("/filter").role(FILTER).keep(keep).body("0123");
            let filter = filter
                .param("FCGI_DATA_LENGTH", "4")
                .param("FCGI_DATA_LAST_MOD", "1");
            let mut connection = program.connect();
            connection.send_in(&[filter.bytes(), stream(DATA, ID, b"file")].concat(), piece);
            assert_eq!(connection.response().text(), filter_response(program.api));
            if keep {
                assert_eq!(connection.call(&request("/mixed")).stdout, b"ac");
            }
            connection.assert_closed();
        }
    });
}

#[test]
fn starting_the_data_too_early_closes_the_input_of_fcgx() {
    every_way(|program, piece| {
        if program.api == Api::Native {
            return;
        }
        let filter = request("/filter-early").role(FILTER).body("0123").bytes();
        let bytes = [filter, stream(DATA, ID, b"file")].concat();
        let error = "FCGX_CALL_SEQ_ERROR";
        assert_eq!(
            exchange(program, &bytes, piece).text(),
            format!("early=-1 {error} stdin=|{error} {error} {error} end=0")
        );
    });
}

#[test]
fn starting_the_data_twice_is_an_error_even_after_padding() {
    every_way(|program, piece| {
        let filter = request("/filter").role(FILTER).body("0123").bytes();
        let data = [padded(DATA, ID, b"file", 4), padded(DATA, ID, &[], 200)].concat();
        assert_eq!(
            exchange(program, &[filter, data].concat(), piece).text(),
            filter_response(program.api)
        );
    });
}

#[test]
fn a_filters_file_is_described_by_ordinary_parameters() {
    every_way(|program, piece| {
        let filter = request("/params?0")
            .role(FILTER)
            .param("FCGI_DATA_LENGTH", "4")
            .param("FCGI_DATA_LAST_MOD", "9");
        let response = exchange(
            program,
            &[filter.bytes(), stream(DATA, ID, b"file")].concat(),
            piece,
        );
        assert_eq!(response.param("FCGI_DATA_LENGTH"), Some(b"4".to_vec()));
        assert_eq!(response.param("FCGI_DATA_LAST_MOD"), Some(b"9".to_vec()));
    });
}

#[test]
fn data_before_the_end_of_a_filters_input_is_an_error() {
    every_way(|program, piece| {
        let filter = request("/echo").role(FILTER).head();
        let bytes = [filter, record(STDIN, ID, b"x"), record(DATA, ID, b"file")].concat();
        let text = exchange(program, &bytes, piece).text();
        assert_eq!(
            text,
            program
                .api
                .translate("x|FCGIPM_EPROTOCOL FCGIPM_EPROTOCOL FCGIPM_EPROTOCOL end=0")
        );
    });
}

#[test]
fn other_roles_have_no_data() {
    every_way(|program, piece| {
        let bytes = [
            request("/filter").head(),
            record(DATA, ID, b"no"),
            stream(STDIN, ID, b"01"),
        ]
        .concat();
        let text = exchange(program, &bytes, piece).text();
        if program.api == Api::Fcgx {
            let error = "FCGX_CALL_SEQ_ERROR";
            let expected = format!(
                "stdin=01|ok ok ok end=1 start=-1 {error} data=|{error} {error} {error} end=0 late=-1 {error}"
            );
            assert_eq!(text, expected);
            return;
        }
        assert!(
            text.starts_with("early=FCGIPM_ESTATE 0 half=FCGIPM_ESTATE stdin=1|ok"),
            "{text}"
        );
        assert!(text.contains("start=FCGIPM_ESTATE data=|ok"), "{text}");
    });
}

#[test]
fn an_authorizer_has_no_input() {
    every_way(|program, piece| {
        for keep in [true, false] {
            let head = request("/echo").role(AUTHORIZER).keep(keep).head();
            // A web server may close the stream, although an authorizer has none.
            for rest in [vec![], record(STDIN, ID, &[]), padded(STDIN, ID, &[], 8)] {
                let mut connection = program.connect();
                connection.send_in(&head, piece);
                assert_eq!(connection.response().text(), "|ok ok ok end=1");
                if keep {
                    connection.send_in(&rest, piece);
                    assert_eq!(connection.call(&request("/mixed")).stdout, b"ac");
                }
                connection.assert_closed();
            }
        }
    });
}

#[test]
fn the_role_and_the_peer_are_reported() {
    every_way(|program, piece| {
        for role in [RESPONDER, AUTHORIZER, FILTER] {
            for keep in [true, false] {
                let bytes = request("/about").role(role).keep(keep).bytes();
                let text = exchange(program, &bytes, piece).text();
                assert!(
                    text.starts_with(&format!("role={role} keep={} peer=", u8::from(keep))),
                    "{text}"
                );
                assert!(
                    text.contains("peer=unix:") || text.contains("peer=127.0.0.1:"),
                    "{text}"
                );
            }
        }
    });
}
