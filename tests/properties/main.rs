//! Properties of every session, for any bytes in any fragmentation.

#[path = "../../fuzz/src/lib.rs"]
#[allow(dead_code, missing_docs, unreachable_pub)]
mod checks;
mod sessions;

use checks::pieces::{Lengths, cut};
use checks::response::{self, Act};
use checks::session::{Host, Seen, observe};
use checks::{conn, records, wire};
use fcgipm::conn::{Inbound, Scope, Stream};
use fcgipm::wire::{PairLimits, padding_for};
use proptest::collection::vec;
use proptest::prelude::*;
use sessions::{hosts, limits, sessions};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_session_in_any_pieces_gives_the_same_events_and_replies(
        session in sessions(),
        host in hosts(),
        seed: u64,
    ) {
        conn::check_splits(host, &session, seed);
    }

    #[test]
    fn a_session_in_two_pieces_gives_the_same_events_and_replies(
        session in sessions(),
        host in hosts(),
        at: prop::sample::Index,
    ) {
        let whole = observe(host, [&session[..]]);
        let (first, second) = session.split_at(at.index(session.len() + 1));
        prop_assert_eq!(observe(host, [first, second]), whole);
    }

    #[test]
    fn damaged_sessions_in_any_pieces_give_the_same_events_and_replies(
        mut session in sessions(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        truncated_at: prop::sample::Index,
        host in hosts(),
        seed: u64,
    ) {
        if !session.is_empty() {
            for (at, byte) in damage {
                let at = at.index(session.len());
                session[at] = byte;
            }
            session.truncate(1 + truncated_at.index(session.len()));
        }
        conn::check_splits(host, &session, seed);
    }

    #[test]
    fn any_bytes_in_any_pieces_give_the_same_events_and_replies(
        bytes in vec(any::<u8>(), 0..2_000),
        host in hosts(),
        seed: u64,
    ) {
        conn::check_splits(host, &bytes, seed);
    }

    #[test]
    fn headers_survive_the_round_trip(bytes: [u8; 8]) {
        wire::check_header(bytes);
        wire::check_bodies(bytes);
    }

    #[test]
    fn pairs_survive_the_round_trip(pairs in vec(sessions::pair(), 0..20), seed: u64) {
        let mut bytes = Vec::new();
        for (name, value) in &pairs {
            records::put_pair(&mut bytes, name, value);
        }
        let mut encoded = Vec::new();
        for (name, value) in &pairs {
            fcgipm::wire::encode_pair(name, value, &mut encoded);
        }
        prop_assert_eq!(&encoded, &bytes, "the encoder differs from the specification");
        wire::check_pairs(&bytes, seed);
    }

    #[test]
    fn any_bytes_are_pairs_or_an_incomplete_pair(bytes in vec(any::<u8>(), 0..600), seed: u64) {
        wire::check_pairs(&bytes, seed);
    }

    #[test]
    fn limits_are_enforced_at_the_same_pair_in_any_pieces(
        pairs in vec(sessions::pair(), 0..20),
        limits in limits(),
        seed: u64,
    ) {
        let mut bytes = Vec::new();
        for (name, value) in &pairs {
            records::put_pair(&mut bytes, name, value);
        }
        wire::check_limits(&bytes, limits, seed);
    }

    #[test]
    fn parameters_arrive_as_they_were_sent(pairs in vec(sessions::pair(), 0..30), seed: u64) {
        let mut bytes = Vec::new();
        for (name, value) in &pairs {
            records::put_pair(&mut bytes, name, value);
        }
        let mut session = Vec::new();
        records::put_begin(&mut session, 1, 1, false, 0);
        for piece in cut(&bytes, Lengths::new(seed).map(|length| length.min(65_535))) {
            records::put(&mut session, records::PARAMS, 1, piece, padding_for(piece.len() as u16));
        }
        records::put(&mut session, records::PARAMS, 1, &[], 0);

        let mut inbound = Inbound::new(wire::NO_LIMITS);
        for piece in cut(&session, Lengths::new(!seed)) {
            prop_assert!(inbound.handle(piece).is_ok());
        }
        let of_request = inbound.role().expect("not begun");
        let params = inbound.params_mut();
        // The widest scope has every sent pair once, in the order of its kind.
        let clean = |pair: &&(Vec<u8>, Vec<u8>)| {
            let (name, value) = pair;
            !name.is_empty() && !name.iter().any(|b| b"=\0".contains(b)) && !value.contains(&0)
        };
        let proxy = |pair: &&(Vec<u8>, Vec<u8>)| pair.0 == b"HTTP_PROXY";
        let role = (b"FCGI_ROLE".to_vec(), b"RESPONDER".to_vec());
        let expected: Vec<_> = pairs.iter().filter(clean).filter(|p| !proxy(p))
            .chain([&role])
            .chain(pairs.iter().filter(clean).filter(proxy))
            .chain(pairs.iter().filter(|p| !clean(p)))
            .cloned()
            .collect();
        // Before and after the scopes are known.
        for _ in 0..2 {
            for (name, _) in &expected {
                let last = expected.iter().rfind(|(n, _)| n == name).map(|(_, v)| &v[..]);
                prop_assert_eq!(params.get(name), last);
            }
            prop_assert_eq!(params.get(b"NAME_OF_NONE"), None);
            checks::session::check_scopes(params, of_request);
        }
        let found: Vec<_> = params.iter(Scope::All).map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
        prop_assert_eq!(&found, &expected);
        let last_clean = |wanted: &[u8]| {
            let named = |pair: &&(Vec<u8>, Vec<u8>)| pair.0 == wanted && clean(pair);
            pairs.iter().rfind(named).map_or(&b""[..], |(_, value)| value)
        };
        prop_assert_eq!(params.method(), last_clean(b"REQUEST_METHOD"));
        let uri = match last_clean(b"REQUEST_URI") {
            b"" => last_clean(b"SCRIPT_NAME"),
            uri => uri,
        };
        prop_assert_eq!(params.uri(), uri);
    }

    #[test]
    fn a_response_arrives_as_it_was_written(acts in vec(act(), 0..40)) {
        response::check(&acts);
    }
}

