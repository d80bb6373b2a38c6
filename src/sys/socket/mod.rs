//! Listening sockets: making them, asking what they are, and who holds them.

pub(crate) mod arrivals;
pub(crate) mod holder;
pub(crate) mod listen;
pub(crate) mod listeners;
pub(crate) mod socket_file;
