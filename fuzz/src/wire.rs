//! Headers, bodies and name-value pairs.

use fcgipm::wire::{
    BeginRequest, EndRequest, Header, PairDecoder, PairError, PairLimits, Pairs, ProtocolStatus,
    RecordType, Role, encode_pair,
};

use super::pieces::{Lengths, cut};

pub const NO_LIMITS: PairLimits = PairLimits {
    count: usize::MAX,
    pair: usize::MAX,
    total: usize::MAX,
};

/// The first four bytes choose the pieces and the limits, the rest is what arrives.
pub fn check(data: &[u8]) {
    let Some((choice, data)) = data.split_first_chunk::<4>() else {
        return;
    };
    let seed = u64::from(u32::from_le_bytes(*choice));
    if let Some((header, _)) = data.split_first_chunk() {
        check_header(*header);
        check_bodies(*header);
    }
    check_pairs(data, seed);
    let limits = PairLimits {
        count: 1 + usize::from(choice[0] % 16),
        pair: 1 << (choice[1] % 20),
        total: 1 << (choice[2] % 24),
    };
    check_limits(data, limits, seed);
}

/// Decoding and encoding leave every header as it was, but for the reserved byte.
pub fn check_header(mut bytes: [u8; 8]) {
    let header = Header::decode(bytes);
    bytes[7] = 0;
    assert_eq!(header.encode(), bytes);
    assert_eq!(Header::decode(header.encode()), header);
    assert_eq!(RecordType::from_byte(bytes[1]).to_byte(), bytes[1]);
}

/// The same for the contents of 8 bytes.
pub fn check_bodies(bytes: [u8; 8]) {
    let begin = BeginRequest::decode(bytes);
    assert_eq!(BeginRequest::decode(begin.encode()), begin);
    assert_eq!(begin.encode()[..2], bytes[..2]);
    assert_eq!(begin.encode()[2], bytes[2] & 1);
    if let Some(role) = Role::from_number(begin.role) {
        assert_eq!(role.number(), begin.role);
    }
    let end = EndRequest::decode(bytes);
    assert_eq!(EndRequest::decode(end.encode()), end);
    assert_eq!(end.encode()[..5], bytes[..5]);
    assert_eq!(end.encode()[5..], [0; 3]);
    if let Some(status) = ProtocolStatus::from_number(end.protocol_status) {
        assert_eq!(status.number(), end.protocol_status);
    }
}

/// The decoder in pieces, the decoder in one piece and the iterator agree on any bytes, and what
/// they found survives being encoded again.
pub fn check_pairs(data: &[u8], seed: u64) {
    let mut truncated = false;
    let mut pairs = Vec::new();
    for pair in Pairs::new(data) {
        assert!(!truncated, "nothing follows a truncated pair");
        match pair {
            Ok((name, value)) => pairs.push((name.to_vec(), value.to_vec())),
            Err(_) => truncated = true,
        }
    }
    assert_eq!(
        naively(data, NO_LIMITS),
        (Ok(()), pairs.clone(), !truncated)
    );
    let lengths: [&mut dyn Iterator<Item = usize>; 3] = [
        &mut std::iter::empty(),
        &mut std::iter::repeat(1),
        &mut Lengths::new(seed),
    ];
    for lengths in lengths {
        let (outcome, found, at_boundary) = decode(data, lengths, NO_LIMITS);
        assert_eq!(outcome, Ok(()));
        assert_eq!(found, pairs);
        assert_eq!(at_boundary, !truncated);
    }

    let mut encoded = Vec::new();
    for (name, value) in &pairs {
        encode_pair(name, value, &mut encoded);
    }
    assert!(encoded.len() <= data.len(), "the shortest form is used");
    let (outcome, found, at_boundary) = decode(&encoded, &mut Lengths::new(seed), NO_LIMITS);
    assert_eq!(
        (outcome, found, at_boundary),
        (Ok(()), pairs.clone(), true),
        "what was encoded decodes"
    );
    let again: Vec<_> = Pairs::new(&encoded)
        .map(|pair| pair.map(|(name, value)| (name.to_vec(), value.to_vec())))
        .collect::<Result<_, _>>()
        .expect("what was encoded is whole");
    assert_eq!(again, pairs);
}

