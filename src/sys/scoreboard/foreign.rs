//! Opening what another process presents as a scoreboard, when that process may be hostile.

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::Mode;
use once_cell::sync::Lazy;

use super::view::ViewError;
use crate::sys::fd::above_standard;

/// The device number of the file system that contains every memfd of this kernel.
static MEMFDS: Lazy<nix::Result<(u32, u32)>> =
    Lazy::new(|| device(memfd_create(c"fcgipm-probe", MFdFlags::MFD_CLOEXEC)?.as_fd()));

/// Opens another process's descriptor, named as `/proc/PID/fd/N`, if it is a memfd. Never blocks.
///
/// The kernel's name for it (`/memfd:…`) proves nothing: in a mount namespace of its own another
/// user can give that name to a FIFO, or to a file of a file system in user space. Then open(2) or
/// even fstat(2) may block forever. So the device number is checked first, which the kernel has
/// cached.
///
/// # Errors
/// It no longer exists, access is denied, or it is not a memfd ([`ViewError::Foreign`]).
pub fn open_memfd(path: &Path) -> Result<File, ViewError> {
    let failed = |errno| ViewError::System("open", errno as i32);
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let found = nix::fcntl::open(path, flags, Mode::empty())
        .and_then(above_standard)
        .map_err(failed)?;
    let memfds = (*MEMFDS).map_err(|errno| ViewError::System("memfd_create", errno as i32))?;
    let device = device(found.as_fd()).map_err(|errno| ViewError::System("statx", errno as i32))?;
    if device != memfds {
        return Err(ViewError::Foreign);
    }
    let again = format!("/proc/self/fd/{}", found.as_raw_fd());
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let file = nix::fcntl::open(again.as_str(), flags, Mode::empty())
        .and_then(above_standard)
        .map_err(failed)?;
    Ok(file.into())
}

/// The cached device number of a file; the file system is not asked (statx(2), AT_STATX_DONT_SYNC).
fn device(file: BorrowedFd<'_>) -> nix::Result<(u32, u32)> {
    let mut stat = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: an open descriptor, an empty string, and space for the result.
    Errno::result(unsafe {
        libc::statx(
            file.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC,
            0,
            stat.as_mut_ptr(),
        )
    })?;
    // SAFETY: integers only, for which zeroes are valid; the kernel has filled them.
    let stat = unsafe { stat.assume_init() };
    Ok((stat.stx_dev_major, stat.stx_dev_minor))
}
