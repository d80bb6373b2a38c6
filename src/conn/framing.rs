//! Where in a record a connection stands.

use crate::wire::{BeginRequest, HEADER_LEN};

/// Where in a record the input stands.
#[derive(Clone, Debug)]
pub(super) enum Framing {
    /// In a header, of which so many bytes are there.
    Header {
        have: usize,
        bytes: [u8; HEADER_LEN],
    },
    Content {
        kind: Content,
        left: usize,
        /// Of the whole record.
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

/// What the content of the record is.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Skipped,
    Begin {
        id: u16,
        have: usize,
        bytes: [u8; BeginRequest::LEN],
    },
    Params,
    Stdin,
    Data,
    /// Collected as it arrives, never ahead of it; a record bounds it to 65,535 bytes.
    GetValues(Vec<u8>),
}

/// The record of the application's input whose content is arriving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coming {
    /// So much of the content is still to come, at least one byte.
    pub left: usize,
    /// The length of all of it.
    pub length: usize,
    /// How far it is from its end to the next record's content: padding, and a header.
    pub gap: usize,
}

impl Framing {
    pub(super) const fn coming(&self) -> Option<Coming> {
        match *self {
            Self::Content {
                kind: Content::Stdin | Content::Data,
                left,
                length,
                padding,
            } => Some(Coming {
                left,
                length: length as usize,
                gap: padding as usize + HEADER_LEN,
            }),
            _ => None,
        }
    }

    pub(super) fn pass(&mut self, count: usize) {
        if let Self::Content { left, padding, .. } = self {
            *left = left.saturating_sub(count);
            if *left == 0 {
                *self = after_content(*padding);
            }
        }
    }
}

/// The state of a connection without an active request: small, so that many can be kept.
#[derive(Clone, Debug)]
pub struct Suspended(pub(super) Framing);

impl Suspended {
    /// A new connection.
    #[must_use]
    pub const fn fresh() -> Self {
        Self(BETWEEN_RECORDS)
    }

    /// Whether the connection stands between two records, so that anybody can go on with it.
    #[must_use]
    pub const fn is_between_records(&self) -> bool {
        matches!(self.0, Framing::Header { have: 0, .. })
    }
}

/// What follows the last byte of a record's content.
pub(super) const fn after_content(padding: u8) -> Framing {
    match padding {
        0 => BETWEEN_RECORDS,
        left => Framing::Padding { left },
    }
}
