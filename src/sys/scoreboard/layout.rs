//! The names of the memfds, and the offsets in them.

use super::header::SlotLine;
use super::page::Page;
use crate::sys::process::page_size;

/// The name of the memfd; the kernel shows it as `/memfd:fcgipm-scoreboard (deleted)`.
pub const MEMFD_NAME: &str = "fcgipm-scoreboard";

/// With the slot's number appended, the name of the memfd that holds the region of its worker.
pub const REGION_NAME: &str = "fcgipm-region-";

/// Where the table of slots begins.
pub(super) const TABLE_AT: usize = 4096;

const _: () = assert!(size_of::<super::header::Header>() <= TABLE_AT);

/// The size of the table and of the regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) slots: usize,
    /// Bytes from one region to the next: a whole number of the system's pages.
    pub(super) stride: usize,
}

impl Shape {
    pub(super) fn new(slots: usize) -> Self {
        let stride = size_of::<Page>().next_multiple_of(page_size());
        Self { slots, stride }
    }

    pub(super) const fn line(self, slot: usize) -> usize {
        TABLE_AT + slot * size_of::<SlotLine>()
    }

    pub(super) fn region(self, slot: usize) -> usize {
        self.line(self.slots).next_multiple_of(page_size()) + slot * self.stride
    }

    pub(super) fn length(self) -> usize {
        self.region(self.slots)
    }
}
