//! The scoreboard's memory: one page per worker, shared between it and the manager.
//!
//! The worker writes its page, the manager reads it. Everything is atomic, so a reader sees no torn
//! number; nothing that a worker writes is used as an index, a length or a process id, so garbage
//! can mislead a display but no decision that matters.

use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::process::page_size;
use crate::error::{Error, Result};

/// What a worker is doing, in its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Activity {
    /// Has not entered Accept yet.
    Starting = 0,
    /// Waits for a request.
    Idle = 1,
    /// Has a connection and waits for its parameters.
    Reading = 2,
    /// Runs the application.
    Busy = 3,
    /// Knows that it is to leave, and is on its way.
    Leaving = 4,
}

impl Activity {
    const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Starting),
            1 => Some(Self::Idle),
            2 => Some(Self::Reading),
            3 => Some(Self::Busy),
            4 => Some(Self::Leaving),
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

/// One worker's page.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct Page {
    order: AtomicU32,
    pool_size: AtomicU32,
    /// The worker's own line, apart from what the manager writes.
    worker: WorkerLine,
}

#[derive(Debug)]
#[repr(C, align(64))]
struct WorkerLine {
    activity: AtomicU32,
    requests: AtomicU64,
}

impl Page {
    /// Manager: makes the page ready for a new worker.
    pub fn reset(&self, pool_size: u32) {
        self.order.store(Order::Serve as u32, Ordering::Relaxed);
        self.pool_size.store(pool_size, Ordering::Relaxed);
        self.worker
            .activity
            .store(Activity::Starting as u32, Ordering::Relaxed);
        self.worker.requests.store(0, Ordering::Relaxed);
    }

    /// Manager: gives an order. It takes effect at the worker's next look, so a kick follows.
    pub fn give_order(&self, order: Order) {
        self.order.store(order as u32, Ordering::Release);
    }

    /// Manager: tells the worker how many workers there are.
    pub fn set_pool_size(&self, pool_size: u32) {
        self.pool_size.store(pool_size, Ordering::Relaxed);
    }

    /// Manager: what the worker says it does; `None` for a number that means nothing.
    pub fn activity(&self) -> Option<Activity> {
        Activity::from_number(self.worker.activity.load(Ordering::Acquire))
    }

    /// Manager: how many requests the worker says it has finished.
    pub fn requests(&self) -> u64 {
        self.worker.requests.load(Ordering::Relaxed)
    }

    /// Worker: the manager's order.
    pub fn order(&self) -> Order {
        match self.order.load(Ordering::Acquire) {
            1 => Order::Retire,
            2 => Order::RetireLast,
            _ => Order::Serve,
        }
    }

    /// Worker: how many workers there are.
    pub fn pool_size(&self) -> u32 {
        self.pool_size.load(Ordering::Relaxed)
    }

    /// Worker: says what it does.
    pub fn set_activity(&self, activity: Activity) {
        self.worker
            .activity
            .store(activity as u32, Ordering::Release);
    }

    /// Worker: counts a finished request.
    pub fn count_request(&self) {
        // A load and a store, not a fetch_add: threads of one worker may lose a count, and no
        // request pays for a locked instruction.
        let requests = self.worker.requests.load(Ordering::Relaxed);
        self.worker
            .requests
            .store(requests.wrapping_add(1), Ordering::Relaxed);
    }
}

/// The pages of all slots, as the manager has them.
#[derive(Debug)]
pub struct Scoreboard {
    base: NonNull<u8>,
    slots: usize,
    /// Bytes from one page to the next: a whole number of the system's pages.
    stride: usize,
}

// SAFETY: the mapping is owned, and only reached through atomics.
unsafe impl Send for Scoreboard {}
// SAFETY: as above.
unsafe impl Sync for Scoreboard {}

impl Scoreboard {
    /// Maps zeroed pages for this many slots. Memory is used only by slots that are.
    ///
    /// # Errors
    /// mmap(2) failed.
    pub fn new(slots: usize) -> Result<Self> {
        let stride = size_of::<Page>().next_multiple_of(page_size());
        // SAFETY: an anonymous shared mapping at an address of the kernel's choice.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                stride * slots,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            let errno = nix::errno::Errno::last_raw();
            return Err(Error::system(
                format_args!("scoreboard for {slots} workers: mmap"),
                errno,
            ));
        }
        let base = NonNull::new(base.cast())
            .ok_or_else(|| Error::system("scoreboard: mmap at address 0", libc::ENOMEM))?;
        Ok(Self {
            base,
            slots,
            stride,
        })
    }

    /// The page of a slot.
    ///
    /// # Panics
    /// When there is no such slot: slots are the manager's own numbers.
    pub fn page(&self, slot: usize) -> &Page {
        assert!(slot < self.slots, "slot {slot} of {}", self.slots);
        // SAFETY: inside the mapping, aligned to the system's page (Page asks for no more than
        // 4,096), zeroed or written only through atomics, and alive as long as self.
        unsafe { &*self.base.as_ptr().add(slot * self.stride).cast::<Page>() }
    }

    /// In a fresh worker: keeps its own page for the life of the process, and unmaps the others.
    pub fn keep_only(self, slot: usize) -> &'static Page {
        assert!(slot < self.slots, "slot {slot} of {}", self.slots);
        let this = std::mem::ManuallyDrop::new(self);
        let base = this.base.as_ptr();
        let (before, after) = (slot * this.stride, (slot + 1) * this.stride);
        // SAFETY: both ranges lie inside the mapping, which is given up here; no reference to their
        // pages outlives self. A failure only leaves memory mapped.
        unsafe {
            if before > 0 {
                libc::munmap(base.cast(), before);
            }
            if after < this.slots * this.stride {
                libc::munmap(base.add(after).cast(), this.slots * this.stride - after);
            }
            &*base.add(before).cast::<Page>()
        }
    }
}

impl Drop for Scoreboard {
    fn drop(&mut self) {
        // SAFETY: the mapping is owned, and no reference to a page outlives self.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.stride * self.slots) };
    }
}
