//! Bytes cut into pieces.

/// Endless lengths, most of them short, from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Lengths(u64);

impl Lengths {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn random(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Iterator for Lengths {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let random = self.random();
        let longest = [1, 3, 9, 40, 300, 5_000, 70_000][(random % 7) as usize];
        Some(1 + (random >> 8) as usize % longest)
    }
}

/// The bytes in pieces of these lengths; what the lengths leave over is one more.
pub fn cut<'b>(
    mut bytes: &'b [u8],
    lengths: impl IntoIterator<Item = usize> + 'b,
) -> impl Iterator<Item = &'b [u8]> {
    let mut lengths = lengths.into_iter();
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let length = lengths.next().unwrap_or(bytes.len()).clamp(1, bytes.len());
        let (piece, rest) = bytes.split_at(length);
        bytes = rest;
        Some(piece)
    })
}
