//! Name-value pairs (section 3.4): an incremental decoder, an iterator over complete bytes, and the
//! encoder.

use std::fmt;

/// The position of a pair in its buffer: the name, followed immediately by the value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pair {
    /// Where the name starts.
    pub start: u32,
    /// The name's length.
    pub name_len: u32,
    /// The value's length.
    pub value_len: u32,
}

impl Pair {
    /// The name of the pair in its buffer.
    #[must_use]
    pub fn name(self, bytes: &[u8]) -> &[u8] {
        let start = self.start as usize;
        &bytes[start..start + self.name_len as usize]
    }

    /// The value of the pair in its buffer.
    #[must_use]
    pub fn value(self, bytes: &[u8]) -> &[u8] {
        let start = self.value_start();
        &bytes[start..start + self.value_len as usize]
    }

    /// Where the value starts.
    #[must_use]
    pub const fn value_start(self) -> usize {
        self.start as usize + self.name_len as usize
    }
}

/// The limits of a stream of pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairLimits {
    /// Maximum number of pairs.
    pub count: usize,
    /// Maximum size of a name and its value together, in bytes.
    pub pair: usize,
    /// Maximum size of all names and values together, in bytes.
    pub total: usize,
}

/// A limit that the stream exceeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairError {
    /// Too many pairs.
    TooMany {
        /// The limit, in pairs.
        limit: usize,
    },
    /// The lengths of a pair exceed the limit.
    PairTooLong {
        /// The sum of its lengths, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// All pairs together exceed the limit.
    TotalTooLong {
        /// The limit, in bytes.
        limit: usize,
    },
}

impl fmt::Display for PairError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany { limit } => write!(f, "more than max_params = {limit} parameters"),
            Self::PairTooLong { size, limit } => {
                write!(
                    f,
                    "a parameter of {size} bytes, over max_param_size = {limit}"
                )
            }
            Self::TotalTooLong { limit } => {
                write!(f, "parameters over max_params_size = {limit} bytes")
            }
        }
    }
}

/// The maximum size of a buffer, so that positions fit a [`Pair`]. `max_params_size` is far below.
const BUFFER_MAX: usize = u32::MAX as usize - 1024;

/// Finds the pairs of a stream that arrives in pieces of any size and is collected in one buffer.
///
/// Append each piece to the buffer and call [`push`](Self::push) with the whole buffer. At the end
/// of the stream, call [`at_boundary`](Self::at_boundary). After an error the decoder cannot be
/// used further.
#[derive(Debug)]
pub struct PairDecoder {
    limits: PairLimits,
    /// The size of names and values found or arriving.
    total: usize,
    /// The buffer is decoded up to here.
    at: usize,
    /// The lengths of the name and value that start there, if they are known.
    arriving: Option<(usize, usize)>,
}

