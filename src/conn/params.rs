//! A request's parameters in one flat buffer, in the form that hosts take over with one copy.

use super::scope::{Belongs, Scope};
use crate::wire::{PairSink, Role};

/// Memory for parameters that is kept from request to request; what an unusual request needed
/// beyond it is given back.
const RETAINED: usize = 64 * 1024;

/// Where a value stands in the flat form: its start and its length.
#[derive(Clone, Copy, Debug, Default)]
struct Place(usize, usize);

/// The parameters of one request.
///
/// They stand in one buffer, in the order in which they arrived, the scopes one after the other;
/// `FCGI_ROLE` ends the first. Each is an entry: the lengths of its name and its value (32 bits each, in
/// the machine's order), and `NAME=VALUE` with a NUL behind it, so that it can be handed to C as it stands.
#[derive(Debug, Default)]
pub struct Params {
    /// The entries, and behind them what earlier ones left.
    entries: Vec<u8>,
    used: usize,
    /// Entries held back from the environment until the end is known.
    proxies: Vec<u8>,
    malformed: Vec<u8>,
    environment_end: usize,
    well_formed_end: usize,
    /// Where some values stand that the server itself wants to know.
    method: Place,
    request_uri: Place,
    script_name: Place,
    /// The pair that is arriving: where it starts, and its lengths.
    start: usize,
    name_len: usize,
    value_len: usize,
}

/// What an entry has in front of its name.
const LENGTHS: usize = 8;

/// What it has beside its name and its value: the lengths, `=` and NUL.
const FRAME: usize = LENGTHS + 2;

impl Params {
    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        if self.entries.len() > RETAINED {
            self.entries = Vec::new();
        }
        self.used = 0;
        for buffer in [&mut self.proxies, &mut self.malformed] {
            buffer.clear();
            buffer.shrink_to(RETAINED);
        }
        self.environment_end = 0;
        self.well_formed_end = 0;
        self.method = Place::default();
        self.request_uri = Place::default();
        self.script_name = Place::default();
    }

    /// The stream has ended: adds the role and puts the scopes in their order.
    pub(super) fn complete(&mut self, role: Role) {
        let (name, value) = (b"FCGI_ROLE", role.name().as_bytes());
        self.begin(name.len(), value.len());
        self.name(name);
        self.name_end();
        self.value(value);
        self.end();
        self.environment_end = self.used;
        let proxies = std::mem::take(&mut self.proxies);
        self.append(&proxies);
        self.well_formed_end = self.used;
        let malformed = std::mem::take(&mut self.malformed);
        self.append(&malformed);
        (self.proxies, self.malformed) = (proxies, malformed);
    }

    /// The bytes that a scope takes, in either form.
    #[must_use]
    pub fn length(&self, scope: Scope) -> usize {
        match scope {
            Scope::Environment => self.environment_end,
            Scope::WellFormed => self.well_formed_end,
            Scope::All => self.used,
        }
    }

    /// The entries of a scope, for a host that walks through them and may change what it finds.
    pub fn entries_mut(&mut self, scope: Scope) -> &mut [u8] {
        let end = self.length(scope);
        &mut self.entries[..end]
    }

    /// Appends the scope in the form that the C ABI documents. It takes as many bytes as the entries do.
    pub fn write_flat(&self, scope: Scope, into: &mut Vec<u8>) {
        into.reserve(self.length(scope));
        for field in self.iter(scope).flat_map(|(name, value)| [name, value]) {
            into.extend_from_slice(&(field.len() as u32).to_be_bytes());
            into.extend_from_slice(field);
            into.push(0);
        }
    }

    /// The pairs of a scope.
    pub fn iter(&self, scope: Scope) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        let mut rest = &self.entries[..self.length(scope)];
        std::iter::from_fn(move || {
            let (name_len, after) = split_length(rest)?;
            let (value_len, after) = split_length(after)?;
            let (name, after) = after.split_at_checked(name_len)?;
            let (value, after) = after.get(1..)?.split_at_checked(value_len)?;
            rest = after.get(1..)?;
            Some((name, value))
        })
    }

    /// Copies the names, a NUL behind each, one more NUL, and the values, likewise. Where `held` is
    /// such a copy and has the same names, it is instead a NUL, and each name whose value differs
    /// or is empty with its value behind it: a host that lost a parameter has nothing there, which
    /// looks empty. Returns the length; when there is no room, nothing is copied.
    #[must_use]
    pub fn copy_columns(&self, scope: Scope, held: &[u8], into: &mut [u8]) -> usize {
        match self.values_if_same_names(scope, held) {
            Some(values) => {
                let pairs = self.iter(scope).zip(values);
                let changed = pairs.filter(|((_, value), old)| value.is_empty() || value != old);
                let fields = changed.flat_map(|((name, value), _)| [name, value]);
                copy_fields([&b""[..]].into_iter().chain(fields), into)
            }
            None => {
                let names = self.iter(scope).map(|(name, _)| name);
                let values = self.iter(scope).map(|(_, value)| value);
                copy_fields(names.chain([&b""[..]]).chain(values), into)
            }
        }
    }

    /// The values in `held`, if it has exactly the names of this request in this order.
    fn values_if_same_names<'a>(
        &self,
        scope: Scope,
        held: &'a [u8],
    ) -> Option<impl Iterator<Item = &'a [u8]> + Clone> {
        let mut rest = held;
        let mut count = 0;
        for (name, _) in self.iter(scope) {
            rest = rest.strip_prefix(name)?.strip_prefix(b"\0")?;
            count += 1;
        }
        let values = rest.strip_prefix(b"\0")?.strip_suffix(b"\0")?;
        let values = values.split(|&byte| byte == 0);
        // A value with a NUL in it would shift those behind it.
        (values.clone().count() == count).then_some(values)
    }

    /// A parameter's value, of all that were sent. Of several with one name the last counts, as it
    /// does when they are stored in a hash.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter(Scope::All)
            .filter(|(n, _)| *n == name)
            .map(|(_, value)| value)
            .last()
    }

    /// REQUEST_METHOD, or nothing. Costs no search, as little as the next one.
    #[must_use]
    pub fn method(&self) -> &[u8] {
        self.at(self.method)
    }

    /// REQUEST_URI, or else SCRIPT_NAME, or nothing.
    #[must_use]
    pub fn uri(&self) -> &[u8] {
        match self.at(self.request_uri) {
            [] => self.at(self.script_name),
            uri => uri,
        }
    }

    /// The entry from `start` on is whole: it stays, or waits where its like do.
    fn settle(&mut self, belongs: Belongs, start: usize, value_start: usize, value_len: usize) {
        let place = Place(value_start, value_len);
        let held_back = match belongs {
            Belongs::Environment => return,
            Belongs::Method => return self.method = place,
            Belongs::RequestUri => return self.request_uri = place,
            Belongs::ScriptName => return self.script_name = place,
            Belongs::Proxies => &mut self.proxies,
            Belongs::Malformed => &mut self.malformed,
        };
        held_back.extend_from_slice(&self.entries[start..self.used]);
        self.used = start;
    }

    fn at(&self, Place(start, length): Place) -> &[u8] {
        self.entries.get(start..start + length).unwrap_or_default()
    }

    /// Makes room for so many bytes more.
    fn make_room(&mut self, count: usize) {
        let needed = self.used + count;
        if self.entries.len() < needed {
            self.entries.resize(needed.max(2 * self.entries.len()), 0);
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        self.make_room(bytes.len());
        self.entries[self.used..self.used + bytes.len()].copy_from_slice(bytes);
        self.used += bytes.len();
    }
}

