//! A worker that runs the application offers its parked connections to its manager. If the request
//! takes long, the manager passes them to a worker that is idle.

use std::time::Duration;

use super::idle_set::IdleSet;
use crate::sys::process;
use crate::worker::{self, LoopStatus};

/// Whether parked connections are on offer to other workers.
#[derive(Debug, Default)]
pub(super) struct Offer {
    is_made: bool,
}

impl Offer {
    /// The application is about to run.
    pub(super) fn make(&mut self, idle: Option<&IdleSet>, status: &LoopStatus) {
        let (Some(idle), Some(page)) = (idle, status.first_page()) else {
            return;
        };
        self.is_made = idle.offer(page.offers());
        if !self.is_made {
            return;
        }
        page.note_offer();
        if !page.is_polled() {
            if let Some(manager) = worker::current() {
                manager.notify_manager();
            }
        }
    }

    /// The application is done: what other workers have received is closed here.
    pub(super) fn reclaim(&mut self, idle: Option<&mut IdleSet>, status: &LoopStatus) {
        /// What the manager does meanwhile takes a few system calls for each connection.
        const PAUSE: Duration = Duration::from_micros(50);
        if !std::mem::take(&mut self.is_made) {
            return;
        }
        let (Some(idle), Some(page), Some(manager)) =
            (idle, status.first_page(), worker::current())
        else {
            return;
        };
        let claimed = page.offers().reclaim(|| {
            std::thread::sleep(PAUSE);
            process::parent_pid() == manager.pid
        });
        if let Some(claimed) = claimed {
            idle.close_claimed(claimed);
        }
    }
}
