//! Scopes and formats, in any order of calls.

use super::*;
use crate::wire::encode_pair;

const LIMITS: PairLimits = PairLimits {
    count: 100,
    pair: 10_000,
    total: 100_000,
};

#[cfg(test)]
fn decoded(pairs: &[(&[u8], &[u8])]) -> Params {
    let mut bytes = Vec::new();
    pairs
        .iter()
        .for_each(|(name, value)| encode_pair(name, value, &mut bytes));
    let mut params = Params::new(LIMITS);
    params.push(&bytes).unwrap();
    params.complete(Role::Responder);
    params
}

#[test]
fn unsafe_parameters_are_only_in_the_wider_scopes() {
    let long = vec![b'v'; 300];
    let mut params = decoded(&[
        (b"A", b"1"),
        (b"HTTP_PROXY", b"evil:8080"),
        (b"B=C", b"2"),
        (b"NUL", b"a\0b"),
        (b"", b"nameless"),
        (b"LONG", &long),
    ]);
    let mut names = |scope| {
        params
            .iter(scope)
            .map(|(n, _)| n.to_vec())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(Scope::Environment),
        [&b"A"[..], b"LONG", b"FCGI_ROLE"]
    );
    assert_eq!(
        names(Scope::WellFormed),
        [&b"A"[..], b"LONG", b"FCGI_ROLE", b"HTTP_PROXY"]
    );
    assert_eq!(names(Scope::All).len(), 7);
    assert_eq!(params.get(b"HTTP_PROXY"), Some(&b"evil:8080"[..]));
    assert_eq!(params.get(b"NUL"), Some(&b"a\0b"[..]));
    assert_eq!(params.get(b"LONG"), Some(&long[..]));
    assert_eq!(params.get(b"FCGI_ROLE"), Some(&b"RESPONDER"[..]));
    assert_eq!(params.get(b"NONE"), None);
}

fn columns(params: &mut Params, scope: Scope, held: &[u8]) -> Vec<u8> {
    let mut buffer = [b'-'; 60];
    let length = params.copy_columns(scope, held, &mut buffer);
    assert!(buffer[length..].iter().all(|&byte| byte == b'-'));
    let mut small = vec![b'-'; length - 1];
    assert_eq!(params.copy_columns(scope, held, &mut small), length);
    assert!(small.iter().all(|&byte| byte == b'-'), "whole or not");
    buffer[..length].to_vec()
}

#[test]
fn columns_have_the_names_first() {
    let mut params = decoded(&[(b"A", b"1"), (b"HTTP_PROXY", b"p"), (b"B", b"")]);
    assert_eq!(
        columns(&mut params, Scope::Environment, b""),
        b"A\0B\0FCGI_ROLE\0\x001\0\0RESPONDER\0"
    );
    assert_eq!(
        columns(&mut params, Scope::WellFormed, b""),
        b"A\0B\0FCGI_ROLE\0HTTP_PROXY\0\x001\0\0RESPONDER\0p\0"
    );
}

#[test]
fn only_differences_from_the_held_columns_are_copied() {
    let scope = Scope::Environment;
    let mut params = decoded(&[(b"A", b"1"), (b"B", b""), (b"C", b"3")]);
    let whole = columns(&mut params, scope, b"");
    assert_eq!(columns(&mut params, scope, &whole), b"\0B\0\0");
    for (held, copied) in [
        (
            &b"A\0B\0C\0FCGI_ROLE\0\x001\0x\x002\0RESPONDER\0"[..],
            &b"\0B\0\0C\x003\0"[..],
        ),
        (
            b"A\0B\0C\0FCGI_ROLE\0\0\0\x003\0RESPONDER\0",
            b"\0A\x001\0B\0\0",
        ),
        // Other names, another order, a value too many or too few, no final NUL, not a copy.
        (b"A\0B\0D\0FCGI_ROLE\0\x001\0\x003\0RESPONDER\0", &whole),
        (b"B\0A\0C\0FCGI_ROLE\0\x001\0\x003\0RESPONDER\0", &whole),
        (
            b"A\0B\0C\0FCGI_ROLE\0E\0\x001\0\x003\0RESPONDER\0e\0",
            &whole,
        ),
        (b"A\0B\0C\0FCGI_ROLE\0\x001\0\0\x003\0RESPONDER\0", &whole),
        (b"A\0B\0C\0FCGI_ROLE\0\x001\x003\0RESPONDER\0", &whole),
        (b"A\0B\0C\0FCGI_ROLE\0\x001\0\x003\0RESPONDER", &whole),
        (b"A\0B\0C\0FCGI_ROLE\0\0", &whole),
        (b"A\0B", &whole),
        (b"\0", &whole),
    ] {
        assert_eq!(columns(&mut params, scope, held), copied, "{held:?}");
    }
}

