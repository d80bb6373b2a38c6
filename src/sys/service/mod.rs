//! What a service manager (systemd) passes to a process, in environment variables and descriptors.

pub(crate) mod notify;
pub(crate) mod reports;
pub(crate) mod sockets;

/// The variables of the protocol. They are meant for one process, and neither for its workers nor
/// for the programs that these execute.
pub(crate) const VARIABLES: [&str; 8] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "FDSTORE",
];
