//! The calling thread's errno, which belongs to the host between calls.

/// The current value.
pub(crate) fn get() -> i32 {
    nix::errno::Errno::last_raw()
}

/// Sets it.
pub(crate) fn set(value: i32) {
    nix::errno::Errno::set_raw(value);
}
