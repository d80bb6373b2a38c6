//! OS_AsyncRead, OS_AsyncWrite and OS_DoIo, which performs these operations when their descriptors
//! are ready. It uses poll(2), which has no largest descriptor. Callbacks run without the lock,
//! because they begin the next operations.

use std::ffi::{c_int, c_void};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::Callback;
use super::operations::{Direction, Key, Operation, Operations};
use crate::guard::{errno, guard, set_errno};

static OPERATIONS: Mutex<Operations> = Mutex::new(Operations::new());

/// With a time limit: in a child that was forked while another thread held the lock, it is never
/// released.
fn operations() -> Option<MutexGuard<'static, Operations>> {
    OPERATIONS.try_lock_for(Duration::from_millis(100))
}

pub(super) fn forget(descriptor: c_int) {
    if let Some(mut operations) = operations() {
        operations.forget((descriptor, Direction::Read));
        operations.forget((descriptor, Direction::Write));
    }
}

pub(super) fn forget_read(descriptor: c_int) {
    if let Some(mut operations) = operations() {
        operations.forget((descriptor, Direction::Read));
    }
}

pub(super) fn forget_all() {
    if let Some(mut operations) = operations() {
        operations.forget_all();
    }
}

fn begin(
    key: Key,
    buffer: *mut c_void,
    length: c_int,
    callback: Option<Callback>,
    word: *mut c_void,
) -> c_int {
    guard(-1, || {
        let Some(callback) = callback.filter(|_| length >= 0) else {
            set_errno(libc::EINVAL);
            return -1;
        };
        if key.0 < 0 {
            set_errno(libc::EBADF);
            return -1;
        }
        let operation = Operation {
            key,
            buffer,
            length,
            callback,
            word,
        };
        if operations().is_some_and(|mut operations| operations.begin(operation)) {
            0
        } else {
            set_errno(libc::EBUSY);
            -1
        }
    })
}

/// Reads when there is data. The offset matters only on other systems.
#[unsafe(no_mangle)]
pub extern "C" fn OS_AsyncRead(
    descriptor: c_int,
    _offset: c_int,
    buffer: *mut c_void,
    length: c_int,
    callback: Option<Callback>,
    word: *mut c_void,
) -> c_int {
    begin(
        (descriptor, Direction::Read),
        buffer,
        length,
        callback,
        word,
    )
}

#[unsafe(no_mangle)]
pub extern "C" fn OS_AsyncReadStdin(
    buffer: *mut c_void,
    length: c_int,
    callback: Option<Callback>,
    word: *mut c_void,
) -> c_int {
    OS_AsyncRead(libc::STDIN_FILENO, 0, buffer, length, callback, word)
}

#[unsafe(no_mangle)]
pub extern "C" fn OS_AsyncWrite(
    descriptor: c_int,
    _offset: c_int,
    buffer: *mut c_void,
    length: c_int,
    callback: Option<Callback>,
    word: *mut c_void,
) -> c_int {
    begin(
        (descriptor, Direction::Write),
        buffer,
        length,
        callback,
        word,
    )
}

/// Performs the operations that are ready. If none is, waits up to `timeout`, NULL: forever; and
/// stores the remaining time there, as select(2) does on Linux. An interruption ends the wait and
/// is not an error.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OS_DoIo(timeout: *mut libc::timeval) -> c_int {
    let waited = guard(-1, || {
        let Some(locked) = operations() else {
            set_errno(libc::EAGAIN);
            return -1;
        };
        // Left by a callback that did not return.
        if locked.any_ready() {
            return 0;
        }
        let keys: Vec<Key> = locked.keys().collect();
        drop(locked);
        wait(&keys, timeout)
    });
    if waited < 0 {
        return if errno() == libc::EINTR { 0 } else { -1 };
    }
    let mut last = None;
    while let Some(operation) = guard(None, || operations()?.take_ready(last)) {
        last = Some(operation.key);
        let (descriptor, direction) = operation.key;
        let length = operation.length as usize;
        // SAFETY: the caller's buffer, which it keeps until the callback.
        let count = unsafe {
            match direction {
                Direction::Read => libc::read(descriptor, operation.buffer, length),
                Direction::Write => libc::write(descriptor, operation.buffer, length),
            }
        };
        (operation.callback)(operation.word, count as c_int);
    }
    0
}

/// Waits, and marks those that are ready. A closed descriptor counts as ready: its operation
/// reports the error.
unsafe fn wait(keys: &[Key], timeout: *mut libc::timeval) -> c_int {
    let mut polled: Vec<libc::pollfd> = keys
        .iter()
        .map(|&(fd, direction)| libc::pollfd {
            fd,
            events: match direction {
                Direction::Read => libc::POLLIN,
                Direction::Write => libc::POLLOUT,
            },
            revents: 0,
        })
        .collect();
    let limit = match timeout.as_ref().map(duration_of) {
        Some(None) => {
            set_errno(libc::EINVAL);
            return -1;
        }
        Some(Some(limit)) => Some(limit),
        None => None,
    };
    let time = limit.map(|limit| libc::timespec {
        tv_sec: libc::time_t::try_from(limit.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: limit.subsec_nanos().into(),
    });
    let time = time
        .as_ref()
        .map_or(std::ptr::null(), |time| &raw const *time);
    let begun = Instant::now();
    // SAFETY: an array of live pollfds of this length; a time, or NULL; no mask.
    let count = unsafe {
        libc::ppoll(
            polled.as_mut_ptr(),
            polled.len() as libc::nfds_t,
            time,
            std::ptr::null(),
        )
    };
    let number = errno();
    if let (Some(limit), Some(timeout)) = (limit, timeout.as_mut()) {
        let left = limit.saturating_sub(begun.elapsed());
        timeout.tv_sec = libc::time_t::try_from(left.as_secs()).unwrap_or(libc::time_t::MAX);
        timeout.tv_usec = left.subsec_micros().into();
    }
    if count > 0 {
        if let Some(mut operations) = operations() {
            for (poll, &key) in polled.iter().zip(keys) {
                if poll.revents != 0 {
                    operations.set_ready(key);
                }
            }
        }
    }
    set_errno(number);
    count
}

/// None if the time is invalid.
fn duration_of(time: &libc::timeval) -> Option<Duration> {
    let seconds = Duration::from_secs(u64::try_from(time.tv_sec).ok()?);
    seconds.checked_add(Duration::from_micros(u64::try_from(time.tv_usec).ok()?))
}
