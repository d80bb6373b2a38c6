//! The scopes of parameters: which may be exported into a process environment.

/// A set of parameters. Each scope contains the previous one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Parameters that may be exported into a process environment: no `HTTP_PROXY` (httpoxy,
    /// CVE-2016-5385: the `Proxy:` header of a client would become the proxy of outgoing requests),
    /// no empty name, no `=` in a name, no NUL.
    Environment,
    /// The above and `HTTP_PROXY`.
    WellFormed,
    /// Everything that the web server sent.
    All,
}

/// The narrowest scope that contains a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Belongs {
    Environment,
    Proxies,
    Malformed,
}

impl Belongs {
    pub(super) fn of(name: &[u8], value: &[u8]) -> Self {
        if name.is_empty() || has_either(name, b'=') || has_nul(value) {
            return Self::Malformed;
        }
        if name == PROXY {
            Self::Proxies
        } else {
            Self::Environment
        }
    }
}

/// Whether a name without a NUL is certainly valid in an environment. `bytes` begin with the name
/// and continue after it. Some valid names are not recognised: always 16 bytes are checked, even if
/// the name is shorter.
#[inline]
pub(super) fn is_plain(bytes: &[u8], name_len: usize) -> bool {
    /// A bit for each length up to 16, except that of HTTP_PROXY.
    const USUAL: u32 = 0x1_fffe & !(1 << PROXY.len());
    let Some(head) = bytes.first_chunk::<16>() else {
        return false;
    };
    let is_usual = match name_len {
        ..=16 => USUAL >> name_len & 1 != 0,
        17..=32 => bytes[..name_len]
            .last_chunk::<16>()
            .is_some_and(|tail| !any_is(tail, b'=')),
        _ => false,
    };
    is_usual && !any_is(head, b'=')
}

const PROXY: &[u8] = b"HTTP_PROXY";

#[inline]
pub(super) fn has_nul(bytes: &[u8]) -> bool {
    has_either(bytes, 0)
}

/// The number of zero bytes.
pub(super) fn count_zeroes(bytes: &[u8]) -> usize {
    // The count of a chunk fits a byte, so that the compiler can vectorise it.
    let counts = bytes.chunks(192).map(|chunk| {
        let zeroes = chunk.iter().map(|&byte| u8::from(byte == 0));
        usize::from(zeroes.sum::<u8>())
    });
    counts.sum()
}

/// Whether the bytes contain a NUL or `other`. Compares 16 at a time: most names and values are too
/// short for a search that is made for long ones.
#[inline]
fn has_either(bytes: &[u8], other: u8) -> bool {
    if let Some(last) = bytes.last_chunk::<16>() {
        // The last chunk may overlap the one before.
        let mut chunks = bytes.chunks_exact(16).filter_map(<[u8]>::first_chunk::<16>);
        return chunks.any(|chunk| any_is_either(chunk, other)) || any_is_either(last, other);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        return any_is_either(first, other) || any_is_either(last, other);
    }
    bytes.iter().any(|&byte| byte == 0 || byte == other)
}

/// Without an early exit, so that it compiles to one vector comparison.
#[inline]
fn any_is<const N: usize>(bytes: &[u8; N], other: u8) -> bool {
    bytes
        .iter()
        .fold(false, |found, &byte| found | (byte == other))
}

#[inline]
fn any_is_either<const N: usize>(bytes: &[u8; N], other: u8) -> bool {
    bytes
        .iter()
        .fold(false, |found, &byte| found | (byte == 0) | (byte == other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_found_at_any_position() {
        for length in 0..40 {
            let clean = vec![b'<'; length];
            assert!(!has_either(&clean, b'='));
            for position in 0..length {
                for byte in 0..=u8::MAX {
                    let mut bytes = clean.clone();
                    bytes[position] = byte;
                    assert_eq!(has_either(&bytes, b'='), byte == 0 || byte == b'=');
                    assert_eq!(has_either(&bytes, 0), byte == 0);
                }
            }
        }
    }

    #[test]
    fn zeroes_are_counted_at_any_length() {
        for length in (0..200).chain([8_159, 8_160, 8_161, 20_000]) {
            let mut bytes = vec![1; length];
            assert_eq!(count_zeroes(&bytes), 0);
            for position in (0..length).step_by(7) {
                bytes[position] = 0;
            }
            assert_eq!(count_zeroes(&bytes), length.div_ceil(7));
            assert_eq!(count_zeroes(&vec![0; length]), length);
        }
    }

    #[test]
    fn a_plain_name_is_valid_in_an_environment() {
        for length in 0..40 {
            for behind in [&b""[..], b"a value", &[b'='; 40], &[b'v'; 40]] {
                let name = vec![b'N'; length];
                let bytes = |name: &[u8]| [name, behind].concat();
                let plain = is_plain(&bytes(&name), length);
                assert!(!plain || Belongs::of(&name, b"") == Belongs::Environment);
                if behind == [b'v'; 40] && (1..=32).contains(&length) && length != 10 {
                    assert!(plain, "{length}");
                }
                for position in 0..length {
                    let mut name = name.clone();
                    name[position] = b'=';
                    assert!(!is_plain(&bytes(&name), length));
                }
            }
        }
        assert!(!is_plain(b"HTTP_PROXY and what is behind it", 10));
    }
}
