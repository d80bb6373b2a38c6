//! Connections that pass through the manager's hands.

pub(in crate::manager) mod closing;
pub(in crate::manager) mod handover;
pub(in crate::manager) mod refusing;
pub(in crate::manager) mod rescue;
pub(in crate::manager) mod shedding;
