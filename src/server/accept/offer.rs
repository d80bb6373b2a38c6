//! A worker that runs the application does not keep others from the connections that stand aside in it: it
//! offers them to its manager, which gives them to a worker that has nothing to do, if the request takes
//! long.

use std::time::Duration;

use crate::server::request::Request;
use crate::sys::process;
use crate::worker;

impl Request {
    /// The application is about to run.
    pub(in crate::server) fn offer_parked(&mut self) {
        let (Some(parking), Some(page)) = (&self.parking, self.status.first_page()) else {
            return;
        };
        self.has_offered = parking.offer(page.offers());
        if !self.has_offered {
            return;
        }
        page.note_offer();
        if !page.is_polled()
            && let Some(link_to_manager) = worker::current()
        {
            link_to_manager.notify_manager();
        }
    }

    /// The application has come to an end: what was given to others is closed here.
    pub(in crate::server) fn reclaim_parked(&mut self) {
        /// What the manager does meanwhile are a few system calls for each connection.
        const PAUSE: Duration = Duration::from_micros(50);
        if !std::mem::take(&mut self.has_offered) {
            return;
        }
        let (Some(parking), Some(page), Some(link_to_manager)) = (
            &mut self.parking,
            self.status.first_page(),
            worker::current(),
        ) else {
            return;
        };
        let claimed = page.offers().reclaim(|| {
            std::thread::sleep(PAUSE);
            process::parent_pid() == link_to_manager.manager
        });
        if let Some(claimed) = claimed {
            parking.close_claimed(claimed);
        }
    }
}
