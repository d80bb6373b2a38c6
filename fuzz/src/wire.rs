//! Headers, bodies and name-value pairs.

use fcgipm::wire::{
    BeginRequest, EndRequest, Header, PairDecoder, PairError, PairLimits, PairSink, Pairs,
    ProtocolStatus, RecordType, Role, encode_pair,
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
    let mut collector = Collector::default();
    for piece in cut(data, lengths) {
        if let Err(error) = decoder.push(piece, &mut collector) {
            return (Err(error), collector.pairs, false);
        }
    }
    (Ok(()), collector.pairs, decoder.at_boundary())
}

/// Collects pairs, and insists on the order of calls that a sink is promised.
#[derive(Default)]
struct Collector {
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
    open: Option<Open>,
}

#[derive(Default)]
struct Open {
    lengths: (usize, usize),
    name: Vec<u8>,
    name_ended: bool,
    value: Vec<u8>,
}

impl Collector {
    fn open(&mut self) -> &mut Open {
        self.open.as_mut().expect("begin comes first")
    }
}

impl PairSink for Collector {
    fn begin(&mut self, name_len: usize, value_len: usize) {
        let open = Open {
            lengths: (name_len, value_len),
            ..Open::default()
        };
        assert!(self.open.replace(open).is_none(), "end comes before begin");
    }

    fn name(&mut self, piece: &[u8]) {
        let open = self.open();
        assert!(!open.name_ended);
        open.name.extend(piece);
    }

    fn name_end(&mut self) {
        let open = self.open();
        assert_eq!(open.name.len(), open.lengths.0);
        assert!(!std::mem::replace(&mut open.name_ended, true));
    }

    fn value(&mut self, piece: &[u8]) {
        let open = self.open();
        assert!(open.name_ended);
        open.value.extend(piece);
    }

    fn end(&mut self) {
        let open = self.open.take().expect("begin comes before end");
        assert!(open.name_ended);
        assert_eq!(open.value.len(), open.lengths.1);
        self.pairs.push((open.name, open.value));
    }
}
