//! The scoreboard as somebody else sees it: `fcgipm status`, with nothing but the memfd.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::ptr::NonNull;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};

use super::header::{Figures, Header, Reload, SlotLine, Stage, TOTALS, Total};
use super::memory::Shape;
use super::page::{Details, Page, Snapshot};

/// A scoreboard that is only read.
#[derive(Debug)]
pub struct View {
    main: Mapping,
    shape: Shape,
    /// Regions that are files of their own, by slot.
    regions: BTreeMap<usize, Mapping>,
}

/// A file's memory, only read.
#[derive(Debug)]
struct Mapping {
    base: NonNull<u8>,
    length: usize,
}

/// Why a file cannot be viewed as a scoreboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewError {
    /// A system call failed.
    System(&'static str, i32),
    /// It is something else.
    Foreign,
    /// It has another layout, of this version.
    Version(u32),
}

/// The pool as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolStatus {
    /// The manager's pid, as it knows it.
    pub manager: i32,
    /// When the manager started, on CLOCK_MONOTONIC as all times here.
    pub started: Duration,
    /// The pool is ending.
    pub stopping: bool,
    /// How the number of workers is chosen.
    pub pm: String,
    /// Slots that were ever used: the first so many.
    pub slots_used: usize,
    /// The workers, counted.
    pub figures: Figures,
    pub(super) totals: [u64; TOTALS],
    /// Inode numbers of the listening sockets, as far as the manager knows them.
    pub listeners: Vec<u64>,
    /// How the last reload went.
    pub reload: Reload,
    /// When it began or ended.
    pub reload_at: Duration,
    /// What there is to say about it, printable.
    pub reload_message: String,
}

impl PoolStatus {
    /// What happened in all.
    #[must_use]
    pub const fn total(&self, total: Total) -> u64 {
        self.totals[total as usize]
    }
}

/// One slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotStatus {
    /// Where its worker stands.
    pub stage: Stage,
    /// The worker's pid, as the manager knows it; of an empty slot, the last one's.
    pub pid: i32,
    /// When it was forked.
    pub born: Duration,
    /// How many reloads it has in it.
    pub generation: u64,
    /// How the one before it ended.
    pub last_exit: Option<LastExit>,
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastExit {
    /// The worker.
    pub pid: i32,
    /// Its wait status; -1: nobody knows.
    pub status: i32,
    /// When the manager learnt of it.
    pub at: Duration,
}

impl View {
    /// Maps a scoreboard's memfd for reading.
    ///
    /// # Errors
    /// It is none, or none of this layout, or cannot be mapped.
    pub fn of(file: impl AsFd) -> Result<Self, ViewError> {
        let main = Mapping::of(file.as_fd(), size_of::<Header>())?;
        let mut this = Self {
            main,
            shape: Shape {
                slots: 0,
                stride: 0,
            },
            regions: BTreeMap::new(),
        };
        match this.header().is_ours() {
            Ok(()) => {}
            Err(0) => return Err(ViewError::Foreign),
            Err(version) => return Err(ViewError::Version(version)),
        }
        let (slots, stride) = this.header().shape();
        let shape = Shape { slots, stride };
        let length = this.main.length;
        let fits = stride >= size_of::<Page>()
            && slots <= length / stride
            && stride.is_multiple_of(align_of::<Page>())
            && shape.length() == length;
        if !fits {
            return Err(ViewError::Foreign);
        }
        this.shape = shape;
        Ok(this)
    }

    /// Looks for a slot's region in a file of its own.
    ///
    /// # Errors
    /// There is no such slot, or the file is no region.
    pub fn attach(&mut self, slot: usize, file: impl AsFd) -> Result<(), ViewError> {
        if slot >= self.shape.slots {
            return Err(ViewError::Foreign);
        }
        let region = Mapping::of(file.as_fd(), size_of::<Page>())?;
        self.regions.insert(slot, region);
        Ok(())
    }

