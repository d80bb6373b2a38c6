//! The manager's mapping of the scoreboard, and the part of it that a worker keeps.

use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit};

use super::header::{Header, SlotLine};
use super::layout::{MEMFD_NAME, REGION_NAME, Shape};
use super::page::Page;
use crate::error::{Code, Error, Result};
use crate::sys::process::filtered::MEMFD_CREATE;
use crate::sys::process::{self, page_size};

/// The header, the table and the regions of all slots.
#[derive(Debug)]
pub struct Scoreboard {
    base: NonNull<u8>,
    shape: Shape,
    /// Makes the memory visible in /proc. `None`: no other process can find it.
    pub(super) file: Option<OwnedFd>,
    /// The memfds of the workers' regions, by slot.
    regions: Vec<Option<OwnedFd>>,
}

// SAFETY: the mapping is owned, and only reached through atomics.
unsafe impl Send for Scoreboard {}
// SAFETY: as above.
unsafe impl Sync for Scoreboard {}

impl Scoreboard {
    /// Maps zeroed memory for this many slots. Unused slots cost no memory.
    ///
    /// # Errors
    /// mmap(2) failed.
    pub fn new(slots: usize) -> Result<Self> {
        let shape = Shape::new(slots);
        // It fails, among other reasons, if RLIMIT_FSIZE is smaller.
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
        // SAFETY: at the start of the mapping, which is aligned to a page and longer than that;
        // made of atomics, for which any bytes are valid; alive as long as self.
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

    /// Gives a slot a fresh region for a new worker, because processes that the last worker left
    /// behind may still write to the old one. Each region is a memfd of its own: a process that
    /// maps a part of a file can map the rest of it, too (mremap(2), remap_file_pages(2)). Without
    /// a memfd, the region is memory without a file: `fcgipm status` does not see it, and it cannot
    /// be passed to a program.
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
            // The kernel is out of memory. At least clear the old region.
            // SAFETY: the region lies inside the mapping and is only reached through atomics, for
            // which zeroes are valid.
            unsafe { at.write_bytes(0, size_of::<Page>()) };
        }
        self.header().mark_used(slot);
        self.page(slot).begin(pool_size, request_limit);
    }

    /// The worker of a slot has its region. Keeps the memfd open for `fcgipm status`, unless
    /// descriptors are short.
    pub(crate) fn keep_visible(&mut self, slot: usize) {
        let is_scarce = |file: &OwnedFd| {
            let number = usize::try_from(file.as_raw_fd()).unwrap_or(usize::MAX);
            number >= process::descriptor_limit() / 2
        };
        if let Some(region) = self.regions.get_mut(slot) {
            region.take_if(|file| is_scarce(file));
        }
    }

    /// The worker of a slot has exited. The manager can still read its region, `fcgipm status`
    /// cannot.
    pub(crate) fn hide(&mut self, slot: usize) {
        if let Some(region) = self.regions.get_mut(slot) {
            *region = None;
        }
    }

    /// The memfd of a slot's region.
    pub(crate) fn region(&self, slot: usize) -> Option<&OwnedFd> {
        self.regions.get(slot)?.as_ref()
    }

    /// In a fresh worker: keeps only its own region mapped, for the life of the process.
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
        // SAFETY: both ranges lie inside the mapping, which is no longer used; no reference to
        // their pages outlives self. A failure only leaves memory mapped. The region is valid as in
        // `page`.
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

/// Maps a region of another process's scoreboard from its memfd, for the life of this process.
///
/// # Errors
/// It is not such a memfd, or mmap(2) failed.
pub(crate) fn adopt_region(file: &OwnedFd) -> Result<&'static Page> {
    let bad = |why: &str| Error::new(Code::Value, format!("scoreboard region: {why}"));
    let failed =
        |call: &str, errno| Error::system(format_args!("scoreboard region: {call}"), errno as i32);
    let seals = match fcntl(file, FcntlArg::F_GET_SEALS) {
        Ok(seals) => SealFlag::from_bits_retain(seals),
        Err(Errno::EINVAL) => return Err(bad("not a memfd")),
        Err(errno) => return Err(failed("F_GET_SEALS", errno)),
    };
    // A process that could shrink it could kill this one with SIGBUS.
    if !seals.contains(SealFlag::F_SEAL_SHRINK) {
        return Err(bad("a memfd that can be shrunk"));
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

/// A memfd of this length, sealed against growing and shrinking.
fn file(name: &str, length: usize) -> nix::Result<OwnedFd> {
    if !MEMFD_CREATE.is_allowed() {
        return Err(Errno::EPERM);
    }
    let length = i64::try_from(length).map_err(|_| Errno::EFBIG)?;
    // Beyond the limit, ftruncate(2) would kill this process with SIGXFSZ.
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

/// Maps the beginning of a file; `at`: in place of what is mapped there.
fn map(at: Option<NonNull<u8>>, length: usize, file: Option<&OwnedFd>) -> nix::Result<NonNull<u8>> {
    let (kind, fd) = match file {
        Some(file) => (0, file.as_raw_fd()),
        None => (libc::MAP_ANONYMOUS, -1),
    };
    let (address, fixed) = match at {
        Some(at) => (at.as_ptr().cast(), libc::MAP_FIXED),
        None => (std::ptr::null_mut(), 0),
    };
    // SAFETY: a shared mapping at an address of the kernel's choice, or in place of a slot's
    // region: whole pages of a mapping that is only reached through atomics, for which any bytes
    // are valid.
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
