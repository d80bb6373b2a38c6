//! Refuses a request before it is read.

use super::answers;
use crate::wire::{
    BeginRequest, HEADER_LEN, Header, NULL_REQUEST_ID, ProtocolStatus, RecordType, VERSION,
};

/// The number of bytes that [`opening`] needs.
pub const OPENING: usize = HEADER_LEN + BeginRequest::LEN;

/// The id of the request that these first bytes of a connection begin. `None` if they are too few
/// or do not begin a request.
#[must_use]
pub fn opening(bytes: &[u8]) -> Option<u16> {
    if bytes.len() < OPENING {
        return None;
    }
    let header = Header::decode(*bytes.first_chunk()?);
    let begins = header.version == VERSION
        && header.kind == RecordType::BeginRequest
        && header.request_id != NULL_REQUEST_ID
        && usize::from(header.content_length) == BeginRequest::LEN;
    begins.then_some(header.request_id)
}

/// The record that refuses a request because of overload (section 5.5, FCGI_OVERLOADED).
#[must_use]
pub fn overloaded(request_id: u16) -> Vec<u8> {
    let mut out = Vec::new();
    answers::put_end_request(&mut out, request_id, 0, ProtocolStatus::Overloaded);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_complete_begin_request_record_is_accepted() {
        let begin = b"\x01\x01\x12\x34\x00\x08\x00\x00\x00\x01\x01\0\0\0\0\0and more";
        assert_eq!(opening(begin), Some(0x1234));
        for length in 0..OPENING {
            assert_eq!(opening(&begin[..length]), None, "{length} bytes");
        }
        // Another version, another type, no id, another length.
        for (position, byte) in [(0, 2), (1, 9), (2, 0), (5, 9)] {
            let mut other = *begin;
            other[position] = byte;
            if position == 2 {
                other[3] = 0;
            }
            assert_eq!(opening(&other), None, "byte {position}");
        }
    }

    #[test]
    fn a_refusal_is_one_record() {
        let expected = b"\x01\x03\x12\x34\x00\x08\x00\x00\0\0\0\0\x02\0\0\0";
        assert_eq!(overloaded(0x1234), expected);
    }
}
