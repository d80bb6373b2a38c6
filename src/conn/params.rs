//! A request's parameters: the bytes as they arrived, and where in them each stands.

use super::forms;
use super::scope::{Belongs, Scope, count_zeroes, has_nul, is_plain};
use crate::wire::{Pair, PairDecoder, PairError, PairLimits, Role};

#[cfg(test)]
mod tests;

/// Memory for parameters that is kept from request to request; what an unusual request needed
/// beyond it is given back.
const RETAINED: usize = 64 * 1024;

/// How much a scope has in it.
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
/// While they arrive they are only found. What stands in which scope is looked at when somebody asks for a scope,
/// and each form that hosts want is made from the bytes when somebody asks for it. Behind each value
/// there is a NUL, so that it can be handed to C where it lies.
#[derive(Debug)]
pub struct Params {
    limits: PairLimits,
    decoder: PairDecoder,
    /// Names and values, zeroes where their lengths stood, and, once all are there, the role and
    /// [`forms::SLACK`] zeroes more.
    bytes: Vec<u8>,
    /// In the order in which they arrived; once the scopes are known, one scope behind the other.
    pairs: Vec<Pair>,
    /// All of them, once they are complete.
    whole: Extent,
    /// Each scope with those before it, where they are known.
    scopes: Option<[Extent; 3]>,
    /// Pairs that are not part of the environment, while the scopes are put in their order.
    proxies: Vec<Pair>,
    malformed: Vec<Pair>,
    known: Known,
    /// See [`flat`](Self::flat), and what earlier requests left.
    flat: Vec<u8>,
    has_flat: bool,
}

/// The parameters that the server itself wants to know. Those that are not there are empty.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    method: Pair,
    request_uri: Pair,
    script_name: Pair,
}

impl Known {
    /// Takes note of a pair, if it is one of them. As others it does not count with a NUL in it.
    fn note(&mut self, bytes: &[u8], pair: Pair) {
        // By the last byte first: a match would look at each from the front, where most are alike.
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

    /// Forgets everything.
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
            // Most lengths are others.
            if matches!(pair.name_len, 11 | 14) {
                self.known.note(&self.bytes, *pair);
            }
        }
        Ok(())
    }

    /// Whether no pair is half-way through.
    pub(super) fn at_boundary(&self) -> bool {
        self.decoder.at_boundary(&self.bytes)
    }

    /// The stream has ended: adds the role.
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

    /// The bytes that are remembered.
    #[must_use]
    pub const fn memory(&self) -> usize {
        self.bytes.len() + self.pairs.len() * size_of::<Pair>()
    }

    /// A parameter's value, of all that were sent. Of several with one name the last of
    /// [`Scope::All`] counts, as it does when they are stored in a hash. Behind it there is a NUL.
    #[must_use]
    pub fn get(&mut self, name: &[u8]) -> Option<&[u8]> {
        let (mut found, mut count) = (None, 0);
        for pair in &self.pairs {
            // Most are told apart by their lengths alone.
            if pair.name_len as usize == name.len() && is_called(*pair, &self.bytes, name) {
                found = Some(*pair);
                count += 1;
            }
        }
        if count > 1 {
            // The last to arrive need not be the last of all.
            self.scopes();
            let is_called = |pair: &&Pair| is_called(**pair, &self.bytes, name);
            found = self.pairs.iter().rfind(is_called).copied();
        }
        found.map(|pair| pair.value(&self.bytes))
    }

    /// REQUEST_METHOD, or nothing. Costs no search, as little as the next one.
    #[must_use]
    pub fn method(&self) -> &[u8] {
        self.known.method.value(&self.bytes)
    }

    /// REQUEST_URI, or else SCRIPT_NAME, or nothing.
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

    /// The parameters in the form that the C ABI documents, made at the first call: of each name and value
    /// the length (32 bits, big-endian), the bytes, and a NUL.
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

    /// How many bytes [`write_strings`](Self::write_strings) needs, and how many strings there are.
    pub fn strings_len(&mut self, scope: Scope) -> (usize, usize) {
        let Extent { pairs, text } = self.extent(scope);
        (forms::strings_len(pairs, text), pairs)
    }

    /// Writes each pair as `NAME=VALUE` with a NUL behind it, and hands each string over. In front of what was in
    /// `into` behind them there is another NUL. Without room, nothing happens.
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

    /// Copies the names, a NUL behind each, one more NUL, and the values, likewise. Where `held` is
    /// such a copy and has the same names, it is instead a NUL, and each name whose value differs
    /// or is empty with its value behind it: a host that lost a parameter has nothing there, which
    /// looks empty. Returns the length; when there is no room, nothing is copied.
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

    /// Looks at what may stand in which scope, and puts the scopes one behind the other.
    fn arrange(&mut self) -> [Extent; 3] {
        let all = self.whole;
        if all.pairs == 0 {
            return [all; 3];
        }
        let bytes = &self.bytes[..];
        let text = &bytes[..bytes.len() - forms::SLACK];
        // Where lengths stood there are zeroes. Any other is part of a name or a value.
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

/// The first pair that is not of the environment. `is_clean`: there is no NUL in any of them.
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

/// How many pairs in front need no second look. A loop of its own, which keeps to registers.
#[inline(never)]
fn count_plain(pairs: &[Pair], bytes: &[u8]) -> usize {
    let is_plain = |pair: &&Pair| is_plain(&bytes[pair.start as usize..], pair.name_len as usize);
    pairs.iter().take_while(is_plain).count()
}

#[inline]
fn is_called(pair: Pair, bytes: &[u8], name: &[u8]) -> bool {
    // The last byte tells most names of one length apart.
    let own = pair.name(bytes);
    own.last() == name.last() && own == name
}

fn forget<T>(list: &mut Vec<T>, retained: usize) {
    if list.len() > retained {
        *list = Vec::new();
    }
    list.clear();
}

/// Sees to it that there are so many bytes, whatever they are.
fn make_room(buffer: &mut Vec<u8>, needed: usize) {
    if buffer.len() < needed {
        let size = match needed {
            ..=RETAINED => needed.next_power_of_two(),
            _ => needed,
        };
        *buffer = vec![0; size];
    }
}
