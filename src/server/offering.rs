//! A worker that runs the application does not keep others from the connections that stand aside in it: it
//! offers them to its manager, which gives them to a worker that has nothing to do, if the request takes
//! long.

use std::time::Duration;

use super::request::Request;
use super::supervision;
use crate::sys::process;

impl Request {
    /// The application is about to run.
    pub(super) fn offer_parked(&mut self) {
        let (Some(parking), Some(page)) = (&self.parking, self.report.first_page()) else {
            return;
        };
        self.has_offered = parking.offer(page.shelf());
        if !self.has_offered {
            return;
        }
        page.note_offer();
        if !page.is_attended()
            && let Some(supervision) = supervision::current()
        {
            supervision.wake_manager();
        }
    }

    /// The application has come to an end: what was given to others is closed here.
    pub(super) fn take_back_parked(&mut self) {
        /// What the manager does meanwhile are a few system calls for each connection.
        const PAUSE: Duration = Duration::from_micros(50);
        if !std::mem::take(&mut self.has_offered) {
            return;
        }
        let (Some(parking), Some(page), Some(supervision)) = (
            &mut self.parking,
            self.report.first_page(),
            supervision::current(),
        ) else {
            return;
        };
        let passed = page.shelf().take_back(|| {
            std::thread::sleep(PAUSE);
            process::parent_pid() == supervision.manager
        });
        if let Some(passed) = passed {
            parking.close_passed(passed);
        }
    }
}
