//! Several parameters, looked up together.

use super::Params;
use crate::wire::Pair;

/// Names of parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    names: Vec<Vec<u8>>,
    /// The signatures of the names, as bits. Most other names have other signatures.
    signatures: u64,
}

impl Wanted {
    /// Adds a name, unless it is there, and returns its place. The empty name is never found.
    pub(crate) fn add(&mut self, name: &[u8]) -> usize {
        let known = self.names.iter().position(|known| known == name);
        known.unwrap_or_else(|| {
            self.signatures |= u64::from(!name.is_empty()) << signature(name);
            self.names.push(name.to_vec());
            self.names.len() - 1
        })
    }

    #[inline]
    fn place_of(&self, name: &[u8]) -> Option<usize> {
        if self.signatures >> signature(name) & 1 == 0 {
            return None;
        }
        let is_it = |known: &Vec<u8>| known == name && !name.is_empty();
        self.names.iter().position(is_it)
    }
}

/// A number below 64, from the length and the last byte.
#[inline]
fn signature(name: &[u8]) -> u32 {
    let last = name.last().copied().unwrap_or_default();
    (name.len() as u32 * 7).wrapping_add(last.into()) % 64
}

impl Params {
    /// Finds parameters as [`get`](Self::get) does. Missing ones have empty values.
    pub(crate) fn find_all(&mut self, wanted: &Wanted, found: &mut Vec<Pair>) {
        if self.find_last(wanted, found) {
            // The last to arrive may not be the last after sorting.
            self.scopes();
            self.find_last(wanted, found);
        }
    }

    /// The value of a pair that was found.
    #[inline]
    pub(crate) fn value(&self, pair: Pair) -> &[u8] {
        pair.value(&self.bytes)
    }

    /// True: a name occurs more than once.
    fn find_last(&self, wanted: &Wanted, found: &mut Vec<Pair>) -> bool {
        let mut is_repeated = false;
        found.clear();
        found.resize(wanted.names.len(), Pair::default());
        for pair in &self.pairs {
            if let Some(place) = wanted.place_of(pair.name(&self.bytes)) {
                is_repeated |= found[place].name_len > 0;
                found[place] = *pair;
            }
        }
        is_repeated
    }
}
