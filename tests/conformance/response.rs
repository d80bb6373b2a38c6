//! The response: its records, their order and their size.

use super::peer::records::*;
use super::{every_way, exchange};

fn kinds(response: &Response) -> Vec<(u8, usize)> {
    response
        .records
        .iter()
        .map(|record| (record.kind, record.content.len()))
        .collect()
}

#[test]
fn an_empty_response_is_an_empty_stdout_and_the_end() {
    every_way(|program, piece| {
        let response = exchange(program, &request("/nothing").bytes(), piece);
        assert_eq!(kinds(&response), [(STDOUT, 0), (END, 8)]);
        assert_eq!(
            (response.app_status, response.protocol_status),
            (0, REQUEST_COMPLETE)
        );
    });
}

#[test]
fn each_used_stream_is_closed() {
    every_way(|program, piece| {
        let response = exchange(program, &request("/mixed").bytes(), piece);
        assert_eq!(
            (response.stdout.as_slice(), response.stderr.as_slice()),
            (&b"ac"[..], &b"b"[..])
        );
        let kinds = kinds(&response);
        assert_eq!(kinds[..3], [(STDOUT, 1), (STDERR, 1), (STDOUT, 1)]);
        assert!(kinds.contains(&(STDOUT, 0)) && kinds.contains(&(STDERR, 0)));
        assert_eq!((kinds.len(), kinds[5]), (6, (END, 8)));
        let response = exchange(program, &request("/write?2-10-10").bytes(), piece);
        assert_eq!(response.stderr, b"abcdefghij");
        assert!(response.stdout.is_empty());
    });
}

#[test]
fn the_exit_status_has_32_bits() {
    every_way(|program, piece| {
        for status in [0_u32, 1, 255, 256, 65_536, u32::MAX] {
            let response = exchange(
                program,
                &request(&format!("/status?{status}")).bytes(),
                piece,
            );
            assert_eq!(
                (response.app_status, response.protocol_status),
                (status, REQUEST_COMPLETE)
            );
        }
    });
}

#[test]
fn the_response_has_the_id_of_the_request() {
    every_way(|program, piece| {
        for id in [1, 2, 255, 256, 65_535] {
            let mut connection = program.connect();
            connection.send_in(&request("/mixed").id(id).bytes(), piece);
            assert_eq!(connection.response_to(id).stdout, b"ac");
        }
    });
}

#[test]
fn records_are_bounded_and_aligned_for_any_size_of_writes() {
    let pattern = |total: usize, piece: usize| -> Vec<u8> {
        (0..total)
            .map(|i| b'a' + ((i % piece) % 26) as u8)
            .collect()
    };
    every_way(|program, _| {
        for (total, piece) in [
            (1, 1),
            (7, 1),
            (8, 8),
            (100_000, 1_000),
            (8_191, 8_191),
            (8_192, 8_192),
            (65_528, 65_528),
            (65_535, 65_535),
            (65_536, 65_536),
            (65_537, 65_537),
            (300_000, 70_001),
            (3_000_000, 3_000_000),
        ] {
            for (kind, number) in [(STDOUT, 1), (STDERR, 2)] {
                let response = exchange(
                    program,
                    &request(&format!("/write?{number}-{total}-{piece}")).bytes(),
                    usize::MAX,
                );
                let stream = if kind == STDOUT {
                    &response.stdout
                } else {
                    &response.stderr
                };
                assert!(
                    *stream == pattern(total, piece),
                    "{total} bytes in writes of {piece}"
                );
                for record in &response.records {
                    assert_eq!(
                        (record.content.len() + record.padding) % 8,
                        0,
                        "not aligned to 8"
                    );
                    assert!(record.padding < 8);
                }
                let empty = response
                    .records
                    .iter()
                    .filter(|r| r.kind == kind && r.content.is_empty());
                assert_eq!(
                    empty.count(),
                    1,
                    "only one empty record, at the end of the stream"
                );
            }
        }
    });
}

#[test]
fn a_disconnected_peer_does_not_end_the_program() {
    every_way(|program, _| {
        for _ in 0..5 {
            let mut connection = program.connect();
            connection.send(&request("/write?1-3000000-50000").bytes());
            connection.record();
            drop(connection);
        }
        assert_eq!(
            exchange(program, &request("/mixed").bytes(), usize::MAX).stdout,
            b"ac"
        );
    });
}

#[test]
fn an_abandoned_request_is_closed_without_an_answer() {
    every_way(|program, piece| {
        let mut connection = program.connect();
        connection.try_send_in(&request("/abandon").keep(true).bytes(), piece);
        connection.assert_closed();
    });
}
