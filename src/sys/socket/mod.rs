//! Listening sockets: opening them, their properties, and which process has them.

pub(crate) mod arrivals;
pub(crate) mod holder;
pub(crate) mod hop_limit;
pub(crate) mod listen;
pub(crate) mod listeners;
pub(crate) mod queue_marker;
pub(crate) mod socket_file;
pub(crate) mod status_socket;