#[test]
fn a_pair_is_decoded_the_same_whole_or_in_pieces() {
    let pairs: [(&[u8], &[u8]); 9] = [
        (b"A", b""),
        (b"REQUEST_METHOD", b"GET"),
        (b"HTTP_PROXY", b"p"),
        (b"", b"nameless"),
        (b"NAME=", b"v"),
        (
            b"LONG_NAME_OF_A_HEADER",
            b"a value that is longer than eight",
        ),
        (b"NUL", b"12345678\0"),
        (b"REQUEST_URI", b"/"),
        (b"SCRIPT_NAME", b"/script"),
    ];
    let mut bytes = Vec::new();
    let (mut whole, mut pieces) = (Params::new(LIMITS), Params::new(LIMITS));
    for (name, value) in pairs {
        encode_pair(name, value, &mut bytes);
    }
    whole.push(&bytes).unwrap();
    for byte in bytes.chunks(1) {
        pieces.push(byte).unwrap();
    }
    for params in [&mut whole, &mut pieces] {
        assert!(params.at_boundary());
        params.complete(Role::Filter);
    }
    for scope in [Scope::Environment, Scope::WellFormed, Scope::All] {
        assert_eq!(whole.flat(scope), pieces.flat(scope));
    }
    let begin = b"\0\0\0\x01A\0\0\0\0\0\0\0\0\0\x0eREQUEST_METHOD\0\0\0\0\x03GET\0";
    assert!(whole.flat(Scope::All).starts_with(begin));
    assert_eq!(
        (whole.method(), whole.uri()),
        (pieces.method(), pieces.uri())
    );
    assert_eq!((whole.method(), whole.uri()), (&b"GET"[..], &b"/"[..]));
}

#[test]
fn the_method_and_the_uri_are_found() {
    let long = vec![b'v'; 300];
    let params = decoded(&[
        (b"SCRIPT_NAME", b"/script"),
        (b"REQUEST_METHOD", b"GET"),
        (b"LONG", &long),
        (b"REQUEST_URI", b"/first"),
        (b"B=C", b"held back"),
        (b"REQUEST_URI", b"/uri?x=1"),
        (b"REQUEST_URI", b"/with\0nul"),
        (b"REQUEST_URX", b"/other"),
    ]);
    assert_eq!(params.method(), b"GET");
    assert_eq!(params.uri(), b"/uri?x=1");
    let params = decoded(&[(b"SCRIPT_NAME", b"/script"), (b"REQUEST_URI", b"")]);
    assert_eq!((params.method(), params.uri()), (&b""[..], &b"/script"[..]));
    let mut params = decoded(&[(b"REQUEST_METHOD", b"PUT"), (b"REQUEST_URI", b"/a")]);
    params.clear();
    assert_eq!((params.method(), params.uri()), (&b""[..], &b""[..]));
}

#[test]
fn the_last_of_several_parameters_with_one_name_is_used() {
    assert_eq!(
        decoded(&[(b"A", b"1"), (b"A", b"2")]).get(b"A"),
        Some(&b"2"[..])
    );
    // Parameters outside the environment scope are sorted last.
    let mut params = decoded(&[
        (b"A", b"1\0"),
        (b"A", b"2"),
        (b"=", b"3\0"),
        (b"=", b"4"),
        (b"FCGI_ROLE", b"theirs"),
    ]);
    for _ in 0..2 {
        assert_eq!(params.get(b"A"), Some(&b"1\0"[..]));
        assert_eq!(params.get(b"="), Some(&b"4"[..]));
        assert_eq!(params.get(b"FCGI_ROLE"), Some(&b"RESPONDER"[..]));
        assert_eq!(params.iter(Scope::All).count(), 6);
    }
}

