//! The parameters of a request: the received bytes, and an index of the pairs in them.

use super::forms;
use super::scope::{Belongs, Scope, count_zeroes, has_nul, is_plain};
use crate::wire::{Pair, PairDecoder, PairError, PairLimits, Role};

#[cfg(test)]
mod tests;
mod wanted;

pub use self::wanted::Wanted;

/// Memory that is kept from request to request. Memory beyond it, for an unusual request, is freed.
const RETAINED: usize = 64 * 1024;

/// The size of a scope.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    pairs: usize,
    /// Bytes of names and values.
    text: usize,
}

impl Extent {
    fn without(self, pairs: &[Pair]) -> Self {
        let text = |pair: &Pair| pair.name_len as usize + pair.value_len as usize;
        Self {
            pairs: self.pairs - pairs.len(),
            text: self.text - pairs.iter().map(text).sum::<usize>(),
        }
    }
}

/// The parameters of one request.
///
/// While they arrive, they are only indexed. Scopes, and the formats for hosts, are computed when
/// they are first needed. Each value is followed by a NUL, so that C can use it in place.
#[derive(Debug)]
pub struct Params {
    limits: PairLimits,
    decoder: PairDecoder,
    /// Names and values, with zeroes in place of their lengths. Once complete, also the role and
    /// [`forms::SLACK`] zeroes.
    bytes: Vec<u8>,
    /// In the order of arrival; once the scopes are known, sorted by scope.
    pairs: Vec<Pair>,
    /// All of them, once they are complete.
    whole: Extent,
    /// The cumulative size of each scope, once they are known.
    scopes: Option<[Extent; 3]>,
    /// Pairs outside the environment scope, while the pairs are sorted.
    proxies: Vec<Pair>,
    malformed: Vec<Pair>,
    known: Known,
    /// The result of [`flat`](Self::flat), or memory of an earlier request.
    flat: Vec<u8>,
    has_flat: bool,
}

/// The parameters that the server itself needs. Missing ones are empty.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    method: Pair,
    request_uri: Pair,
    script_name: Pair,
}

impl Known {
    /// Stores a pair if it is one of them. Values with a NUL are ignored.
    fn note(&mut self, bytes: &[u8], pair: Pair) {
        // Compares the last byte first, because many names begin alike.
        let name = pair.name(bytes);
        let place = match name.last() {
            Some(b'D') if name == b"REQUEST_METHOD" => &mut self.method,
            Some(b'I') if name == b"REQUEST_URI" => &mut self.request_uri,
            Some(b'E') if name == b"SCRIPT_NAME" => &mut self.script_name,
            _ => return,
        };
        if !has_nul(pair.value(bytes)) {
            *place = pair;
        }
    }
}

impl Params {
    pub(super) fn new(limits: PairLimits) -> Self {
        Self {
            limits,
            decoder: PairDecoder::new(limits),
            bytes: Vec::new(),
            pairs: Vec::new(),
            whole: Extent::default(),
            scopes: None,
            proxies: Vec::new(),
            malformed: Vec::new(),
            known: Known::default(),
            flat: Vec::new(),
            has_flat: false,
        }
    }

    /// Removes all parameters.
    pub(super) fn clear(&mut self) {
        self.decoder = PairDecoder::new(self.limits);
        forget(&mut self.bytes, RETAINED);
        for pairs in [&mut self.pairs, &mut self.proxies, &mut self.malformed] {
            forget(pairs, RETAINED / size_of::<Pair>());
        }
        if self.flat.len() > RETAINED {
            self.flat = Vec::new();
        }
        self.has_flat = false;
        self.whole = Extent::default();
        self.scopes = None;
        self.known = Known::default();
    }

