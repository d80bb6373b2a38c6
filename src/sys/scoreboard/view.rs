//! The scoreboard as `fcgipm status` reads it, from nothing but the memfds.

use std::collections::BTreeMap;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::ptr::NonNull;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};

use super::header::{Header, SlotLine};
use super::layout::Shape;
use super::page::Page;
use super::status::{Details, PoolStatus, SlotStatus, Snapshot};
use super::tally::Tallies;
use super::version::VERSION;

/// A scoreboard, read-only.
#[derive(Debug)]
pub struct View {
    main: Mapping,
    shape: Shape,
    /// Regions that are files of their own, by slot.
    regions: BTreeMap<usize, Mapping>,
}

/// A file's memory, read-only.
#[derive(Debug)]
struct Mapping {
    base: NonNull<u8>,
    length: usize,
}

// SAFETY: the mapping belongs to no thread, and its owner only reads it, through atomics.
unsafe impl Send for Mapping {}

/// Why a file cannot be viewed as a scoreboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewError {
    /// A system call failed.
    System(&'static str, i32),
    /// It is not a scoreboard.
    Foreign,
    /// It has another layout, of this version.
    Version(u32),
}

impl View {
    /// Maps a scoreboard's memfd for reading.
    ///
    /// # Errors
    /// It is not a scoreboard, has another layout, or cannot be mapped.
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
        match this.header().check_version() {
            Ok(()) => {}
            Err(0) => return Err(ViewError::Foreign),
            Err(version) => return Err(ViewError::Version(version)),
        }
        let (slots, stride) = this.header().shape();
        let shape = Shape { slots, stride };
        let length = this.main.length;
        let fits = stride >= size_of::<Page>()
            && slots <= length / stride
            && stride % align_of::<Page>() == 0
            && shape.length() == length;
        if !fits {
            return Err(ViewError::Foreign);
        }
        this.shape = shape;
        Ok(this)
    }

    /// Reads a slot's region from this memfd from now on.
    ///
    /// # Errors
    /// There is no such slot, or the file is not a region.
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
        // SAFETY: inside the mapping, whose length was compared with its shape, and aligned; made
        // of atomics, for which any bytes are valid; alive as long as self; only read.
        let line = (slot < self.shape.slots)
            .then(|| unsafe { self.main.at::<SlotLine>(self.shape.line(slot)) });
        line.map(SlotLine::status)
    }

    /// What the worker in a slot reports. `None`: nothing valid.
    #[must_use]
    pub fn snapshot(&self, slot: usize) -> Option<Snapshot> {
        self.page(slot)?.snapshot()
    }

    /// Requests that the worker in a slot did not run, because their clients had disconnected.
    #[must_use]
    pub fn disconnected(&self, slot: usize) -> u64 {
        self.page(slot).map_or(0, Page::disconnected)
    }

    /// What the worker in a slot has counted of its requests in this time.
    #[must_use]
    pub fn tallies(&self, slot: usize, age: Duration) -> Tallies {
        self.page(slot)
            .map_or_else(Tallies::default, |page| page.tallies(age))
    }

    /// More about the request in a snapshot.
    #[must_use]
    pub fn details(&self, slot: usize, snapshot: &Snapshot) -> Option<Details> {
        self.page(slot)?.details(snapshot)
    }

    fn header(&self) -> &Header {
        // SAFETY: the mapping is at least as long as a header; otherwise as in `slot`.
        unsafe { self.main.at::<Header>(0) }
    }

    fn page(&self, slot: usize) -> Option<&Page> {
        if let Some(region) = self.regions.get(&slot) {
            // SAFETY: the mapping is at least as long as a page; otherwise as in `slot`.
            return Some(unsafe { region.at::<Page>(0) });
        }
        // SAFETY: as in `slot`; the regions are aligned as the mapping and the stride are.
        (slot < self.shape.slots).then(|| unsafe { self.main.at::<Page>(self.shape.region(slot)) })
    }
}

impl Mapping {
    /// Maps a file that has at least this length, and cannot be shrunk.
    fn of(file: BorrowedFd<'_>, least: usize) -> Result<Self, ViewError> {
        let failed = |what, errno: Errno| ViewError::System(what, errno as i32);
        // A process that can shrink a mapped file can kill this one with SIGBUS.
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
    /// At this offset there is a `T` that is made of atomics, inside the mapping and aligned.
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
                VERSION
            ),
        }
    }
}

impl std::error::Error for ViewError {}
