//! The position of a connection within a record.

use crate::wire::{BeginRequest, HEADER_LEN};

/// The position of the input within a record. Small, since it is written twice per record and moves
/// with each connection.
#[derive(Clone, Debug)]
pub(super) enum Framing {
    /// In a header, of which `have` bytes have arrived.
    Header {
        have: u8,
        bytes: [u8; HEADER_LEN],
    },
    Content {
        kind: Content,
        left: u32,
        /// Length of the whole content.
        length: u16,
        padding: u8,
    },
    Padding {
        left: u8,
    },
}

pub(super) const BETWEEN_RECORDS: Framing = Framing::Header {
    have: 0,
    bytes: [0; HEADER_LEN],
};

/// How the content of a record is used.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Skipped,
    Begin {
        id: u16,
        have: u8,
        bytes: [u8; BeginRequest::LEN],
    },
    Params,
    Stdin,
    Data,
    GetValues(Box<Names>),
}

/// The content of a GET_VALUES record. It grows as bytes arrive, never ahead of them. A record limits it
/// to 65,535 bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(pub(super) Vec<u8>);

const _: () = assert!(size_of::<Framing>() <= 24);

/// A record of the application's input whose content is arriving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coming {
    /// The remaining content, at least one byte.
    pub left: usize,
    /// The length of the whole content.
    pub length: usize,
    /// The distance from its end to the content of the next record: padding and a header.
    pub gap: usize,
}

impl Framing {
    pub(super) const fn is_between_records(&self) -> bool {
        matches!(self, Self::Header { have: 0, .. })
    }

    /// Whether no record that matters has begun.
    pub(super) const fn has_nothing_begun(&self) -> bool {
        match self {
            Self::Header { have, .. } => *have == 0,
            Self::Content { kind, .. } => matches!(kind, Content::Skipped),
            Self::Padding { .. } => true,
        }
    }

    pub(super) const fn coming(&self) -> Option<Coming> {
        match *self {
            Self::Content {
                kind: Content::Stdin | Content::Data,
                left,
                length,
                padding,
            } => Some(Coming {
                left: left as usize,
                length: length as usize,
                gap: padding as usize + HEADER_LEN,
            }),
            _ => None,
        }
    }

    pub(super) fn pass(&mut self, count: usize) {
        if let Self::Content { left, padding, .. } = self {
            *left = left.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
            if *left == 0 {
                *self = after_content(*padding);
            }
        }
    }
}

/// The state of a connection without an active request. It is small, because many may be parked.
#[derive(Clone, Debug)]
pub struct Suspended(pub(super) Framing);

impl Suspended {
    /// A new connection.
    #[must_use]
    pub const fn fresh() -> Self {
        Self(BETWEEN_RECORDS)
    }

    /// Whether the connection is between two records, so that another process can continue with it.
    #[must_use]
    pub const fn is_between_records(&self) -> bool {
        self.0.is_between_records()
    }
}

/// The position after the last byte of the content.
pub(super) const fn after_content(padding: u8) -> Framing {
    match padding {
        0 => BETWEEN_RECORDS,
        left => Framing::Padding { left },
    }
}
