//! Which errors of accept(2) pass.

use nix::errno::Errno;

/// This many errors without a connection in between do not pass.
pub(super) const TRANSIENT_MAX: u32 = 1000;

/// Errors of the connection that was to be accepted (accept(2), "Error handling").
pub(super) fn is_transient(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::EINTR
            | Errno::ECONNABORTED
            | Errno::EPROTO
            | Errno::ENOPROTOOPT
            | Errno::EHOSTDOWN
            | Errno::ENONET
            | Errno::EHOSTUNREACH
            | Errno::ENETUNREACH
            | Errno::ENETDOWN
            | Errno::EPERM
    )
}

/// No descriptor is free, in this process or in the system.
pub(super) fn is_lack_of_descriptors(errno: Errno) -> bool {
    matches!(errno, Errno::EMFILE | Errno::ENFILE)
}
