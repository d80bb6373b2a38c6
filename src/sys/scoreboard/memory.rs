//! The memory as the manager has it, and the piece of it that a worker keeps.

use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit};

use super::header::{Header, SlotLine};
use super::page::Page;
use super::{MEMFD_NAME, REGION_NAME, TABLE_AT};
use crate::error::{Code, Error, Result};
use crate::sys::process::filtered::MEMFD_CREATE;
use crate::sys::process::{self, page_size};

/// The header, the table and the regions of all slots.
#[derive(Debug)]
pub struct Scoreboard {
    base: NonNull<u8>,
    shape: Shape,
    /// Holds the memory's place in /proc. `None`: nobody can look at it.
    pub(super) file: Option<OwnedFd>,
    /// The memfds of the workers' regions, by slot.
    regions: Vec<Option<OwnedFd>>,
}

// SAFETY: the mapping is owned, and only reached through atomics.
unsafe impl Send for Scoreboard {}
// SAFETY: as above.
unsafe impl Sync for Scoreboard {}

/// Where things stand in the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) slots: usize,
    /// Bytes from one region to the next: a whole number of the system's pages.
    pub(super) stride: usize,
}

impl Shape {
    fn new(slots: usize) -> Self {
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

impl Scoreboard {
    /// Maps zeroed memory for this many slots. Only slots that are used cost any.
    ///
    /// # Errors
    /// mmap(2) failed.
    pub fn new(slots: usize) -> Result<Self> {
        let shape = Shape::new(slots);
        // The largest file that this process may have (RLIMIT_FSIZE) bounds a memfd, too.
        let file = file(MEMFD_NAME, shape.length()).ok();
        let base = map(None, shape.length(), file.as_ref()).map_err(|errno| {
            Error::system(
                format_args!("scoreboard for {slots} workers: mmap"),
                errno as i32,
            )
        })?;
        let this = Self {
            base,
            shape,
            file,
            regions: Vec::new(),
        };
        let number = |size| u32::try_from(size).unwrap_or(u32::MAX);
        this.header()
            .begin(number(slots), number(shape.stride), process::pid());
        Ok(this)
    }

    /// Whether `fcgipm status` can find it.
    #[must_use]
    pub const fn is_visible(&self) -> bool {
        self.file.is_some()
    }

    /// The manager's own state.
    #[must_use]
    pub fn header(&self) -> &Header {
        // SAFETY: at the start of the mapping, which is aligned to a page and longer than that; made
        // of atomics, for which any bytes are valid; alive as long as self.
        unsafe { self.base.cast::<Header>().as_ref() }
    }

    /// The manager's line for a slot.
    ///
    /// # Panics
    /// When there is no such slot: slots are the manager's own numbers.
    #[must_use]
    pub fn slot(&self, slot: usize) -> &SlotLine {
        self.check(slot);
        // SAFETY: inside the mapping and aligned to its size; else as above.
        unsafe { self.at(self.shape.line(slot)).cast::<SlotLine>().as_ref() }
    }

    /// The region that a slot's worker shares.
    ///
    /// # Panics
    /// As [`slot`](Self::slot).
    #[must_use]
    pub fn page(&self, slot: usize) -> &Page {
        self.check(slot);
        // SAFETY: inside the mapping, aligned to the system's page (Page asks for no more than
        // 4,096); else as above.
        unsafe { self.at(self.shape.region(slot)).cast::<Page>().as_ref() }
    }

    /// Gives a slot a fresh region for a new worker. Whatever processes the last worker left behind may still write
    /// to the old one. Each region is a memfd of its own: who maps a piece of a file can have the rest of it, too
    /// (mremap(2), remap_file_pages(2)). Where none can be had, the region is memory without a file, which
    /// `fcgipm status` does not see, and which no other program can be given.
    ///
    /// # Panics
    /// As [`slot`](Self::slot).
    pub fn begin(&mut self, slot: usize, pool_size: u32, request_limit: u64) {
        self.check(slot);
        if self.regions.len() <= slot {
            self.regions.resize_with(slot + 1, || None);
        }
        let at = self.at(self.shape.region(slot));
        let stride = self.shape.stride;
        self.regions[slot] = file(&format!("{REGION_NAME}{slot}"), stride)
            .ok()
            .filter(|file| map(Some(at), stride, Some(file)).is_ok());
        if self.regions[slot].is_none() && map(Some(at), stride, None).is_err() {
            // The kernel lacks memory for a few words of its own. What is there is emptied at least.
            // SAFETY: the region lies inside the mapping and is only reached through atomics, for which
            // zeroes are valid.
            unsafe { at.write_bytes(0, size_of::<Page>()) };
        }
        self.header().reach(slot);
        self.page(slot).begin(pool_size, request_limit);
    }

    /// The worker of a slot has its region: keeps the memfd open for `fcgipm status`, as long as it does not take
    /// descriptors that other things need more.
    pub(crate) fn keep_visible(&mut self, slot: usize) {
        let is_dear = |file: &OwnedFd| {
            let number = usize::try_from(file.as_raw_fd()).unwrap_or(usize::MAX);
            number >= process::descriptor_limit() / 2
        };
        if let Some(region) = self.regions.get_mut(slot) {
            region.take_if(|file| is_dear(file));
        }
    }

    /// The worker of a slot is gone: what it wrote can still be read here, but is not shown any more.
    pub(crate) fn hide(&mut self, slot: usize) {
        if let Some(region) = self.regions.get_mut(slot) {
            *region = None;
        }
    }

    /// The memfd of a slot's region.
    pub(crate) fn region(&self, slot: usize) -> Option<&OwnedFd> {
        self.regions.get(slot)?.as_ref()
    }

    /// In a fresh worker: keeps its own region for the life of the process, and nothing else.
    ///
    /// # Panics
    /// As [`slot`](Self::slot).
    #[must_use]
    pub fn keep_only(mut self, slot: usize) -> &'static Page {
        self.check(slot);
        drop(self.file.take());
        self.regions.clear();
        let this = std::mem::ManuallyDrop::new(self);
        let base = this.base.as_ptr();
        let before = this.shape.region(slot);
        let (after, length) = (before + this.shape.stride, this.shape.length());
        // SAFETY: both ranges lie inside the mapping, which is given up here; no reference to their
        // pages outlives self. A failure only leaves memory mapped. What is left is as in `page`.
        unsafe {
            libc::munmap(base.cast(), before);
            if after < length {
                libc::munmap(base.add(after).cast(), length - after);
            }
            &*base.add(before).cast::<Page>()
        }
    }

    fn check(&self, slot: usize) {
        assert!(
            slot < self.shape.slots,
            "slot {slot} of {}",
            self.shape.slots
        );
    }

    fn at(&self, offset: usize) -> NonNull<u8> {
        debug_assert!(offset < self.shape.length());
        // SAFETY: callers have checked the slot, so that this stays inside the mapping.
        unsafe { self.base.add(offset) }
    }
}

impl Drop for Scoreboard {
    fn drop(&mut self) {
        // SAFETY: the mapping is owned, and no reference into it outlives self.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.shape.length()) };
    }
}

/// The region of another process's scoreboard that a memfd holds, mapped for the life of this process.
///
/// # Errors
/// It is no such memfd, or mmap(2) failed.
pub(crate) fn adopt_region(file: &OwnedFd) -> Result<&'static Page> {
    let bad = |why: &str| Error::new(Code::Value, format!("scoreboard region: {why}"));
    let failed =
        |call: &str, errno| Error::system(format_args!("scoreboard region: {call}"), errno as i32);
    let seals = match fcntl(file, FcntlArg::F_GET_SEALS) {
        Ok(seals) => SealFlag::from_bits_retain(seals),
        Err(Errno::EINVAL) => return Err(bad("not a memfd")),
        Err(errno) => return Err(failed("F_GET_SEALS", errno)),
    };
    // Whoever could make it shorter could kill us with SIGBUS.
    if !seals.contains(SealFlag::F_SEAL_SHRINK) {
        return Err(bad("a memfd that can be made shorter"));
    }
    let stat = nix::sys::stat::fstat(file).map_err(|errno| failed("fstat", errno))?;
    let length = size_of::<Page>().next_multiple_of(page_size());
    if usize::try_from(stat.st_size) != Ok(length) {
        let size = stat.st_size;
        return Err(bad(&format!("a memfd of {size} bytes, not of {length}")));
    }
    let base = map(None, length, Some(file)).map_err(|errno| failed("mmap", errno))?;
    // SAFETY: the mapping is as long as a page of ours and aligned to one of the system's, of which
    // Page asks for no more than 4,096; made of atomics, for which any bytes are valid; it is never
    // unmapped, and cannot become shorter.
    Ok(unsafe { base.cast::<Page>().as_ref() })
}

