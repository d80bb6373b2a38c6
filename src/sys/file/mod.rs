//! Files: locks, and paths that no other user can change.

pub(crate) mod lock;
pub(crate) mod trusted_path;