fn split_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    Some((u32::from_ne_bytes(*length) as usize, rest))
}

/// The fields, a NUL behind each.
fn copy_fields<'a>(fields: impl Iterator<Item = &'a [u8]> + Clone, into: &mut [u8]) -> usize {
    let needed = fields.clone().map(|field| field.len() + 1).sum();
    if let Some(mut rest) = into.get_mut(..needed) {
        for field in fields {
            let (text, after) = rest.split_at_mut(field.len());
            text.copy_from_slice(field);
            let (end, after) = after.split_at_mut(1);
            end.fill(0);
            rest = after;
        }
    }
    needed
}

impl PairSink for Params {
    fn begin(&mut self, name_len: usize, value_len: usize) {
        self.start = self.used;
        self.name_len = name_len;
        self.value_len = value_len;
        self.append(&(name_len as u32).to_ne_bytes());
        self.append(&(value_len as u32).to_ne_bytes());
    }

    fn name(&mut self, piece: &[u8]) {
        self.append(piece);
    }

    fn name_end(&mut self) {
        self.append(b"=");
    }

    fn value(&mut self, piece: &[u8]) {
        self.append(piece);
    }

    fn end(&mut self) {
        let name_start = self.start + LENGTHS;
        let value_start = self.used - self.value_len;
        let name = &self.entries[name_start..name_start + self.name_len];
        let belongs = Belongs::of(name, &self.entries[value_start..self.used]);
        self.append(&[0]);
        self.settle(belongs, self.start, value_start, self.value_len);
    }

    // Most of what a request costs outside the kernel is spent here, and the calls of copies that could be two
    // instructions would be half of it.
    fn pair(&mut self, bytes: &[u8], name_len: usize, value_len: usize) {
        let start = self.used;
        self.make_room(FRAME + name_len + value_len + SHORT);
        let (lengths, text) = self.entries[start..].split_at_mut(LENGTHS);
        lengths[..4].copy_from_slice(&(name_len as u32).to_ne_bytes());
        lengths[4..].copy_from_slice(&(value_len as u32).to_ne_bytes());
        copy(text, bytes, name_len);
        let text = &mut text[name_len..];
        text[0] = b'=';
        copy(&mut text[1..], &bytes[name_len..], value_len);
        text[1 + value_len] = 0;
        self.used = start + FRAME + name_len + value_len;
        let (name, value) = (&bytes[..name_len], &bytes[name_len..name_len + value_len]);
        let belongs = Belongs::of(name, value);
        let value_start = start + LENGTHS + name_len + 1;
        self.settle(belongs, start, value_start, value_len);
    }
}

