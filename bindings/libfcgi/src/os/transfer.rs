//! Bytes at once, and the end of a descriptor.

use std::ffi::{c_char, c_int};
use std::time::{Duration, Instant};

use super::{connections, events};
use crate::guard::{errno, guard};

/// How long a peer that was told the end may go on sending before its connection is closed.
const PATIENCE: Duration = Duration::from_secs(2);

#[unsafe(no_mangle)]
pub unsafe extern "C" fn OS_Read(descriptor: c_int, to: *mut c_char, size: usize) -> c_int {
    // The kernel moves less than INT_MAX bytes at once.
    libc::read(descriptor, to.cast(), size) as c_int
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn OS_Write(descriptor: c_int, from: *mut c_char, size: usize) -> c_int {
    libc::write(descriptor, from.cast(), size) as c_int
}

/// Forgets the descriptor's operations and closes it; with `shutdown`, when its peer has seen the end, so that what the
/// peer still sends makes no reset that would cost it the response.
#[unsafe(no_mangle)]
pub extern "C" fn OS_Close(descriptor: c_int, shutdown: c_int) -> c_int {
    guard(-1, || {
        if descriptor == -1 {
            return 0;
        }
        events::forget(descriptor);
        connections::forget(descriptor);
        // SAFETY: integers only.
        if shutdown != 0 && unsafe { libc::shutdown(descriptor, libc::SHUT_WR) } == 0 {
            drain(descriptor);
        }
        // SAFETY: the program's descriptor, which it hands in.
        unsafe { libc::close(descriptor) }
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn OS_IpcClose(descriptor: c_int, shutdown: c_int) -> c_int {
    OS_Close(descriptor, shutdown)
}

/// Nothing more is read from this connection, also by an operation that is under way.
#[unsafe(no_mangle)]
pub extern "C" fn OS_CloseRead(descriptor: c_int) -> c_int {
    guard(-1, || {
        events::forget_read(descriptor);
        // SAFETY: integers only.
        unsafe { libc::shutdown(descriptor, libc::SHUT_RD) }
    })
}

/// Reads to the end and throws it away.
fn drain(descriptor: c_int) {
    let until = Instant::now() + PATIENCE;
    let mut discarded = [0_u8; 4096];
    while readable(descriptor, until) {
        // SAFETY: room for that many.
        let count = unsafe {
            libc::recv(
                descriptor,
                discarded.as_mut_ptr().cast(),
                discarded.len(),
                libc::MSG_DONTWAIT,
            )
        };
        if count == 0 || count < 0 && ![libc::EINTR, libc::EAGAIN].contains(&errno()) {
            return;
        }
    }
}

/// Waits until there is something to read, or an end.
pub(super) fn readable(descriptor: c_int, until: Instant) -> bool {
    let mut poll = libc::pollfd {
        fd: descriptor,
        events: libc::POLLIN,
        revents: 0,
    };
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let milliseconds = c_int::try_from(left.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: one live pollfd.
        match unsafe { libc::poll(&raw mut poll, 1, milliseconds) } {
            1 => return true,
            0 if left < Duration::from_millis(1) => return false,
            0 => {}
            _ if errno() == libc::EINTR => {}
            _ => return false,
        }
    }
}
