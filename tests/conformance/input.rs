//! The input of a request: its end, how it breaks off, and its unread rest.

use super::peer::records::*;
use super::{echo, echoed, every_way, exchange};

#[test]
fn a_body_that_breaks_off_is_an_error_instead_of_an_end() {
    every_way(|program, piece| {
        let whole = echo(b"0123456789").bytes();
        let head = echo(b"0123456789").head().len();
        // Before the body, within its header, within its bytes, and before the empty record.
        for (end, arrived) in [(0, ""), (5, ""), (8 + 4, "0123"), (8 + 10, "0123456789")] {
            let mut connection = program.connect();
            connection.send_in(&whole[..head + end], piece);
            connection.end();
            let broken = program
                .api
                .translate("FCGIPM_EINCOMPLETE FCGIPM_EINCOMPLETE FCGIPM_EINCOMPLETE end=0");
            assert_eq!(connection.response().text(), format!("{arrived}|{broken}"));
            connection.assert_closed();
        }
    });
}

#[test]
fn the_input_ends_with_its_empty_record_independent_of_content_length() {
    every_way(|program, piece| {
        let bytes = [echo(b"ten bytes!").head(), stream(STDIN, ID, b"four")].concat();
        assert_eq!(exchange(program, &bytes, piece).stdout, echoed(b"four"));
    });
}

#[test]
fn reads_stop_at_a_line_a_size_or_the_end() {
    every_way(|program, piece| {
        let body = b"one\ntwo\n\nfour, which is longer than the buffer\nno newline";
        let text = exchange(program, &request("/lines?20").body(body).bytes(), piece).text();
        let lines =
            "4:one\n4:two\n1:\n20:four, which is longe18:r than the buffer\n10:no newline|ok";
        assert_eq!(text, lines);
        let part = |size: usize| {
            let request = request(&format!("/read?{size}")).body("0123456789");
            exchange(program, &request.bytes(), piece).text()
        };
        assert_eq!(part(4), "0123|ok end=0");
        assert_eq!(part(20), "0123456789|ok end=1");
        assert_eq!(part(0), "|ok end=0");
    });
}

#[test]
fn unread_input_of_a_finished_request_is_discarded() {
    every_way(|program, piece| {
        // If the body were parsed as records, the application would run once more.
        let decoy = request("/status?9").keep(true).bytes();
        for command in ["/status?5", "/read?3"] {
            let before = program.served();
            let mut connection = program.connect();
            let first = request(command).body(&decoy).keep(true);
            connection.send_in(&first.bytes(), piece);
            connection.response();
            assert_eq!(connection.call(&echo(b"next")).stdout, echoed(b"next"));
            connection.assert_closed();
            assert_eq!(program.served(), before + 3);
        }
    });
}

#[test]
fn a_body_that_arrives_after_the_response_is_discarded() {
    every_way(|program, piece| {
        let decoy = request("/status?9").keep(true).bytes();
        let before = program.served();
        let mut connection = program.connect();
        let first = request("/status?5").body(&decoy).keep(true);
        let (head, whole) = (first.head().len(), first.bytes());
        for start in [head, head + 3, head + 8, head + 20] {
            connection.send_in(&whole[..start], piece);
            assert_eq!(connection.response().app_status, 5);
            connection.send_in(&whole[start..], piece);
            assert_eq!(
                connection.call(&echo(b"next").keep(true)).stdout,
                echoed(b"next")
            );
        }
        assert_eq!(program.served(), before + 9);
    });
}

#[test]
fn pipelined_requests_are_answered() {
    every_way(|program, piece| {
        let mut connection = program.connect();
        let mut bytes = Vec::new();
        for i in 0..20_u16 {
            let body = format!("body {i}");
            let path = if i % 3 == 0 { "/read?2" } else { "/echo" };
            bytes.extend(request(path).id(i + 1).body(&body).keep(i < 19).bytes());
        }
        connection.send_in(&bytes, piece);
        for i in 0..20_u16 {
            let body = format!("body {i}");
            let response = connection.response_to(i + 1);
            let expected = if i % 3 == 0 {
                b"bo|ok end=0".to_vec()
            } else {
                echoed(body.as_bytes())
            };
            assert_eq!(response.stdout, expected);
        }
        connection.assert_closed();
    });
}

#[test]
fn a_pipelined_request_that_arrives_in_two_parts_is_answered() {
    every_way(|program, _| {
        let first = echo(b"first").keep(true).bytes();
        let second = request("/status?6").body("second").keep(true).bytes();
        for cut in [1, 2, 7, 8, 9, 16, 17, 30, second.len() - 1] {
            let mut connection = program.connect();
            connection.send(&[first.as_slice(), &second[..cut]].concat());
            assert_eq!(connection.response().stdout, echoed(b"first"));
            connection.send(&second[cut..]);
            assert_eq!(connection.response().app_status, 6);
        }
    });
}

#[test]
fn a_large_unread_body_does_not_cause_a_reset_before_the_response() {
    every_way(|program, _| {
        let body = vec![b'x'; 3 << 20];
        for keep in [false, true] {
            let mut connection = program.connect();
            connection.send(&request("/status?5").body(&body).keep(keep).bytes());
            assert_eq!(connection.response().app_status, 5);
            if keep {
                assert_eq!(connection.call(&echo(b"next")).stdout, echoed(b"next"));
            }
            connection.assert_closed();
        }
    });
}

#[test]
fn a_connection_is_kept_or_closed_as_requested() {
    every_way(|program, piece| {
        let mut connection = program.connect();
        for _ in 0..3 {
            connection.send_in(&echo(b"x").keep(true).bytes(), piece);
            assert_eq!(connection.response().stdout, echoed(b"x"));
        }
        connection.send_in(&echo(b"x").bytes(), piece);
        connection.response();
        connection.assert_closed();
    });
}
