//! One worker's region: what the manager writes for the worker, and what each of the worker's
//! request loops reports.

mod manager_side;
mod worker_side;

use std::sync::atomic::{AtomicU32, AtomicU64};

use super::access::AccessArea;
use super::offers::OfferList;
use super::record::Record;

/// Request loops of one worker that can be distinguished. Further ones are not reported.
pub const RECORDS: usize = 31;

/// Listen queues whose accepted connections are counted.
pub const QUEUES: usize = 8;

/// Attempts to read a page that is being written, before it counts as unreadable.
const TRIES: usize = 8;

/// No worker finishes more requests; a larger number counts as this.
const REQUESTS_MAX: u64 = 1 << 53;

/// One worker's region.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct Page {
    manager: ManagerLine,
    counts: Counts,
    records: [Record; RECORDS],
    offers: OfferList,
    access: AccessArea,
}

impl Page {
    /// The worker's part of the access log.
    #[must_use]
    pub const fn access(&self) -> &AccessArea {
        &self.access
    }
}

/// What the manager writes for the worker.
#[derive(Debug)]
#[repr(C, align(256))]
struct ManagerLine {
    order: AtomicU32,
    pool_size: AtomicU32,
    request_limit: AtomicU64,
    notice: AtomicU64,
    /// The manager polls the offers.
    polled: AtomicU32,
    /// Connections may wait in the hand-over queue for the next worker that accepts.
    handover: AtomicU32,
    /// The worker has several keep-alive connections, and should hand one of them over.
    rebalance: AtomicU32,
    /// The inode numbers of the listening sockets whose queues are counted.
    queues: [AtomicU64; QUEUES],
    /// A guardian will notify the worker when the manager ends.
    guarded: AtomicU32,
    /// The manager has ended.
    orphaned: AtomicU32,
    /// The worker should fork a template.
    template: AtomicU32,
    /// The worker should send a copy of the connection with this request; 0: none.
    copy: AtomicU64,
    /// Where the worker asks for the status of the pool; zeroes: nowhere.
    status_key: [AtomicU64; 2],
}

/// What all loops of the worker count together.
#[derive(Debug)]
#[repr(C, align(256))]
struct Counts {
    disconnected: AtomicU64,
    /// The worker has offered connections.
    offered: AtomicU64,
    /// Connections accepted, by the manager's queues.
    accepted: [AtomicU64; QUEUES],
}

const _: () = assert!(size_of::<Record>() == 1_024 && size_of::<Page>() == 296 * 1024);
