//! The header of a record, eight bytes (section 3.3).

use super::VERSION;

/// Size of a record header in bytes.
pub const HEADER_LEN: usize = 8;

/// Record types (section 8). The byte of an unknown type is preserved, because the answer to it
/// contains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum RecordType {
    BeginRequest,
    AbortRequest,
    EndRequest,
    Params,
    Stdin,
    Stdout,
    Stderr,
    Data,
    GetValues,
    GetValuesResult,
    UnknownType,
    /// None of the above.
    Other(u8),
}

impl RecordType {
    /// The type that a byte stands for.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::BeginRequest,
            2 => Self::AbortRequest,
            3 => Self::EndRequest,
            4 => Self::Params,
            5 => Self::Stdin,
            6 => Self::Stdout,
            7 => Self::Stderr,
            8 => Self::Data,
            9 => Self::GetValues,
            10 => Self::GetValuesResult,
            11 => Self::UnknownType,
            other => Self::Other(other),
        }
    }

    /// The byte that stands for a type.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::BeginRequest => 1,
            Self::AbortRequest => 2,
            Self::EndRequest => 3,
            Self::Params => 4,
            Self::Stdin => 5,
            Self::Stdout => 6,
            Self::Stderr => 7,
            Self::Data => 8,
            Self::GetValues => 9,
            Self::GetValuesResult => 10,
            Self::UnknownType => 11,
            Self::Other(byte) => byte,
        }
    }
}

/// A record header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Protocol version. After any other than [`VERSION`], the stream cannot be decoded.
    pub version: u8,
    /// The type of the content.
    pub kind: RecordType,
    /// The id of the request; 0 for management records.
    pub request_id: u16,
    /// Bytes of content that follow.
    pub content_length: u16,
    /// Bytes of padding that follow the content.
    pub padding_length: u8,
}

impl Header {
    /// A header of this version whose padding aligns the content to 8 bytes.
    #[must_use]
    pub const fn new(kind: RecordType, request_id: u16, content_length: u16) -> Self {
        Self {
            version: VERSION,
            kind,
            request_id,
            content_length,
            padding_length: padding_for(content_length),
        }
    }

    /// Decodes a header. Any eight bytes are accepted; the caller checks the values.
    #[must_use]
    pub const fn decode(bytes: [u8; HEADER_LEN]) -> Self {
        Self {
            version: bytes[0],
            kind: RecordType::from_byte(bytes[1]),
            request_id: u16::from_be_bytes([bytes[2], bytes[3]]),
            content_length: u16::from_be_bytes([bytes[4], bytes[5]]),
            padding_length: bytes[6],
        }
    }

    /// Encodes a header; the reserved byte is zero.
    #[must_use]
    pub const fn encode(self) -> [u8; HEADER_LEN] {
        let [id1, id0] = self.request_id.to_be_bytes();
        let [length1, length0] = self.content_length.to_be_bytes();
        [
            self.version,
            self.kind.to_byte(),
            id1,
            id0,
            length1,
            length0,
            self.padding_length,
            0,
        ]
    }
}

/// The padding that aligns a record's content to 8 bytes (section 3.3 recommends it).
#[must_use]
pub const fn padding_for(content_length: u16) -> u8 {
    (content_length.wrapping_neg() & 7) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_completes_the_content_to_a_multiple_of_eight() {
        for length in 0..=u16::MAX {
            let padding = u32::from(padding_for(length));
            assert!(padding < 8);
            assert_eq!((u32::from(length) + padding) % 8, 0);
        }
    }

    #[test]
    fn every_type_byte_survives_the_round_trip() {
        for byte in 0..=u8::MAX {
            assert_eq!(RecordType::from_byte(byte).to_byte(), byte);
        }
    }
}
