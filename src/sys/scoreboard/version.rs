//! Numbers that identify the layout.

/// The first word: "fcgipm" and two bytes that do not occur in text.
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"fcgipm\x1a\xfe");

/// The layout's version.
pub(crate) const VERSION: u32 = 5;

/// A request's number has the record's place above these bits.
pub(super) const PLACE_SHIFT: u32 = 56;
