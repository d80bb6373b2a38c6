//! A clean end for the client of a worker that is killed during its request.
//!
//! Before the kill the manager copies the connection, so that the death of the worker does not reset
//! it. After its death the page of the worker no longer changes, and shows how much of the response was
//! sent.
//!
//! Where the manager cannot copy it, it asks the worker to send a copy, and kills it when something has
//! arrived, or a moment later:
//!
//! | state | event | next state |
//! |---|---|---|
//! | | the worker is to be killed | Taken, or Asked |
//! | Asked | something has arrived, or the time is over | Sent: the worker is killed |
//! | Taken, Asked, Sent | the worker is dead | |

use std::time::Duration;

use super::closing::{ClosingSet, ConnectionCopy};
use crate::conn::timeout_response;
use crate::manager::children::Children;
use crate::manager::watch::{Ready, Source, Watch};
use crate::sys::fd::worker_fd::WorkerFd;
use crate::sys::process::inspect;
use crate::sys::signal::wakeup::WAKE_SIGNAL;
use crate::worker::{Details, Order, Page, Scoreboard, Snapshot};

/// The application status in END_REQUEST for an application that was killed: as shells report SIGKILL.
const APP_STATUS: u32 = 128 + 9;

/// How long a worker may take to send a copy. On a busy machine its signal handler waits for a processor.
const PATIENCE: Duration = Duration::from_secs(1);

/// The connections of workers that are being killed.
#[derive(Debug)]
pub(crate) struct Rescues {
    rescues: Vec<Rescue>,
    workers_send: bool,
}

#[derive(Debug)]
struct Rescue {
    slot: usize,
    request: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Taken(WorkerFd),
    /// It is killed at this time at the latest.
    Asked(Duration),
    Sent,
}

/// What follows for a worker that is to be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Begun {
    /// It can be killed now.
    Kill,
    /// [`Rescues::take_due`] names it later.
    Later,
}

impl Rescues {
    /// `workers_send`: the manager cannot copy descriptors of workers.
    pub(crate) const fn new(workers_send: bool) -> Self {
        Self {
            rescues: Vec::new(),
            workers_send,
        }
    }

    /// Whether a new worker gets a connection on which it can send copies.
    pub(crate) const fn workers_send(&self) -> bool {
        self.workers_send
    }

    /// Copies the connection that a worker serves, or asks for a copy. The worker chose its number, so
    /// the disposable process that ends the response checks what it is.
    pub(crate) fn begin(
        &mut self,
        now: Duration,
        slot: usize,
        children: &mut Children,
        page: &Page,
        closing: &mut ClosingSet,
    ) -> Begun {
        if let Some(State::Taken(before)) = self.remove(slot).map(|rescue| rescue.state) {
            closing.close(before);
        }
        let Some((snapshot, details)) = current_request(page) else {
            return Begun::Kill;
        };
        let request = snapshot.request;
        let state = if self.workers_send {
            if !ask(slot, request, children, page) {
                return Begun::Kill;
            }
            State::Asked(now + PATIENCE)
        } else {
            match children.take_socket(slot, details.fd) {
                Some(connection) => State::Taken(connection),
                None => return Begun::Kill,
            }
        };
        let begun = match state {
            State::Asked(_) => Begun::Later,
            State::Taken(_) | State::Sent => Begun::Kill,
        };
        self.rescues.push(Rescue {
            slot,
            request,
            state,
        });
        begun
    }

    pub(crate) fn watch<'a>(&self, children: &'a Children, watch: &mut Watch<'a>) {
        for rescue in &self.rescues {
            if let (State::Asked(until), Some(inbox)) =
                (&rescue.state, children.copies(rescue.slot))
            {
                watch.until(Some(*until));
                watch.add(Source::Copy(rescue.slot), inbox.as_fd());
            }
        }
    }

    /// The workers to be killed now, each once: those that have sent something, and those that are late.
    pub(crate) fn take_due(&mut self, ready: &Ready, now: Duration) -> Vec<usize> {
        self.take_asked(|slot, until| until <= now || ready.has(Source::Copy(slot)))
    }

    /// The workers that are yet to be killed: nothing waits any more.
    pub(crate) fn take_all(&mut self) -> Vec<usize> {
        self.take_asked(|_, _| true)
    }

    fn take_asked(&mut self, is_due: impl Fn(usize, Duration) -> bool) -> Vec<usize> {
        let mut due = Vec::new();
        for rescue in &mut self.rescues {
            if matches!(rescue.state, State::Asked(until) if is_due(rescue.slot, until)) {
                rescue.state = State::Sent;
                due.push(rescue.slot);
            }
        }
        due
    }

    /// The worker is dead: ends its response, if that is possible.
    pub(crate) fn end(
        &mut self,
        slot: usize,
        children: &mut Children,
        scoreboard: &Scoreboard,
        closing: &mut ClosingSet,
    ) {
        let inbox = children.take_copies(slot);
        let (request, copy) = match self.remove(slot) {
            Some(Rescue { request, state, .. }) => match (state, inbox) {
                (State::Taken(fd), _) => (request, ConnectionCopy::Taken(fd)),
                (State::Asked(_) | State::Sent, Some(inbox)) => {
                    (request, ConnectionCopy::Sent { inbox, request })
                }
                (State::Asked(_) | State::Sent, None) => return,
            },
            None => return inbox.into_iter().for_each(|one| closing.close_inbox(one)),
        };
        match current_request(scoreboard.page(slot)) {
            // In the middle of a record there is no clean end.
            Some((snapshot, details)) if snapshot.request == request && !details.mid_record => {
                let records = timeout_response::records(details.id, details.begun, APP_STATUS);
                closing.end(copy, records);
            }
            // The request may have ended before the kill.
            Some(_) | None => match copy {
                ConnectionCopy::Taken(fd) => closing.close(fd),
                ConnectionCopy::Sent { inbox, .. } => closing.close_inbox(inbox),
            },
        }
    }

    fn remove(&mut self, slot: usize) -> Option<Rescue> {
        let at = self.rescues.iter().position(|rescue| rescue.slot == slot)?;
        Some(self.rescues.swap_remove(at))
    }
}

/// Asks a worker for a copy of the connection with this request. False: it has no way to send one.
fn ask(slot: usize, request: u64, children: &Children, page: &Page) -> bool {
    if children.copies(slot).is_none() || !inspect::catches(children.pid(slot), WAKE_SIGNAL) {
        return false;
    }
    if page.order() == Order::Serve {
        // It must not begin another request, which would be lost.
        page.give_order(Order::Retire);
    }
    page.request_copy(request);
    children.signal(slot, WAKE_SIGNAL);
    true
}

/// The request that a worker serves, by its own page.
pub(crate) fn current_request(page: &Page) -> Option<(Snapshot, Details)> {
    let snapshot = page.snapshot()?;
    let details = page.details(&snapshot)?;
    Some((snapshot, details))
}
