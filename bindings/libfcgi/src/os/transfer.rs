//! Reading, writing and closing a descriptor.

use std::ffi::{c_char, c_int};
use std::time::{Duration, Instant};

use super::events;
use crate::acceptors;
use crate::guard::{errno, guard};

/// How long a peer may continue to send after it was sent the end, before its connection is closed.
const PATIENCE: Duration = Duration::from_secs(2);

#[unsafe(no_mangle)]
pub unsafe extern "C" fn OS_Read(descriptor: c_int, to: *mut c_char, size: usize) -> c_int {
    // The kernel transfers fewer than INT_MAX bytes per call.
    libc::read(descriptor, to.cast(), size) as c_int
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn OS_Write(descriptor: c_int, from: *mut c_char, size: usize) -> c_int {
    libc::write(descriptor, from.cast(), size) as c_int
}

/// Forgets the descriptor's operations and closes it. With `shutdown` it first waits for the peer
/// to close, because data that arrives after the close would reset the connection, and the peer
/// would lose the response.
#[unsafe(no_mangle)]
pub extern "C" fn OS_Close(descriptor: c_int, shutdown: c_int) -> c_int {
    guard(-1, || {
        if descriptor == -1 {
            return 0;
        }
        events::forget(descriptor);
        acceptors::forget(descriptor);
        // SAFETY: integers only.
        if shutdown != 0 && unsafe { libc::shutdown(descriptor, libc::SHUT_WR) } == 0 {
            drain(descriptor);
        }
        // SAFETY: the program passes its own descriptor.
        unsafe { libc::close(descriptor) }
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn OS_IpcClose(descriptor: c_int, shutdown: c_int) -> c_int {
    OS_Close(descriptor, shutdown)
}

/// Shuts the connection down for reading, and forgets a read of it.
#[unsafe(no_mangle)]
pub extern "C" fn OS_CloseRead(descriptor: c_int) -> c_int {
    guard(-1, || {
        events::forget_read(descriptor);
        // SAFETY: integers only.
        unsafe { libc::shutdown(descriptor, libc::SHUT_RD) }
    })
}

/// Reads to the end and discards the data.
fn drain(descriptor: c_int) {
    let until = Instant::now() + PATIENCE;
    let mut discarded = [0_u8; 4096];
    while wait_readable(descriptor, until) {
        // SAFETY: space for this many bytes.
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

/// Waits until there is data or the end of the input. False: not within the time.
pub(super) fn wait_readable(descriptor: c_int, until: Instant) -> bool {
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
