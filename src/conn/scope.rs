//! Which parameters may reach what: a process environment, or a host that looks at each.

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

/// Where a pair is to stand, and whether the server itself wants to know its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Belongs {
    Environment,
    Method,
    RequestUri,
    ScriptName,
    Proxies,
    Malformed,
}

impl Belongs {
    pub(super) fn of(name: &[u8], value: &[u8]) -> Self {
        if name.is_empty() || has_either(name, b'=') || has_either(value, 0) {
            return Self::Malformed;
        }
        match name {
            b"HTTP_PROXY" => Self::Proxies,
            b"REQUEST_METHOD" => Self::Method,
            b"REQUEST_URI" => Self::RequestUri,
            b"SCRIPT_NAME" => Self::ScriptName,
            _ => Self::Environment,
        }
    }
}

/// Whether there is a NUL or this byte. Looks at 16 of them at a time: most names and values are shorter than what
/// a search made for long ones needs to get going.
#[inline]
fn has_either(bytes: &[u8], other: u8) -> bool {
    if let Some(last) = bytes.last_chunk::<16>() {
        // The last ones may have been looked at already, in part.
        let chunks = bytes.as_chunks::<16>().0;
        return chunks.iter().any(|chunk| any_is(chunk, other)) || any_is(last, other);
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        return any_is(first, other) || any_is(last, other);
    }
    bytes.iter().any(|&byte| byte == 0 || byte == other)
}

/// Without a way out in the middle, so that it becomes a comparison of all of them at once.
#[inline]
fn any_is<const N: usize>(bytes: &[u8; N], other: u8) -> bool {
    bytes
        .iter()
        .fold(false, |found, &byte| found | (byte == 0) | (byte == other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_found_wherever_it_stands() {
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
}