/// A memfd of this length, which nobody can make longer or shorter.
fn file(name: &str, length: usize) -> nix::Result<OwnedFd> {
    if !MEMFD_CREATE.is_allowed() {
        return Err(Errno::EPERM);
    }
    let length = i64::try_from(length).map_err(|_| Errno::EFBIG)?;
    // Beyond it, ftruncate(2) would kill this process by SIGXFSZ.
    let (limit, _) = getrlimit(Resource::RLIMIT_FSIZE)?;
    if limit != libc::RLIM_INFINITY && limit < length as u64 {
        return Err(Errno::EFBIG);
    }
    let name = std::ffi::CString::new(name).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the name is a live C string.
    let fd =
        unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    Errno::result(fd)?;
    // SAFETY: just made, and owned by nobody else.
    let fd = crate::sys::fd::above_standard(unsafe { OwnedFd::from_raw_fd(fd) })?;
    nix::unistd::ftruncate(&fd, length)?;
    let seals = SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL;
    fcntl(&fd, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(fd)
}

/// Maps a file's beginning, in the place of what is mapped `at` an address, or anywhere.
fn map(at: Option<NonNull<u8>>, length: usize, file: Option<&OwnedFd>) -> nix::Result<NonNull<u8>> {
    let (kind, fd) = match file {
        Some(file) => (0, file.as_raw_fd()),
        None => (libc::MAP_ANONYMOUS, -1),
    };
    let (address, fixed) = match at {
        Some(at) => (at.as_ptr().cast(), libc::MAP_FIXED),
        None => (std::ptr::null_mut(), 0),
    };
    // SAFETY: a shared mapping at an address of the kernel's choice, or in the place of a slot's region:
    // whole pages of a mapping that is only reached through atomics, for which any bytes are valid.
    let base = unsafe {
        libc::mmap(
            address,
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_NORESERVE | kind | fixed,
            fd,
            0,
        )
    };
    if base == libc::MAP_FAILED {
        return Err(Errno::last());
    }
    NonNull::new(base.cast()).ok_or(Errno::ENOMEM)
}