/// Limits are met at the same pair however the bytes arrive, and hold.
pub fn check_limits(data: &[u8], limits: PairLimits, seed: u64) {
    let whole = decode(data, &mut std::iter::empty(), limits);
    assert_eq!(whole, naively(data, limits));
    assert_eq!(whole, decode(data, &mut std::iter::repeat(1), limits));
    assert_eq!(whole, decode(data, &mut Lengths::new(seed), limits));
    let (_, pairs, _) = whole;
    let size = |(name, value): &(Vec<u8>, Vec<u8>)| name.len() + value.len();
    assert!(pairs.len() <= limits.count);
    assert!(pairs.iter().all(|pair| size(pair) <= limits.pair));
    assert!(pairs.iter().map(size).sum::<usize>() <= limits.total);
}

type Found = (Result<(), PairError>, Vec<(Vec<u8>, Vec<u8>)>, bool);

fn decode(data: &[u8], lengths: &mut dyn Iterator<Item = usize>, limits: PairLimits) -> Found {
    let mut decoder = PairDecoder::new(limits);
    let (mut bytes, mut found) = (Vec::new(), Vec::new());
    let mut outcome = Ok(());
    for piece in cut(data, lengths) {
        bytes.extend_from_slice(piece);
        outcome = decoder.push(&mut bytes, &mut found);
        if outcome.is_err() {
            break;
        }
    }
    // The bytes of names and values are as they were, and the others in front of them zeroes.
    let (mut at, mut text) = (0, 0);
    let pairs = found.iter().map(|pair| {
        let start = pair.start as usize;
        assert!(bytes[at..start].iter().all(|&byte| byte == 0));
        let (name, value) = (pair.name(&bytes), pair.value(&bytes));
        at = start + name.len() + value.len();
        text += name.len() + value.len();
        assert_eq!(data[start..at], [name, value].concat());
        (name.to_vec(), value.to_vec())
    });
    let pairs = pairs.collect();
    let at_boundary = outcome.is_ok() && decoder.at_boundary(&bytes);
    assert!(!at_boundary || (decoder.total(), at) == (text, data.len()));
    (outcome, pairs, at_boundary)
}

/// The same, as the specification and the limits say it.
fn naively(data: &[u8], limits: PairLimits) -> Found {
    fn length(data: &[u8]) -> Option<(usize, &[u8])> {
        let (&first, rest) = data.split_first()?;
        if first < 0x80 {
            return Some((usize::from(first), rest));
        }
        let (bytes, rest) = data.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*bytes) & 0x7fff_ffff;
        Some((length as usize, rest))
    }
    fn lengths(data: &[u8]) -> Option<(usize, usize, &[u8])> {
        let (name, rest) = length(data)?;
        let (value, rest) = length(rest)?;
        Some((name, value, rest))
    }
    let (mut rest, mut pairs, mut total) = (data, Vec::new(), 0);
    while let Some((name_len, value_len, after)) = lengths(rest) {
        let size = name_len + value_len;
        total += size;
        let limit = if size > limits.pair {
            let limit = limits.pair;
            Some(PairError::PairTooLong { size, limit })
        } else if total > limits.total {
            let limit = limits.total;
            Some(PairError::TotalTooLong { limit })
        } else if pairs.len() == limits.count {
            let limit = limits.count;
            Some(PairError::TooMany { limit })
        } else {
            None
        };
        if let Some(limit) = limit {
            return (Err(limit), pairs, false);
        }
        if after.len() < size {
            return (Ok(()), pairs, false);
        }
        let (name, value) = after[..size].split_at(name_len);
        pairs.push((name.to_vec(), value.to_vec()));
        rest = &after[size..];
    }
    (Ok(()), pairs, rest.is_empty())
}
