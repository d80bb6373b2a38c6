//! The manager's decisions: (state, now, event) → actions.
//!
//! Nothing here touches a process, a descriptor or a clock. The event loop in
//! [`manager`](crate::manager) reports to a [`Pool`] what happened and when, and performs the
//! actions that it returns. Time is a [`Duration`](std::time::Duration) since an origin that the caller chooses. It never
//! goes back.
//!
//! The calling order: [`Pool::new`], then [`Event::Start`]. Whenever something was observed, or
//! [`Pool::deadline`] has come, the caller passes each observation to [`Pool::handle`] and, after
//! all of them, one [`Event::Tick`]. Only a tick forks, and at most once, so that a request to stop
//! never waits behind many forks.
//!
//! Two things are observed only when the pool needs them. If [`Pool::watch_listener`] has passed,
//! the caller polls the listening socket, for [`Event::Connection`]. After that, if
//! [`Pool::poll_at`] has passed, it reads all pages, and passes on the content of the valid ones.
//!
//! The content of a page is not trusted. Times are limited by what the pool has seen itself, an
//! invalid page changes nothing, and a false page affects no other worker.

mod alarm;
mod answer;
mod backoff;
mod balance;
mod config;
mod deadlines;
mod drain;
mod event;
mod load;
mod machine;
mod offers;
mod phase;
mod program_event;
mod program_reload;
mod queue_age;
mod recycling;
mod refork;
mod round;
mod sizing;
mod slot;
#[cfg(test)]
mod tests;
mod watch;
mod worker_event;

pub use answer::{Action, Cause, Counts, Notice, Overdue, Recycle};
pub use config::{Config, Sizing};
pub use event::{Activity, Event, Exit, Observation, Offers, Resize, WorkerEvent};
pub use machine::Pool;
pub use program_event::{ProgramAction, ProgramEvent, ReforkFailure, Source, TemplateId};
pub use program_reload::ProgramReload;
pub use queue_age::{Queue, QueueAge};
pub use slot::SlotState;
