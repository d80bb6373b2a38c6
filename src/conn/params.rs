//! A request's parameters in one flat buffer, in the form that hosts take over with one copy.

use crate::wire::{PairSink, Role};

/// Which parameters a host asks for. Each scope contains the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What may be exported into a process environment: no `HTTP_PROXY` (httpoxy, CVE-2016-5385: a
    /// client's `Proxy:` header would become the proxy of outgoing requests), no empty name, no `=`
    /// in a name, no NUL.
    Environment,
    /// The above and `HTTP_PROXY`.
    WellFormed,
    /// Everything that the web server sent.
    All,
}

/// Memory for parameters that is kept from request to request; what an unusual request needed
/// beyond it is given back.
const RETAINED: usize = 64 * 1024;

/// The parameters of one request.
///
/// The flat form is, for each pair: the name's length (32 bits, big-endian), the name, a NUL, the
/// value's length (likewise), the value, a NUL. Pairs stand in the order in which they arrived, the
/// scopes one after the other; `FCGI_ROLE` ends the first.
#[derive(Debug, Default)]
pub struct Params {
    flat: Vec<u8>,
    /// Pairs held back from the environment until the end is known.
    proxies: Vec<u8>,
    malformed: Vec<u8>,
    environment_end: usize,
    well_formed_end: usize,
    /// The pair that is arriving: where it starts, and its lengths.
    start: usize,
    name_len: usize,
    value_len: usize,
}

impl Params {
    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        for buffer in [&mut self.flat, &mut self.proxies, &mut self.malformed] {
            buffer.clear();
            buffer.shrink_to(RETAINED);
        }
        self.environment_end = 0;
        self.well_formed_end = 0;
    }

    /// The stream has ended: adds the role and puts the scopes in their order.
    pub(super) fn complete(&mut self, role: Role) {
        let (name, value) = (b"FCGI_ROLE", role.name().as_bytes());
        self.begin(name.len(), value.len());
        self.name(name);
        self.name_end();
        self.value(value);
        self.end();
        self.environment_end = self.flat.len();
        self.flat.append(&mut self.proxies);
        self.well_formed_end = self.flat.len();
        self.flat.append(&mut self.malformed);
    }

    /// The flat form of a scope.
    #[must_use]
    pub fn flat(&self, scope: Scope) -> &[u8] {
        match scope {
            Scope::Environment => &self.flat[..self.environment_end],
            Scope::WellFormed => &self.flat[..self.well_formed_end],
            Scope::All => &self.flat,
        }
    }

    /// The pairs of a scope.
    pub fn iter(&self, scope: Scope) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = self.flat(scope);
        std::iter::from_fn(move || {
            let (name, after) = split_field(rest)?;
            let (value, after) = split_field(after)?;
            rest = after;
            Some((name, value))
        })
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
}

fn split_field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (field, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    Some((field, rest.get(1..)?))
}

impl PairSink for Params {
    fn begin(&mut self, name_len: usize, value_len: usize) {
        self.start = self.flat.len();
        self.name_len = name_len;
        self.value_len = value_len;
        self.flat
            .extend_from_slice(&(name_len as u32).to_be_bytes());
    }

    fn name(&mut self, piece: &[u8]) {
        self.flat.extend_from_slice(piece);
    }

    fn name_end(&mut self) {
        self.flat.push(0);
        self.flat
            .extend_from_slice(&(self.value_len as u32).to_be_bytes());
    }

    fn value(&mut self, piece: &[u8]) {
        self.flat.extend_from_slice(piece);
    }

    fn end(&mut self) {
        let value_start = self.flat.len() - self.value_len;
        let value = &self.flat[value_start..];
        let name_start = self.start + 4;
        let name = &self.flat[name_start..name_start + self.name_len];
        let held_back =
            if name.is_empty() || name.contains(&b'=') || name.contains(&0) || value.contains(&0) {
                Some(&mut self.malformed)
            } else if name == b"HTTP_PROXY" {
                Some(&mut self.proxies)
            } else {
                None
            };
        self.flat.push(0);
        if let Some(held_back) = held_back {
            held_back.extend_from_slice(&self.flat[self.start..]);
            self.flat.truncate(self.start);
        }
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

    #[test]
    fn of_several_parameters_with_one_name_the_last_counts() {
        assert_eq!(
            decoded(&[(b"A", b"1"), (b"A", b"2")]).get(b"A"),
            Some(&b"2"[..])
        );
    }
}