/// A copy of up to so many bytes takes more with it where there are any, rather than look how many it takes.
const SHORT: usize = 32;

fn copy(to: &mut [u8], from: &[u8], length: usize) {
    match (to.first_chunk_mut::<SHORT>(), from.first_chunk::<SHORT>()) {
        (Some(to), Some(from)) if length <= SHORT => *to = *from,
        _ => to[..length].copy_from_slice(&from[..length]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{PairDecoder, PairLimits, encode_pair};

    fn decoded(pairs: &[(&[u8], &[u8])]) -> Params {
        let mut bytes = Vec::new();
        pairs
            .iter()
            .for_each(|(name, value)| encode_pair(name, value, &mut bytes));
        let mut params = Params::default();
        let limits = PairLimits {
            count: 100,
            pair: 10_000,
            total: 100_000,
        };
        PairDecoder::new(limits).push(&bytes, &mut params).unwrap();
        params.complete(Role::Responder);
        params
    }

    #[test]
    fn what_must_not_reach_an_environment_is_only_in_the_wider_scopes() {
        let long = vec![b'v'; 300];
        let params = decoded(&[
            (b"A", b"1"),
            (b"HTTP_PROXY", b"evil:8080"),
            (b"B=C", b"2"),
            (b"NUL", b"a\0b"),
            (b"", b"nameless"),
            (b"LONG", &long),
        ]);
        let names = |scope| {
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

    fn columns(params: &Params, scope: Scope, held: &[u8]) -> Vec<u8> {
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
        let params = decoded(&[(b"A", b"1"), (b"HTTP_PROXY", b"p"), (b"B", b"")]);
        assert_eq!(
            columns(&params, Scope::Environment, b""),
            b"A\0B\0FCGI_ROLE\0\x001\0\0RESPONDER\0"
        );
        assert_eq!(
            columns(&params, Scope::WellFormed, b""),
            b"A\0B\0FCGI_ROLE\0HTTP_PROXY\0\x001\0\0RESPONDER\0p\0"
        );
    }

    #[test]
    fn only_what_differs_from_the_columns_that_are_held_is_told() {
        let scope = Scope::Environment;
        let params = decoded(&[(b"A", b"1"), (b"B", b""), (b"C", b"3")]);
        let whole = columns(&params, scope, b"");
        assert_eq!(columns(&params, scope, &whole), b"\0B\0\0");
        for (held, told) in [
            (
                &b"A\0B\0C\0FCGI_ROLE\0\x001\0x\x002\0RESPONDER\0"[..],
                &b"\0B\0\0C\x003\0"[..],
            ),
            (
                b"A\0B\0C\0FCGI_ROLE\0\0\0\x003\0RESPONDER\0",
                b"\0A\x001\0B\0\0",
            ),
            // Other names, another order, a value too many or too few, no end, no copy at all.
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
            assert_eq!(columns(&params, scope, held), told, "{held:?}");
        }
    }

    #[test]
    fn a_pair_comes_out_the_same_whole_or_in_pieces() {
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
        let flat = |params: &Params, scope| {
            let mut flat = Vec::new();
            params.write_flat(scope, &mut flat);
            flat
        };
        let (mut whole, mut pieces) = (Params::default(), Params::default());
        for (name, value) in pairs {
            whole.pair(&[name, value].concat(), name.len(), value.len());
            pieces.begin(name.len(), value.len());
            name.iter().for_each(|byte| pieces.name(&[*byte]));
            pieces.name_end();
            value.iter().for_each(|byte| pieces.value(&[*byte]));
            pieces.end();
        }
        for params in [&mut whole, &mut pieces] {
            params.complete(Role::Filter);
        }
        for scope in [Scope::Environment, Scope::WellFormed, Scope::All] {
            let expected = flat(&whole, scope);
            assert_eq!(expected, flat(&pieces, scope));
            assert_eq!(expected.len(), whole.length(scope));
            assert_eq!(whole.entries_mut(scope), pieces.entries_mut(scope));
        }
        let begin = b"\0\0\0\x01A\0\0\0\0\0\0\0\0\0\x0eREQUEST_METHOD\0\0\0\0\x03GET\0";
        assert!(flat(&whole, Scope::All).starts_with(begin));
        assert_eq!(
            (whole.method(), whole.uri()),
            (pieces.method(), pieces.uri())
        );
        assert_eq!((whole.method(), whole.uri()), (&b"GET"[..], &b"/"[..]));
    }

    #[test]
    fn the_method_and_the_uri_are_at_hand() {
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
    fn of_several_parameters_with_one_name_the_last_counts() {
        assert_eq!(
            decoded(&[(b"A", b"1"), (b"A", b"2")]).get(b"A"),
            Some(&b"2"[..])
        );
    }
}
