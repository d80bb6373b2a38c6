//! Signals: the handlers of a manager and of its workers, and waking the threads that wait.

pub(crate) mod chain;
pub(crate) mod handlers;
pub(in crate::sys) mod hosts_handler;
pub(crate) mod wakeup;