    /// The next bytes of the stream.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), PairError> {
        self.bytes.extend_from_slice(piece);
        let before = self.pairs.len();
        self.decoder.push(&mut self.bytes, &mut self.pairs)?;
        for pair in &self.pairs[before..] {
            // Few names have these lengths.
            if matches!(pair.name_len, 11 | 14) {
                self.known.note(&self.bytes, *pair);
            }
        }
        Ok(())
    }

    /// Whether no pair is incomplete.
    pub(super) fn at_boundary(&self) -> bool {
        self.decoder.at_boundary(&self.bytes)
    }

    /// Ends the stream: adds the role.
    pub(super) fn complete(&mut self, role: Role) {
        let (name, value) = (b"FCGI_ROLE", role.name().as_bytes());
        self.bytes.extend_from_slice(b"\0\0FCGI_ROLE");
        self.pairs.push(Pair {
            start: (self.bytes.len() - name.len()) as u32,
            name_len: name.len() as u32,
            value_len: value.len() as u32,
        });
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(&[0; forms::SLACK]);
        self.whole = Extent {
            pairs: self.pairs.len(),
            text: self.decoder.total() + name.len() + value.len(),
        };
        self.scopes = None;
    }

    /// The memory used by bytes and index.
    #[must_use]
    pub fn memory(&self) -> usize {
        self.bytes.len() + self.pairs.len() * size_of::<Pair>()
    }

    /// The value of a parameter, among all that were sent. If several have this name, it is the
    /// last in [`Scope::All`], as when they are stored in a hash. It is followed by a NUL.
    #[must_use]
    pub fn get(&mut self, name: &[u8]) -> Option<&[u8]> {
        let (mut found, mut count) = (None, 0);
        for pair in &self.pairs {
            // Most names differ in their lengths.
            if pair.name_len as usize == name.len() && is_called(*pair, &self.bytes, name) {
                found = Some(*pair);
                count += 1;
            }
        }
        if count > 1 {
            // The last to arrive may not be the last after sorting.
            self.scopes();
            let is_called = |pair: &&Pair| is_called(**pair, &self.bytes, name);
            found = self.pairs.iter().rfind(is_called).copied();
        }
        found.map(|pair| pair.value(&self.bytes))
    }

    /// REQUEST_METHOD, or an empty value. Needs no search.
    #[must_use]
    pub fn method(&self) -> &[u8] {
        self.known.method.value(&self.bytes)
    }

    /// REQUEST_URI, otherwise SCRIPT_NAME, or an empty value. Needs no search.
    #[must_use]
    pub fn uri(&self) -> &[u8] {
        match self.known.request_uri.value(&self.bytes) {
            [] => self.known.script_name.value(&self.bytes),
            uri => uri,
        }
    }

    /// The pairs of a scope.
    pub fn iter(&mut self, scope: Scope) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> + Clone {
        let count = self.extent(scope).pairs;
        let bytes = &self.bytes[..];
        let pair = move |pair: &Pair| (pair.name(bytes), pair.value(bytes));
        self.pairs[..count].iter().map(pair)
    }

    /// The parameters in the flat format of the C ABI, which is written by the first call: the
    /// length of each name and value (32 bits, big-endian), its bytes, and a NUL.
    pub fn flat(&mut self, scope: Scope) -> &[u8] {
        let all = self.extent(Scope::All);
        if !self.has_flat {
            let room = forms::flat_len(all.pairs, all.text) + forms::SLACK;
            make_room(&mut self.flat, room);
            forms::write_flat(&self.pairs[..all.pairs], &self.bytes, &mut self.flat);
            self.has_flat = true;
        }
        let Extent { pairs, text } = self.extent(scope);
        &self.flat[..forms::flat_len(pairs, text)]
    }

    /// The number of bytes that [`write_strings`](Self::write_strings) needs, and the number of
    /// strings.
    pub fn strings_len(&mut self, scope: Scope) -> (usize, usize) {
        let Extent { pairs, text } = self.extent(scope);
        (forms::strings_len(pairs, text), pairs)
    }

    /// Writes each pair as `NAME=VALUE` and a NUL to `into`, and calls `each` with it. Another NUL
    /// follows the last. If `into` is too small, it does nothing.
    pub fn write_strings<'i>(
        &mut self,
        scope: Scope,
        into: &'i mut [u8],
        each: impl FnMut(&'i mut [u8]),
    ) {
        let (length, count) = self.strings_len(scope);
        if into.len() >= length {
            forms::write_strings(&self.pairs[..count], &self.bytes, into, each);
        }
    }

    /// Copies all names, each with a NUL, one more NUL, and all values, each with a NUL. If `held`
    /// is such a copy with the same names, it instead copies a NUL, and then name and value of each
    /// parameter whose value differs or is empty: a host that has lost a parameter cannot tell it
    /// from an empty one. Returns the length. If it does not fit, nothing is copied.
    #[must_use]
    pub fn copy_columns(&mut self, scope: Scope, held: &[u8], into: &mut [u8]) -> usize {
        let Extent { pairs, text } = self.extent(scope);
        let (pairs, bytes) = (&self.pairs[..pairs], &self.bytes[..]);
        if held.is_empty() {
            return forms::copy_columns(pairs, text, bytes, into);
        }
        forms::copy_changes(pairs, bytes, held, into)
            .unwrap_or_else(|| forms::copy_columns(pairs, text, bytes, into))
    }

    fn extent(&mut self, scope: Scope) -> Extent {
        let [environment, well_formed, all] = self.scopes();
        match scope {
            Scope::Environment => environment,
            Scope::WellFormed => well_formed,
            Scope::All => all,
        }
    }

    fn scopes(&mut self) -> [Extent; 3] {
        match self.scopes {
            Some(scopes) => scopes,
            None => {
                let scopes = self.arrange();
                *self.scopes.insert(scopes)
            }
        }
    }

    /// Sorts the pairs by scope.
    fn arrange(&mut self) -> [Extent; 3] {
        let all = self.whole;
        if all.pairs == 0 {
            return [all; 3];
        }
        let bytes = &self.bytes[..];
        let text = &bytes[..bytes.len() - forms::SLACK];
        // Lengths were replaced by zeroes. Any other zero is part of a name or a value.
        let is_clean = count_zeroes(text) == text.len() - all.text;
        let Some(first) = first_apart(&self.pairs, bytes, is_clean) else {
            return [all; 3];
        };
        let mut kept = first;
        for index in first..all.pairs {
            let pair = self.pairs[index];
            match Belongs::of(pair.name(bytes), pair.value(bytes)) {
                Belongs::Environment => {
                    self.pairs[kept] = pair;
                    kept += 1;
                }
                Belongs::Proxies => self.proxies.push(pair),
                Belongs::Malformed => self.malformed.push(pair),
            }
        }
        self.pairs.truncate(kept);
        self.pairs.extend_from_slice(&self.proxies);
        self.pairs.extend_from_slice(&self.malformed);
        let well_formed = all.without(&self.malformed);
        [well_formed.without(&self.proxies), well_formed, all]
    }
}

