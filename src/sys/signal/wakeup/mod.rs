//! Signals that end a wait for requests.
//!
//! A loop that checks a flag and then blocks in accept(2) has a window between the two. Here the
//! signal handler closes it: if a thread is about to wait, or waits, the handler arms a timer that
//! repeats the wake-up until that thread has noticed it.
//!
//! A wake-up is SIGURG. Its default action is to be ignored, so it does no harm to a program that
//! resets handlers, or that knows nothing of this library.
//!
//! - [`waiter`]: the table of waiting threads, and what they check.
//! - [`timer`]: the repetition.
//! - [`worker_handlers`]: the handlers of a worker, which wake the threads.

mod timer;
mod waiter;
mod worker_handlers;

pub(crate) use waiter::{Waiter, Waiting, any_since_last_check, forget_interrupts};
pub(crate) use worker_handlers::{
    Scope, WAKE_SIGNAL, ensure_wakeable, install_retiring, install_wake_handler,
    install_where_default, interrupt, interrupt_calls, interrupted_by_another, protect,
    request_retirement, request_retirement_from_host, reset, restore, retirement_requested,
    wake_waiters,
};
