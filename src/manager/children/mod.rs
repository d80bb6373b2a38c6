//! The processes that the manager has.

pub(in crate::manager) mod forking;
pub(in crate::manager) mod guardian;
pub(in crate::manager) mod startup_output;