/// The first pair outside the environment scope. `is_clean`: no pair contains a NUL.
fn first_apart(pairs: &[Pair], bytes: &[u8], is_clean: bool) -> Option<usize> {
    let mut index = 0;
    loop {
        if is_clean {
            index += count_plain(&pairs[index..], bytes);
        }
        let pair = pairs.get(index)?;
        if Belongs::of(pair.name(bytes), pair.value(bytes)) != Belongs::Environment {
            return Some(index);
        }
        index += 1;
    }
}

/// The number of plain pairs at the front. It is a function of its own so that the loop uses
/// registers only.
#[inline(never)]
fn count_plain(pairs: &[Pair], bytes: &[u8]) -> usize {
    let is_plain = |pair: &&Pair| is_plain(&bytes[pair.start as usize..], pair.name_len as usize);
    pairs.iter().take_while(is_plain).count()
}

#[inline]
fn is_called(pair: Pair, bytes: &[u8], name: &[u8]) -> bool {
    // Most names of the same length differ in the last byte.
    let own = pair.name(bytes);
    own.last() == name.last() && own == name
}

fn forget<T>(list: &mut Vec<T>, retained: usize) {
    if list.len() > retained {
        *list = Vec::new();
    }
    list.clear();
}

/// Ensures that the buffer has at least `needed` bytes, with any content.
fn make_room(buffer: &mut Vec<u8>, needed: usize) {
    if buffer.len() < needed {
        let size = match needed {
            ..=RETAINED => needed.next_power_of_two(),
            _ => needed,
        };
        *buffer = vec![0; size];
    }
}
