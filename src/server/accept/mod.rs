//! Which connection comes next.

pub(in crate::server) mod capacity;
pub(in crate::server) mod drain;
mod handover;
pub(in crate::server) mod hangup;
pub(in crate::server) mod idle_set;
mod offer;
pub(in crate::server) mod queue_probe;
mod wait;