fn act() -> impl Strategy<Value = Act> {
    let stream = || prop_oneof![3 => Just(Stream::Stdout), 1 => Just(Stream::Stderr)];
    let bytes = |length: std::ops::Range<usize>| {
        (length, any::<u8>()).prop_map(|(length, first)| {
            (0..length)
                .map(|i| (i as u8).wrapping_add(first))
                .collect::<Vec<_>>()
        })
    };
    prop_oneof![
        6 => (stream(), bytes(0..200)).prop_map(|(stream, data)| Act::Gather(stream, data)),
        2 => (stream(), bytes(0..40_000)).prop_map(|(stream, data)| Act::Gather(stream, data)),
        2 => (stream(), bytes(1..200_000)).prop_map(|(stream, data)| Act::Framed(stream, data)),
        2 => bytes(0..64).prop_map(Act::Answer),
        1 => Just(Act::Flush),
        1 => any::<u32>().prop_map(Act::End),
    ]
}

const READS_ALL: Host = Host {
    reads: usize::MAX,
    lingers: true,
    parks: true,
    limits: PairLimits {
        count: 100,
        pair: 10_000,
        total: 100_000,
    },
};

/// Generated sessions are only compared with each other. This one is compared with the
/// specification.
#[test]
fn a_known_session_gives_the_known_events() {
    let mut session = Vec::new();
    records::put_begin(&mut session, 1, 1, true, 0);
    records::put(&mut session, records::PARAMS, 1, &[], 0);
    records::put(&mut session, records::STDIN, 1, b"body", 4);
    records::put_begin(&mut session, 2, 1, false, 0);
    records::put(&mut session, records::STDIN, 1, &[], 8);
    records::put(&mut session, 77, 0, b"?", 7);
    records::put_begin(&mut session, 3, 2, false, 0);
    records::put(&mut session, records::PARAMS, 3, &[], 0);

    let request = |id, role: usize, keep| {
        let mut params = Vec::new();
        let role: &str = ["RESPONDER", "AUTHORIZER"][role];
        params.extend((9u32).to_be_bytes());
        params.extend(b"FCGI_ROLE\0");
        params.extend((role.len() as u32).to_be_bytes());
        params.extend(role.as_bytes());
        params.push(0);
        let role = fcgipm::wire::Role::from_number(if role == "RESPONDER" { 1 } else { 2 });
        Seen::Request {
            id,
            role: role.expect("unknown role"),
            keep,
            params,
        }
    };
    let expected = [
        request(1, 0, true),
        Seen::Stdin(b"body".to_vec()),
        // A multiplexed request is refused.
        Seen::Replied(vec![1, 3, 0, 2, 0, 8, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]),
        Seen::StdinEnd,
        Seen::Replied(vec![1, 11, 0, 0, 0, 8, 0, 0, 77, 0, 0, 0, 0, 0, 0, 0]),
        // The request after the end waits until the first one is finished.
        Seen::Finished,
        request(3, 1, false),
    ];
    for lengths in [vec![], vec![1; session.len()], vec![11; 20]] {
        assert_eq!(observe(READS_ALL, cut(&session, lengths)), expected);
    }
}

/// A former defect: padding hid the request after it, which was refused.
#[test]
fn a_pipelined_request_is_kept_after_padding_and_after_management_records() {
    for (padding, questions) in [(0, 0), (8, 0), (255, 0), (0, 1), (7, 3)] {
        let mut session = Vec::new();
        for id in [1, 2] {
            records::put_begin(&mut session, id, 1, true, 0);
            records::put(&mut session, records::PARAMS, id, &[], 0);
            records::put(&mut session, records::STDIN, id, &[], padding);
            for _ in 0..questions {
                records::put(&mut session, records::GET_VALUES, 0, &[], padding);
            }
        }
        let seen = observe(READS_ALL, [&session[..]]);
        let requests = seen
            .iter()
            .filter(|seen| matches!(seen, Seen::Request { .. }))
            .count();
        assert_eq!(requests, 2, "{seen:?}");
    }
}
/// A former defect: a byte within a record counted as the first byte of a next request.
#[test]
fn a_record_after_the_end_that_arrives_byte_by_byte_is_read_completely() {
    let mut session = Vec::new();
    records::put_begin(&mut session, 1, 1, false, 0);
    records::put(&mut session, records::PARAMS, 1, &[], 0);
    records::put(&mut session, records::STDIN, 1, &[], 0);
    records::put(&mut session, records::GET_VALUES, 0, b"x", 0);
    let pieces = observe(READS_ALL, cut(&session, vec![1; session.len()]));
    assert!(
        matches!(pieces.last(), Some(Seen::Replied(_))),
        "{pieces:?}"
    );
    assert_eq!(pieces, observe(READS_ALL, [&session[..]]));
}