    /// The pool as a whole.
    #[must_use]
    pub fn pool(&self) -> PoolStatus {
        let mut status = self.header().status();
        status.slots_used = status.slots_used.min(self.shape.slots);
        status
    }

    /// A slot, if there is one with this number.
    #[must_use]
    pub fn slot(&self, slot: usize) -> Option<SlotStatus> {
        // SAFETY: inside the mapping, whose length was compared with its shape, and aligned; made of
        // atomics, for which any bytes are valid; alive as long as self; only read.
        let line = (slot < self.shape.slots)
            .then(|| unsafe { self.main.at::<SlotLine>(self.shape.line(slot)) });
        line.map(SlotLine::status)
    }

    /// What the worker in a slot says it does. `None`: nothing that means anything.
    #[must_use]
    pub fn look(&self, slot: usize) -> Option<Snapshot> {
        self.page(slot)?.look()
    }

    /// Requests that the worker in a slot did not run, because their clients had disconnected.
    #[must_use]
    pub fn hung_up(&self, slot: usize) -> u64 {
        self.page(slot).map_or(0, Page::hung_up)
    }

    /// More about the request that a look showed.
    #[must_use]
    pub fn details(&self, slot: usize, look: &Snapshot) -> Option<Details> {
        self.page(slot)?.details(look)
    }

    fn header(&self) -> &Header {
        // SAFETY: the mapping is at least as long as a header; else as in `slot`.
        unsafe { self.main.at::<Header>(0) }
    }

    fn page(&self, slot: usize) -> Option<&Page> {
        if let Some(region) = self.regions.get(&slot) {
            // SAFETY: the mapping is at least as long as a page; else as in `slot`.
            return Some(unsafe { region.at::<Page>(0) });
        }
        // SAFETY: as in `slot`; the regions are aligned as the mapping and the stride are.
        (slot < self.shape.slots).then(|| unsafe { self.main.at::<Page>(self.shape.region(slot)) })
    }
}

impl Mapping {
    /// Maps a file for reading that has at least this length, and keeps it.
    fn of(file: BorrowedFd<'_>, least: usize) -> Result<Self, ViewError> {
        let failed = |what, errno: Errno| ViewError::System(what, errno as i32);
        // Whoever can make a mapped file shorter can kill us with SIGBUS.
        let seals = match fcntl(file, FcntlArg::F_GET_SEALS) {
            Ok(seals) => SealFlag::from_bits_retain(seals),
            Err(Errno::EINVAL) => return Err(ViewError::Foreign),
            Err(errno) => return Err(failed("F_GET_SEALS", errno)),
        };
        let stat = nix::sys::stat::fstat(file).map_err(|errno| failed("fstat", errno))?;
        let length = usize::try_from(stat.st_size).unwrap_or(0);
        if !seals.contains(SealFlag::F_SEAL_SHRINK) || length < least {
            return Err(ViewError::Foreign);
        }
        // SAFETY: a mapping at an address of the kernel's choice, of a file that stays as long.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(failed("mmap", Errno::last()));
        }
        let base = NonNull::new(base.cast()).ok_or(ViewError::Foreign)?;
        Ok(Self { base, length })
    }

    /// # Safety
    /// A `T` that is made of atomics lies there inside the mapping, aligned.
    unsafe fn at<T>(&self, offset: usize) -> &T {
        // SAFETY: the caller's promise.
        unsafe { self.base.add(offset).cast::<T>().as_ref() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is owned, and no reference into it outlives self.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.length) };
    }
}

impl fmt::Display for ViewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(call, errno) => {
                write!(f, "scoreboard: {call}: {}", Errno::from_raw(*errno).desc())
            }
            Self::Foreign => f.write_str("not a scoreboard"),
            Self::Version(version) => write!(
                f,
                "the scoreboard has layout {version}, this command knows {}",
                super::VERSION
            ),
        }
    }
}

impl std::error::Error for ViewError {}
