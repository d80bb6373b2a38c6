//! Connections that stand aside in a worker that is busy, or about to be killed, go to workers that have
//! nothing to do.

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::Duration;

use crate::manager::event_loop::EventLoop;
use crate::pool::Offers;
use crate::sys::process::disposable;
use crate::worker;
use crate::worker::Offered;

/// Connections that are taken from a worker at once, at most: all of them are open here for a moment.
const AT_ONCE: usize = 256;

/// How long the worker may have to wait for what it did not lose: only somebody hostile, or a machine that is very busy, makes
/// it longer than a moment.
const LIMIT: Duration = Duration::from_secs(2);

impl EventLoop {
    /// What the worker in a slot offers. It tells of an offer only while nobody looks for them; so from the first one on
    /// somebody does, until there was none for as long as a look takes to come round.
    pub(in crate::manager) fn offers_of(&mut self, slot: usize) -> Offers {
        let page = self.parts.scoreboard.page(slot);
        // Whoever never offered anything has memory for none.
        if !page.has_offered() {
            return Offers::None;
        }
        let offers = page.offers();
        let worker = &mut self.workers[slot];
        let mut count = offers.made();
        if count == worker.offers && !offers.is_offered() {
            page.set_polled(false);
            // One may have come just before it could see that.
            count = offers.made();
        }
        let is_new = count != worker.offers;
        worker.offers = count;
        if offers.is_offered() && !worker.fd_access_denied {
            page.set_polled(true);
            Offers::Now
        } else if is_new {
            page.set_polled(true);
            Offers::Lately
        } else {
            Offers::None
        }
    }

    /// Has copies of what the worker offers put into the hand-over queue. The numbers are the worker's word, so a
    /// disposable process looks at what is behind them: only connections that came in by a listening socket count.
    pub(in crate::manager) fn claim_offers(&mut self, slot: usize) {
        let Some(prepared) = self.closing.prepare() else {
            return;
        };
        if !self.page(slot).offers().begin_taking() {
            return;
        }
        let offered: Vec<_> = self.page(slot).offers().offered().take(AT_ONCE).collect();
        let taken: Vec<_> = offered
            .into_iter()
            .filter_map(|offered| Some((offered, self.take_socket(slot, offered.fd)?)))
            .collect();
        let offers = self.page(slot).offers();
        if taken.is_empty() {
            offers.end_taking();
            // The kernel lets nobody take from it (ptrace(2), "Ptrace access mode checking").
            self.workers[slot].fd_access_denied = true;
            return;
        }
        let queue = self.parts.handover.0.as_fd();
        let listeners = &self.parts.listeners;
        let numbers = taken.iter().map(|(_, socket)| socket.number());
        let keep: Vec<_> = numbers.chain([queue.as_raw_fd()]).collect();
        let started = prepared.start(LIMIT, keep, taken, |taken| {
            for (offered, socket) in taken {
                if let Some(connection) = socket.accepted_by(listeners) {
                    // Between the two nothing waits, and its time must not end: two workers would have the connection.
                    let is_passed = disposable::undisturbed(|| {
                        let is_passed = connection.forward(queue, byte_of(offered)) == Ok(true);
                        if is_passed {
                            offers.claim(offered);
                        }
                        is_passed
                    });
                    // Closed when this process ends.
                    std::mem::forget(connection);
                    if !is_passed {
                        // The queue is full: the others stay where they are.
                        break;
                    }
                }
            }
            offers.end_taking();
        });
        match started {
            Ok(process) => {
                let worker = (slot, self.workers[slot].pid);
                self.closing.add(process, Some(worker));
            }
            Err(taken) => {
                offers.end_taking();
                taken
                    .into_iter()
                    .for_each(|(_, socket)| socket.close_here());
            }
        }
    }
}

fn byte_of(offered: Offered) -> u8 {
    if offered.silent {
        worker::SILENT
    } else {
        worker::KEPT
    }
}