impl PairDecoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub const fn new(limits: PairLimits) -> Self {
        Self {
            limits,
            total: 0,
            at: 0,
            arriving: None,
        }
    }

    /// Whether no pair is incomplete at the end of the buffer.
    #[must_use]
    pub const fn at_boundary(&self, bytes: &[u8]) -> bool {
        self.at == bytes.len() && self.arriving.is_none()
    }

    /// The size of all names and values found or arriving.
    #[must_use]
    pub const fn total(&self) -> usize {
        self.total
    }

    /// Continues with a buffer that has grown, and appends each pair that is now complete to
    /// `found`, which has the earlier ones.
    ///
    /// The lengths are overwritten with zeroes. So each value is followed by a NUL once the lengths
    /// of the next pair have arrived, and any further zero is part of a name or value.
    ///
    /// # Errors
    /// A pair exceeds a limit. This is detected as soon as its lengths are known.
    pub fn push(&mut self, bytes: &mut [u8], found: &mut Vec<Pair>) -> Result<(), PairError> {
        if bytes.len() > BUFFER_MAX {
            return Err(PairError::TotalTooLong { limit: BUFFER_MAX });
        }
        loop {
            if self.arriving.is_none() {
                self.push_short(bytes, found);
                self.arriving = self.take_lengths(bytes, found.len())?;
            }
            let Some((name_len, value_len)) = self.arriving else {
                return Ok(());
            };
            let end = self.at.saturating_add(name_len + value_len);
            if end > bytes.len() {
                return Ok(());
            }
            let pair = Pair {
                start: self.at as u32,
                name_len: name_len as u32,
                value_len: value_len as u32,
            };
            self.arriving = None;
            self.at = end;
            found.push(pair);
        }
    }

    /// The fast path for complete pairs with short lengths that are certainly within the limits.
    #[inline]
    fn push_short(&mut self, bytes: &mut [u8], found: &mut Vec<Pair>) {
        const LONGEST: usize = 2 * 0x7f;
        let (arrived, mut at, before) = (bytes.len(), self.at, found.len());
        if self.limits.pair < LONGEST || self.limits.total - self.total < arrived - at {
            return;
        }
        while let Some(lengths) = bytes[at..]
            .first_chunk_mut::<2>()
            .filter(|lengths| (lengths[0] | lengths[1]) < 0x80 && found.len() < self.limits.count)
        {
            let (name_len, value_len) = (u32::from(lengths[0]), u32::from(lengths[1]));
            let start = at + 2;
            let end = start + (name_len + value_len) as usize;
            if end > arrived {
                break;
            }
            *lengths = [0; 2];
            found.push(Pair {
                start: start as u32,
                name_len,
                value_len,
            });
            at = end;
        }
        self.total += at - self.at - 2 * (found.len() - before);
        self.at = at;
    }

    /// The lengths of the next pair, which is number `count`, overwritten with zeroes. `None`, with
    /// nothing overwritten, if they have not arrived completely.
    fn take_lengths(
        &mut self,
        bytes: &mut [u8],
        count: usize,
    ) -> Result<Option<(usize, usize)>, PairError> {
        let bytes = &mut bytes[self.at..];
        let Some((name_len, value_len, rest)) = split_lengths(bytes) else {
            return Ok(None);
        };
        let taken = bytes.len() - rest.len();
        bytes[..taken].fill(0);
        self.at += taken;
        // Both are below 2^31, so their sum fits any usize of 32 bits or more.
        let size = name_len + value_len;
        if size > self.limits.pair {
            return Err(PairError::PairTooLong {
                size,
                limit: self.limits.pair,
            });
        }
        if size > self.limits.total - self.total {
            return Err(PairError::TotalTooLong {
                limit: self.limits.total,
            });
        }
        self.total += size;
        if count >= self.limits.count {
            return Err(PairError::TooMany {
                limit: self.limits.count,
            });
        }
        Ok(Some((name_len, value_len)))
    }
}

const fn long_length(bytes: [u8; 4]) -> usize {
    (u32::from_be_bytes(bytes) & 0x7fff_ffff) as usize
}

fn split_length(input: &[u8]) -> Option<(usize, &[u8])> {
    match input {
        [short, rest @ ..] if *short < 0x80 => Some((usize::from(*short), rest)),
        [a, b, c, d, rest @ ..] => Some((long_length([*a, *b, *c, *d]), rest)),
        _ => None,
    }
}

fn split_lengths(input: &[u8]) -> Option<(usize, usize, &[u8])> {
    let (name_len, rest) = split_length(input)?;
    let (value_len, rest) = split_length(rest)?;
    Some((name_len, value_len, rest))
}

/// The bytes end within a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairsTruncated;

impl fmt::Display for PairsTruncated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name-value pairs end in the middle of a pair")
    }
}

/// Iterates over the pairs in complete bytes. A truncated pair is an error, and the last item.
#[derive(Clone, Debug)]
pub struct Pairs<'a>(&'a [u8]);

impl<'a> Pairs<'a> {
    /// The pairs in `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Result<(&'a [u8], &'a [u8]), PairsTruncated>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let split = split_lengths(self.0).and_then(|(name_len, value_len, rest)| {
            let (name, rest) = rest.split_at_checked(name_len)?;
            let (value, rest) = rest.split_at_checked(value_len)?;
            Some((name, value, rest))
        });
        if let Some((name, value, rest)) = split {
            self.0 = rest;
            Some(Ok((name, value)))
        } else {
            self.0 = &[];
            Some(Err(PairsTruncated))
        }
    }
}

/// Appends a pair. A length of up to 127 takes one byte, a longer one four.
///
/// The caller ensures that name and value are shorter than 2^31 bytes, the maximum of the format.
pub fn encode_pair(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    encode_length(name.len(), out);
    encode_length(value.len(), out);
    out.extend_from_slice(name);
    out.extend_from_slice(value);
}

fn encode_length(length: usize, out: &mut Vec<u8>) {
    debug_assert!(length < 1 << 31, "name-value lengths have 31 bits");
    if length < 0x80 {
        out.push(length as u8);
    } else {
        out.extend_from_slice(&(length as u32 | 0x8000_0000).to_be_bytes());
    }
}