#[test]
fn several_parameters_are_found_together_as_one_is() {
    let mut wanted = Wanted::default();
    let long = b"N".repeat(64 + 1);
    let names = [&b"A"[..], b"=", b"FCGI_ROLE", b"B", b"", &long];
    let places = names.map(|name| wanted.add(name));
    assert_eq!(places, [0, 1, 2, 3, 4, 5]);
    assert_eq!(wanted.add(b"B"), 3);
    let pairs = [
        (&b"A"[..], &b"1\0"[..]),
        (b"A", b"2"),
        (b"=", b"3"),
        (b"C", b"4"),
        (b"", b"5"),
        (&long, b"6"),
    ];
    let mut params = decoded(&pairs);
    let mut found = Vec::new();
    params.find_all(&wanted, &mut found);
    let values: Vec<&[u8]> = found.iter().map(|pair| params.value(*pair)).collect();
    assert_eq!(values, [&b"1\0"[..], b"3", b"RESPONDER", b"", b"", b"6"]);
    for (name, pair) in names.iter().zip(found).filter(|(name, _)| !name.is_empty()) {
        let alone = params.get(name).unwrap_or_default().to_vec();
        assert_eq!(params.value(pair), alone, "{name:?}");
    }
}

#[test]
fn each_value_is_followed_by_a_nul_in_place() {
    let long = vec![b'v'; 300];
    let pairs: [(&[u8], &[u8]); 6] = [
        (b"A", b"1"),
        (b"EMPTY", b""),
        (b"LONG", &long),
        (b"", b"nameless"),
        (b"Z", b"behind"),
        (b"LAST", b""),
    ];
    let mut params = decoded(&pairs);
    for (name, value) in pairs
        .into_iter()
        .chain([(&b"FCGI_ROLE"[..], &b"RESPONDER"[..])])
    {
        assert_eq!(params.get(name), Some(value));
        let start = params.get(name).unwrap().as_ptr() as usize - params.bytes.as_ptr() as usize;
        assert_eq!(params.bytes[start + value.len()], 0, "{name:?}");
    }
    let before = params.bytes.clone();
    for scope in [Scope::All, Scope::Environment] {
        assert!(!params.flat(scope).is_empty());
    }
    assert_eq!(params.bytes, before, "what was handed out stays");
}

#[test]
fn nothing_remains_of_the_previous_request() {
    let mut params = decoded(&[(b"SECRET", b"s"), (b"HTTP_PROXY", b"p"), (b"N", b"\0")]);
    assert_eq!(params.iter(Scope::All).count(), 4);
    assert_eq!(params.flat(Scope::All).len(), params.whole.text + 40);
    params.clear();
    assert_eq!(params.iter(Scope::All).count(), 0);
    assert!(params.flat(Scope::All).is_empty());
    params.push(b"\x01\x01AB").unwrap();
    params.complete(Role::Authorizer);
    let names: Vec<_> = params.iter(Scope::All).map(|(name, _)| name).collect();
    assert_eq!(names, [&b"A"[..], b"FCGI_ROLE"]);
    assert_eq!(params.get(b"SECRET"), None);
    assert_eq!(params.flat(Scope::All).len(), 2 + 19 + 20);
}

#[test]
fn the_memory_of_an_unusual_request_is_freed() {
    let most = usize::MAX;
    let mut params = Params::new(PairLimits {
        count: most,
        pair: most,
        total: most,
    });
    let mut bytes = Vec::new();
    (0..20_000).for_each(|_| encode_pair(b"=", b"twenty bytes of value", &mut bytes));
    params.push(&bytes).unwrap();
    params.complete(Role::Responder);
    assert!(!params.flat(Scope::All).is_empty());
    params.clear();
    assert_eq!(params.memory(), 0);
    assert_eq!(params.bytes.capacity() + params.flat.capacity(), 0);
    assert_eq!(params.pairs.capacity() + params.malformed.capacity(), 0);
}
