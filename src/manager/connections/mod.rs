//! Connections that pass through the manager's hands.

pub(super) mod closing;
pub(super) mod handover;
pub(super) mod rescue;
mod shedding;

pub(super) use shedding::{PoolView, Shed, Shedding};
