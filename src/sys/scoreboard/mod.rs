//! The scoreboard: what the manager and its workers tell each other, and what `fcgipm status` shows,
//! in memory that all of them share.
//!
//! The memory is a memfd named `fcgipm-scoreboard` ([`memory`]), so that it can be found among the
//! manager's descriptors and looked at ([`view`]) without anybody's help. From its start:
//!
//! | what | where | who writes |
//! |---|---|---|
//! | [`Header`] | at 0 | the manager |
//! | one [`SlotLine`] of 64 bytes per slot | from [`TABLE_AT`] on | the manager |
//! | one [`Page`] per slot, a region of at least 20 KiB | from the next whole page on | see below |
//!
//! The region of each worker is a fresh memfd of its own, mapped in this place: the scoreboard's own file has nothing
//! there. A worker keeps only its own region mapped: a first line that the manager writes for it, and
//! [`RECORDS`] records, one per request loop, which the worker writes. Only memory that was touched
//! costs anything, so that nobody reads a record behind one that was never used.
//!
//! Everything is made of atomic words, zero where nothing was written. What a worker writes may be
//! anything at all: a number from there is never used as an index, a length or a process id, and
//! counts only if the seal of its line fits ([`page`]). Whatever changes here changes [`VERSION`].

mod foreign;
mod header;
mod memory;
mod offers;
mod page;
mod record;
#[cfg(test)]
mod tests;
mod view;
mod words;

pub use foreign::open_memfd;
pub use header::{Figures, Header, Reload, SlotLine, Stage, Total};
pub use memory::Scoreboard;
pub(crate) use memory::adopt_region;
pub use offers::{OfferList, Offered};
pub use page::{Details, Page, QUEUES, RECORDS, Snapshot};
pub(crate) use record::{Entry, Record};
pub use view::{LastExit, PoolStatus, SlotStatus, View, ViewError};

/// The name of the memfd; the kernel shows it as `/memfd:fcgipm-scoreboard (deleted)`.
pub const MEMFD_NAME: &str = "fcgipm-scoreboard";

/// With the slot's number behind it, the name of the memfd that holds the region of its worker.
pub const REGION_NAME: &str = "fcgipm-region-";

/// The first word: "fcgipm" and two bytes that no text has.
const MAGIC: u64 = u64::from_le_bytes(*b"fcgipm\x1a\xfe");

/// The layout's version.
pub(crate) const VERSION: u32 = 1;

/// Where the table of slots begins.
const TABLE_AT: usize = 4096;

/// What a request loop is doing, in its own words; of a worker with several, the busiest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Activity {
    /// No loop has entered Accept yet, or each that had is gone.
    Starting = 0,
    /// Waits for a request.
    Idle = 1,
    /// Has a connection and waits for its parameters.
    Reading = 2,
    /// Runs the application.
    Busy = 3,
    /// Knows that it is to leave, and is on its way.
    Leaving = 4,
    /// Has finished a request, and has not come back for the next one.
    Finished = 5,
}

impl Activity {
    const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Starting),
            1 => Some(Self::Idle),
            2 => Some(Self::Reading),
            3 => Some(Self::Busy),
            4 => Some(Self::Leaving),
            5 => Some(Self::Finished),
            _ => None,
        }
    }
}

/// What the manager asks of a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Order {
    /// Nothing: go on.
    Serve = 0,
    /// Leave after the current request; hand idle kept connections to the others.
    Retire = 1,
    /// Leave after the current request; nobody is left to hand connections to.
    RetireLast = 2,
}
