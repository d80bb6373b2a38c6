//! From a copy of the manager to a worker, or to the program that it executes.

pub(in crate::manager) mod identity;
pub(in crate::manager) mod program;
pub(in crate::manager) mod worker;
