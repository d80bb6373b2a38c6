//! Name-value pairs (section 3.4): a decoder that takes the bytes in any pieces, an iterator over
//! bytes that are all there, and the encoder.

use std::fmt;

/// Where a [`PairDecoder`] delivers: for each pair `begin`, any number of `name`, `name_end`, any
/// number of `value`, `end`.
pub trait PairSink {
    /// A pair of these lengths follows. They are claims: allocate as bytes arrive, not here.
    fn begin(&mut self, name_len: usize, value_len: usize);
    /// The next bytes of the name.
    fn name(&mut self, piece: &[u8]);
    /// The name is complete.
    fn name_end(&mut self);
    /// The next bytes of the value.
    fn value(&mut self, piece: &[u8]);
    /// The pair is complete.
    fn end(&mut self);

    /// A whole pair at once, the usual case: `bytes` begins with the name and the value, and goes on with
    /// whatever follows, so that a sink may look or copy beyond them.
    fn pair(&mut self, bytes: &[u8], name_len: usize, value_len: usize) {
        self.begin(name_len, value_len);
        self.name(&bytes[..name_len]);
        self.name_end();
        self.value(&bytes[name_len..name_len + value_len]);
        self.end();
    }
}

/// What a stream of pairs may contain at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairLimits {
    /// Pairs in the stream.
    pub count: usize,
    /// Bytes of one name and its value together.
    pub pair: usize,
    /// Bytes of all names and values together.
    pub total: usize,
}

/// A limit that the stream went over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairError {
    /// More pairs than the limit.
    TooMany {
        /// The limit, in pairs.
        limit: usize,
    },
    /// A pair that claims more bytes than the limit.
    PairTooLong {
        /// What its lengths claim, in bytes.
        size: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// More bytes in all than the limit.
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

#[derive(Clone, Copy, Debug)]
enum State {
    /// Collecting the name's length; `have` bytes of it are in `bytes`.
    NameLen {
        have: u8,
        bytes: [u8; 4],
    },
    /// Collecting the value's length.
    ValueLen {
        name_len: usize,
        have: u8,
        bytes: [u8; 4],
    },
    Name {
        left: usize,
        value_len: usize,
    },
    Value {
        left: usize,
    },
}

const START: State = State::NameLen {
    have: 0,
    bytes: [0; 4],
};

/// Decodes a stream of pairs that arrives in pieces of any size.
///
/// Call [`push`](Self::push) with each piece, then [`at_boundary`](Self::at_boundary) once the
/// stream has ended. After an error the decoder is of no further use.
#[derive(Debug)]
pub struct PairDecoder {
    state: State,
    limits: PairLimits,
    count: usize,
    total: usize,
}

impl PairDecoder {
    /// A decoder at the start of a stream.
    #[must_use]
    pub const fn new(limits: PairLimits) -> Self {
        Self {
            state: START,
            limits,
            count: 0,
            total: 0,
        }
    }

    /// Whether no pair is half-way through.
    #[must_use]
    pub const fn at_boundary(&self) -> bool {
        matches!(self.state, State::NameLen { have: 0, .. })
    }

    /// Takes the next piece of the stream.
    ///
    /// # Errors
    /// The limit that a pair goes over, found as soon as its lengths are known.
    pub fn push(&mut self, mut input: &[u8], sink: &mut impl PairSink) -> Result<(), PairError> {
        while !input.is_empty() {
            if self.at_boundary()
                && let Some((name_len, value_len, rest)) = split_lengths(input)
                && let Some(after) = rest.get(name_len.saturating_add(value_len)..)
            {
                self.admit(name_len, value_len)?;
                sink.pair(rest, name_len, value_len);
                input = after;
                continue;
            }
            input = self.step(input, sink)?;
        }
        Ok(())
    }

    /// Takes at least one byte, at most up to the next change of state.
    fn step<'i>(
        &mut self,
        input: &'i [u8],
        sink: &mut impl PairSink,
    ) -> Result<&'i [u8], PairError> {
        match self.state {
            State::NameLen { have, bytes } => {
                let (progress, rest) = collect_length(have, bytes, input);
                self.state = match progress {
                    Length::Partial { have, bytes } => State::NameLen { have, bytes },
                    Length::Complete(name_len) => State::ValueLen {
                        name_len,
                        have: 0,
                        bytes: [0; 4],
                    },
                };
                Ok(rest)
            }
            State::ValueLen {
                name_len,
                have,
                bytes,
            } => {
                let (progress, rest) = collect_length(have, bytes, input);
                match progress {
                    Length::Partial { have, bytes } => {
                        self.state = State::ValueLen {
                            name_len,
                            have,
                            bytes,
                        }
                    }
                    Length::Complete(value_len) => {
                        self.admit(name_len, value_len)?;
                        sink.begin(name_len, value_len);
                        self.state = State::Name {
                            left: name_len,
                            value_len,
                        };
                        self.skip_empty(sink);
                    }
                }
                Ok(rest)
            }
            State::Name { left, value_len } => {
                let (piece, rest) = input.split_at(left.min(input.len()));
                sink.name(piece);
                self.state = State::Name {
                    left: left - piece.len(),
                    value_len,
                };
                self.skip_empty(sink);
                Ok(rest)
            }
            State::Value { left } => {
                let (piece, rest) = input.split_at(left.min(input.len()));
                sink.value(piece);
                self.state = State::Value {
                    left: left - piece.len(),
                };
                self.skip_empty(sink);
                Ok(rest)
            }
        }
    }

    /// Moves on from a name or value of which nothing is left.
    fn skip_empty(&mut self, sink: &mut impl PairSink) {
        if let State::Name { left: 0, value_len } = self.state {
            sink.name_end();
            self.state = State::Value { left: value_len };
        }
        if let State::Value { left: 0 } = self.state {
            sink.end();
            self.state = START;
        }
    }

    fn admit(&mut self, name_len: usize, value_len: usize) -> Result<(), PairError> {
        // Both lengths are below 2^31, so the sums fit any usize of 32 bits or more.
        let size = name_len.saturating_add(value_len);
        if size > self.limits.pair {
            return Err(PairError::PairTooLong {
                size,
                limit: self.limits.pair,
            });
        }
        self.total = self.total.saturating_add(size);
        if self.total > self.limits.total {
            return Err(PairError::TotalTooLong {
                limit: self.limits.total,
            });
        }
        self.count += 1;
        if self.count > self.limits.count {
            return Err(PairError::TooMany {
                limit: self.limits.count,
            });
        }
        Ok(())
    }
}

enum Length {
    Partial { have: u8, bytes: [u8; 4] },
    Complete(usize),
}

/// Adds input to a length of one or four bytes.
fn collect_length(mut have: u8, mut bytes: [u8; 4], mut input: &[u8]) -> (Length, &[u8]) {
    while let Some((&byte, rest)) = input.split_first() {
        bytes[usize::from(have)] = byte;
        have += 1;
        input = rest;
        if have == 1 && byte < 0x80 {
            return (Length::Complete(usize::from(byte)), input);
        }
        if have == 4 {
            return (Length::Complete(long_length(bytes)), input);
        }
    }
    (Length::Partial { have, bytes }, input)
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

/// The bytes end in the middle of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairsTruncated;

impl fmt::Display for PairsTruncated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name-value pairs end in the middle of a pair")
    }
}

/// Iterates over the pairs of bytes that are all there. A truncated last pair is an error, and the
/// last item.
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
/// A name or value of 2^31 bytes or more does not fit the format; the caller bounds them.
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
