//! The clock that the manager, its workers and `fcgipm status` share.

use std::time::Duration;

/// The time since the system was started (CLOCK_MONOTONIC).
#[must_use]
pub fn now() -> Duration {
    read(libc::CLOCK_MONOTONIC)
}

/// The same at the kernel's last tick, a few milliseconds ago at most. It takes a few nanoseconds,
/// and no system call (vdso(7)).
#[inline]
pub(crate) fn recently() -> Duration {
    read(libc::CLOCK_MONOTONIC_COARSE)
}

/// The time between two ticks.
pub(crate) fn tick() -> Duration {
    static TICK: once_cell::sync::OnceCell<Duration> = once_cell::sync::OnceCell::new();
    *TICK.get_or_init(|| {
        resolution(libc::CLOCK_MONOTONIC_COARSE).unwrap_or(Duration::from_millis(10))
    })
}

fn resolution(clock: libc::clockid_t) -> Option<Duration> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live local.
    let got = unsafe { libc::clock_getres(clock, &raw mut time) };
    (got == 0).then(|| Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

#[inline]
fn read(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live local. The call fails only for unknown clocks.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
