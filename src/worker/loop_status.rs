//! What one request loop of a worker reports on the scoreboard. It costs a few stores: no lock, no
//! allocation, no system call.

use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::stat::fstat;

use crate::sys::fd::listen_fd::ListenFd;
use crate::sys::scoreboard::{Entry, Record};
use crate::sys::{clock, process};
use crate::worker::{Activity, Page, RECORDS, Served, installed};

/// The places on this process's page that have a loop. A fork of a worker has no page.
static CLAIMED: [AtomicBool; RECORDS] = [const { AtomicBool::new(false) }; RECORDS];

/// A loop's record. Without a manager, or where all places are taken, there is none: then nothing here
/// has an effect.
#[derive(Debug, Default)]
pub struct LoopStatus(Option<Claimed>);

#[derive(Debug)]
struct Claimed {
    page: &'static Page,
    record: &'static Record,
    entry: Entry,
    place: usize,
    owner: i32,
}

impl LoopStatus {
    /// In a copy of a worker: its loops are others.
    pub(crate) fn forget_all() {
        CLAIMED
            .iter()
            .for_each(|place| place.store(false, Ordering::Release));
    }

    /// The loop waits for a request. True for the first one of this worker to do so.
    pub fn idle(&mut self) -> bool {
        let Some(installed) = installed() else {
            return false;
        };
        if self.0.is_none() {
            self.0 = Claimed::take(installed.manager.page);
        }
        self.set_activity(Activity::Idle);
        !installed.ready.load(Ordering::Relaxed) && !installed.ready.swap(true, Ordering::Relaxed)
    }

    /// It has a connection, and reads.
    pub fn reading(&mut self) {
        self.set_activity(Activity::Reading);
    }

    /// It retires.
    pub fn exiting(&mut self) {
        self.set_activity(Activity::Exiting);
    }

    /// The ids of the request that [`busy`](Self::busy) reports next.
    pub(crate) fn identify(&self, request_id: &[u8], trace_id: &[u8]) {
        if let Some(claimed) = &self.0 {
            claimed.record.identify(request_id, trace_id);
        }
    }

    /// It runs the application for a request, which came on this descriptor with this FastCGI id.
    pub fn busy(&mut self, method: &[u8], uri: &[u8], fd: i32, id: u16) {
        if let Some(claimed) = &mut self.0 {
            claimed.record.describe(method, uri);
            claimed.entry.begin(fd, id, clock::recently());
            claimed.publish();
        }
    }

    /// Bytes of the response are about to be sent, were sent, or have to wait. `begun`: some of STDOUT
    /// may have been sent. `mid_record`: what was sent may end in the middle of a record.
    pub fn respond(&mut self, begun: bool, mid_record: bool) {
        if let Some(claimed) = &mut self.0 {
            if claimed.entry.activity() == Some(Activity::Busy)
                && claimed.entry.respond(begun, mid_record)
            {
                claimed.publish();
            }
        }
    }

    /// The request was answered. Notifies the manager, once, when the worker has served the number of
    /// requests that its page names.
    pub fn finished(&mut self, served: &Served) {
        let Some(claimed) = &mut self.0 else { return };
        let now = clock::recently();
        claimed.record.count(&mut claimed.entry, now, served);
        claimed.entry.set_activity(Activity::Finished, now);
        claimed.publish();
        let limit = claimed.page.request_limit();
        if limit > 0 && claimed.page.requests() >= limit {
            report_limit(limit);
        }
    }

    /// The request was abandoned.
    pub fn abandoned(&mut self) {
        self.set_activity(Activity::Finished);
    }

    /// A request was not run, because its client had disconnected.
    pub fn disconnected(&self) {
        if let Some(claimed) = &self.0 {
            claimed.page.count_disconnected();
        }
    }

    /// The page of a worker's first loop, which is the only one but in hosts with threads.
    pub(crate) fn first_page(&self) -> Option<&'static Page> {
        let claimed = self.0.as_ref().filter(|claimed| claimed.place == 0)?;
        Some(claimed.page)
    }

    fn set_activity(&mut self, activity: Activity) {
        // An activity that continues keeps the time at which it began.
        if let Some(claimed) = &mut self.0 {
            if claimed.entry.activity() != Some(activity) {
                claimed.set_activity(activity);
            }
        }
    }
}

/// Where the connections of a loop's listening socket are counted, if the manager needs that.
#[derive(Debug, Default)]
pub struct AcceptCounter(Option<(&'static Page, usize)>);

impl AcceptCounter {
    /// For this socket, by a worker.
    pub(crate) fn of(page: &'static Page, listener: ListenFd<'_>) -> Self {
        // A pool without max_queue_age has no queue here, and this costs nothing.
        let is_wanted = page.counts_queues();
        let inode = is_wanted.then(|| fstat(listener).map_or(0, |stat| stat.st_ino));
        let queue = inode.and_then(|inode| page.queue_of(inode));
        Self(queue.map(|queue| (page, queue)))
    }

    /// One was accepted. Called before anything else is reported of it.
    #[inline]
    pub fn count(&self) {
        if let Some((page, queue)) = self.0 {
            page.count_accepted(queue);
        }
    }
}

impl Claimed {
    fn take(page: &'static Page) -> Option<Self> {
        let place = CLAIMED
            .iter()
            .position(|claimed| !claimed.swap(true, Ordering::Acquire))?;
        let (record, entry) = page.record(place)?;
        Some(Self {
            page,
            record,
            entry,
            place,
            owner: process::pid(),
        })
    }

    fn set_activity(&mut self, activity: Activity) {
        self.entry.set_activity(activity, clock::recently());
        self.publish();
    }

    fn publish(&mut self) {
        self.record.publish(&mut self.entry);
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if process::pid() != self.owner {
            return;
        }
        if self.entry.activity() != Some(Activity::Exiting) {
            self.set_activity(Activity::Starting);
        }
        CLAIMED[self.place].store(false, Ordering::Release);
    }
}

#[cold]
fn report_limit(limit: u64) {
    if let Some(installed) = installed() {
        if installed.limit_reported.swap(limit, Ordering::Relaxed) != limit {
            installed.manager.notify_manager();
        }
    }
}
