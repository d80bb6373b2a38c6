//! Connections that stand aside in a worker that is busy, or about to be killed, go to workers that have
//! nothing to do.

use std::os::fd::AsFd as _;

use super::shell::Shell;
use crate::pool::Offers;
use crate::server::supervision;
use crate::sys::io;

impl Shell {
    /// What the worker in a slot offers. It tells of an offer only while nobody looks for them; so from the first one on
    /// somebody does, until there was none for as long as a look takes to come round.
    pub(super) fn offers_of(&mut self, slot: usize) -> Offers {
        let page = self.parts.scoreboard.page(slot);
        // Whoever never offered anything has memory for none.
        if !page.has_offered() {
            return Offers::None;
        }
        let shelf = page.shelf();
        let worker = &mut self.workers[slot];
        let mut count = shelf.offers();
        if count == worker.offers && !shelf.is_offered() {
            page.set_attended(false);
            // One may have come just before it could see that.
            count = shelf.offers();
        }
        let is_new = count != worker.offers;
        worker.offers = count;
        if shelf.is_offered() && !worker.is_closed_to_us {
            page.set_attended(true);
            Offers::Now
        } else if is_new {
            page.set_attended(true);
            Offers::Lately
        } else {
            Offers::None
        }
    }

    /// Puts copies of what the worker offers into the hand-over queue. The numbers are the worker's word, so what is
    /// behind them is looked at: only connections that came in by a listening socket count.
    pub(super) fn pass_on(&mut self, slot: usize) {
        let shelf = self.parts.scoreboard.page(slot).shelf();
        let Some(child) = &self.workers[slot].child else {
            return;
        };
        if !shelf.begin_taking() {
            return;
        }
        let (mut seen, mut passed) = (0, 0);
        for offered in shelf.offered() {
            let Some(connection) = child.take_descriptor(offered.fd) else {
                continue;
            };
            seen += 1;
            let mut listeners = self.parts.listeners.iter();
            if !listeners.any(|one| one.accepted(connection.as_fd())) {
                continue;
            }
            let byte = if offered.silent {
                supervision::SILENT
            } else {
                supervision::KEPT
            };
            let queue = self.parts.handover.0.as_fd();
            if !io::pass_descriptor(queue, connection.as_fd(), byte).unwrap_or(false) {
                // The queue is full: the others stay where they are.
                break;
            }
            shelf.pass(offered);
            passed += 1;
        }
        shelf.end_taking();
        // The kernel lets nobody take from it (ptrace(2), "Ptrace access mode checking").
        self.workers[slot].is_closed_to_us = seen == 0;
        self.handed_over |= passed > 0;
    }
}
