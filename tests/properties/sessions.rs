//! Sessions as from correct and from broken web servers.

use fcgipm::wire::PairLimits;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::checks::records::{self, put, put_begin, put_pair};
use crate::checks::session::Host;

pub(crate) fn hosts() -> impl Strategy<Value = Host> {
    let reads = prop_oneof![2 => Just(usize::MAX), 1 => Just(0), 1 => 1..3_000usize];
    (reads, any::<bool>(), any::<bool>(), limits()).prop_map(|(reads, lingers, parks, limits)| {
        Host {
            reads,
            lingers,
            parks,
            limits,
        }
    })
}

pub(crate) fn limits() -> impl Strategy<Value = PairLimits> {
    let limits = |count, pair, total| PairLimits { count, pair, total };
    prop_oneof![
        3 => Just(limits(1_000, 1 << 20, 1 << 23)),
        1 => (1..20usize, 1..400usize, 1..2_000usize)
            .prop_map(move |(count, pair, total)| limits(count, pair, total)),
    ]
}

/// Names and values, including some that must not be in an environment, with lengths around the
/// limit of the one-byte form.
pub(crate) fn pair() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let name = prop_oneof![
        8 => "[A-Z_]{1,20}".prop_map(String::into_bytes),
        1 => Just(b"HTTP_PROXY".to_vec()),
        1 => Just(b"FCGI_ROLE".to_vec()),
        1 => prop_oneof![Just("REQUEST_METHOD"), Just("REQUEST_URI"), Just("SCRIPT_NAME")]
            .prop_map(|name| name.as_bytes().to_vec()),
        1 => "[AB]".prop_map(String::into_bytes),
        1 => Just(b"HTTP_PROXY\0".to_vec()),
        1 => "[A-Z]{0,3}=[A-Z]{0,3}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..4),
        1 => (120..140usize).prop_map(|length| vec![b'N'; length]),
    ];
    let value = prop_oneof![
        6 => "[ -~]{0,40}".prop_map(String::into_bytes),
        1 => "[ab\0]{0,2}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..40),
        1 => (120..140usize).prop_map(|length| vec![b'v'; length]),
        1 => (0..4_000usize).prop_map(|length| vec![b'w'; length]),
    ];
    (name, value)
}

/// Up to five requests, one after another.
pub(crate) fn sessions() -> impl Strategy<Value = Vec<u8>> {
    vec(request(), 0..6).prop_map(|requests| requests.concat())
}

/// A record that can be between any two others.
#[derive(Clone, Debug)]
enum Between {
    Nothing,
    GetValues(Vec<u8>),
    UnknownManagement(u8, Vec<u8>),
    OfNoRequest(u8, Vec<u8>),
    UnknownApplication(u8, Vec<u8>),
    SecondBegin { other: bool, role: u16, keep: bool },
    AbortOfAnother,
    Abort,
}

fn between() -> impl Strategy<Value = Between> {
    let payload = || vec(any::<u8>(), 0..50);
    let names = vec(
        prop_oneof![
            Just("FCGI_MAX_CONNS"),
            Just("FCGI_MAX_REQS"),
            Just("FCGI_MPXS_CONNS"),
            "[A-Z_]{0,20}".prop_map(|_| "FCGI_NONE"),
        ],
        0..6,
    );
    let asked = names.prop_map(|names| {
        let mut asked = Vec::new();
        for name in names {
            put_pair(&mut asked, name.as_bytes(), b"");
        }
        asked
    });
    prop_oneof![
        24 => Just(Between::Nothing),
        2 => asked.prop_map(Between::GetValues),
        1 => payload().prop_map(Between::GetValues),
        2 => (any::<u8>(), payload()).prop_map(|(kind, p)| Between::UnknownManagement(kind, p)),
        1 => (1..=11u8, payload()).prop_map(|(kind, p)| Between::OfNoRequest(kind, p)),
        2 => (12..=255u8, payload()).prop_map(|(kind, p)| Between::UnknownApplication(kind, p)),
        2 => (any::<bool>(), 0..5u16, any::<bool>())
            .prop_map(|(other, role, keep)| Between::SecondBegin { other, role, keep }),
        1 => Just(Between::AbortOfAnother),
        1 => Just(Between::Abort),
    ]
}

/// Another request than the one that is being sent.
const OTHER: u16 = 0x4000;

impl Between {
    fn put(&self, out: &mut Vec<u8>, id: u16, padding: u8) {
        match self {
            Self::Nothing => {}
            Self::GetValues(asked) => put(out, records::GET_VALUES, 0, asked, padding),
            Self::UnknownManagement(kind, payload) => put(out, *kind, 0, payload, padding),
            Self::OfNoRequest(records::BEGIN, _) => {}
            Self::OfNoRequest(kind, payload) => put(out, *kind, OTHER, payload, padding),
            Self::UnknownApplication(kind, payload) => put(out, *kind, id, payload, padding),
            Self::SecondBegin { other, role, keep } => {
                put_begin(out, if *other { OTHER } else { id }, *role, *keep, padding);
            }
            Self::AbortOfAnother => put(out, records::ABORT, OTHER, &[], padding),
            Self::Abort => put(out, records::ABORT, id, &[], padding),
        }
    }
}

/// The contents of the records of a stream. An empty one closes it.
fn stream() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(vec(any::<u8>(), 1..200), 0..4)
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let role = prop_oneof![4 => Just(1u16), 2 => Just(2), 3 => Just(3), 1 => any::<u16>()];
    let padding = prop_oneof![3 => Just(0u8), 2 => 0..8u8, 1 => any::<u8>()];
    let noise = vec((between(), padding), 24);
    let keep = prop::bool::weighted(0.9);
    (
        (1..=300u16, role, keep),
        vec(pair(), 0..8),
        1..200usize,
        stream(),
        stream(),
        prop::bool::weighted(0.95),
        noise,
    )
        .prop_map(
            |((id, role, keep), pairs, chunk, stdin, data, closes, noise)| {
                let mut out = Vec::new();
                let mut noise = noise.iter().cycle();
                let mut with_noise = |out: &mut Vec<u8>, kind, content: &[u8]| {
                    if let Some((between, padding)) = noise.next() {
                        put(out, kind, id, content, *padding);
                        between.put(out, id, *padding);
                    }
                };
                put_begin(&mut out, id, role, keep, 0);
                let mut params = Vec::new();
                for (name, value) in &pairs {
                    put_pair(&mut params, name, value);
                }
                for content in params.chunks(chunk * 10) {
                    with_noise(&mut out, records::PARAMS, content);
                }
                with_noise(&mut out, records::PARAMS, &[]);
                for content in &stdin {
                    with_noise(&mut out, records::STDIN, content);
                }
                if closes {
                    with_noise(&mut out, records::STDIN, &[]);
                }
                if role == 3 {
                    for content in &data {
                        with_noise(&mut out, records::DATA, content);
                    }
                    with_noise(&mut out, records::DATA, &[]);
                }
                out
            },
        )
}
