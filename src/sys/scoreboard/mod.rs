//! The scoreboard: shared memory in which the manager and its workers inform each other, and which
//! `fcgipm status` shows.
//!
//! The memory is a memfd named `fcgipm-scoreboard` ([`memory`]). So it can be found among the
//! manager's descriptors and read ([`view`]) without the help of any process. From its start:
//!
//! | what | where | who writes |
//! |---|---|---|
//! | [`Header`] | at 0 | the manager |
//! | one [`SlotLine`] of 64 bytes per slot | at 4,096 | the manager |
//! | one [`Page`] per slot, a region of at least 296 KiB | from the next whole page on | see below |
//!
//! The region of each worker is a fresh memfd of its own, mapped in this place. The scoreboard's
//! own file is empty there. A worker keeps only its own region mapped: a first line that the
//! manager writes for it, and [`RECORDS`] records, one per request loop, which the worker writes.
//! Only memory that was touched costs anything, so a reader stops at the first record that was
//! never used.
//!
//! Everything consists of atomic words, which are zero until they are written. What a worker writes
//! may be arbitrary: no number from there is ever used as an index, a length or a process id, and
//! it counts only if the seal of its line matches ([`record`]). Any change of the layout changes
//! [`VERSION`].

mod access;
mod exits;
mod foreign;
mod header;
mod layout;
mod memory;
mod offers;
mod page;
mod record;
mod status;
mod tally;
#[cfg(test)]
mod tests;
mod version;
mod view;
mod words;

pub use access::{
    ACCESS_FORMAT_MAX, ACCESS_NAME_MAX, AccessArea, AccessPosition, AccessSettings, Fill,
};
pub use exits::ExitCause;
pub use foreign::open_memfd;
pub use header::{Header, SlotLine};
pub use layout::{MEMFD_NAME, REGION_NAME};
pub use memory::Scoreboard;
pub(crate) use memory::adopt_region;
pub use offers::{OfferList, Offered};
pub use page::{Page, QUEUES, RECORDS};
pub(crate) use record::{Entry, Record};
pub use status::{
    Activity, Details, End, Figures, LastExit, Order, PoolStatus, Reload, ReloadEnd, SlotStatus,
    Snapshot, Stage, Total,
};
pub(crate) use tally::WAIT_MAX;
pub use tally::{CLASSES, DURATION_BOUNDS, Served, Tallies, possible_requests};
pub(crate) use version::VERSION;
pub use view::{View, ViewError};
