//! The line that `systemctl status` shows.

use std::time::Duration;

use crate::manager::children::Children;
use crate::manager::event::count;
use crate::pool::{Pool, SlotState};
use crate::worker::{Activity, Scoreboard};

/// The minimum time between two lines. A change of the state is shown immediately.
const INTERVAL: Duration = Duration::from_secs(1);

/// The maximum length of a line in bytes.
const LENGTH_MAX: usize = 500;

/// What is reported about.
pub(in crate::manager) struct View<'a> {
    pub(in crate::manager) now: Duration,
    pub(in crate::manager) pool: &'a Pool,
    pub(in crate::manager) children: &'a Children,
    pub(in crate::manager) scoreboard: &'a Scoreboard,
}

#[derive(Debug, Default)]
pub(super) struct Status {
    sent: String,
    /// There is no new line before this time.
    next: Duration,
    /// Something has happened that changes the line.
    is_changed: bool,
    /// Requests of workers that have exited.
    requests: u64,
    reload: String,
}

/// Workers by what they do.
#[derive(Debug, Default)]
struct Workers {
    idle: usize,
    busy: usize,
    /// Ready ones that report nothing.
    silent: usize,
    starting: usize,
    exiting: usize,
    requests: u64,
}

impl Status {
    pub(super) fn reload_begun(&mut self) {
        "reloading".clone_into(&mut self.reload);
    }

    /// The old workers of an earlier reload may exit after the latest one has failed.
    pub(super) fn reload_done(&mut self) {
        if !self.reload.starts_with("reload failed") {
            "last reload done".clone_into(&mut self.reload);
        }
    }

    pub(super) fn reload_failed(&mut self, message: &str) {
        message.clone_into(&mut self.reload);
    }

    pub(super) fn worker_exited(&mut self, requests: u64) {
        self.requests = self.requests.saturating_add(requests);
    }

    pub(super) fn changed(&mut self) {
        self.is_changed = true;
    }

    /// Another message is sent, and the line belongs to it.
    pub(super) fn due_now(&mut self) {
        self.next = Duration::ZERO;
        self.is_changed = true;
    }

    /// When to send a line if nothing happens before. Counts alone wake nobody.
    pub(super) fn due_at(&self) -> Option<Duration> {
        self.is_changed.then_some(self.next)
    }

    /// The line, if it is due and differs from the last one.
    pub(super) fn text(&mut self, view: &View<'_>, end: &str) -> Option<String> {
        if view.now < self.next {
            return None;
        }
        self.next = view.now + INTERVAL;
        self.is_changed = false;
        let text = self.line(&Workers::count(view), end);
        if text == self.sent {
            return None;
        }
        self.sent.clone_from(&text);
        Some(text)
    }

    fn line(&self, workers: &Workers, end: &str) -> String {
        let served = count(self.requests.saturating_add(workers.requests), "request");
        let mut line = String::from(end);
        line += &format!("{workers}; {served}");
        if !self.reload.is_empty() {
            line += "; ";
            line += &self.reload;
        }
        one_line(&line)
    }
}

/// A line break would begin another assignment of the message, and the text may be a worker's.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for character in text.chars() {
        if line.len() + character.len_utf8() > LENGTH_MAX {
            break;
        }
        line.push(if character.is_control() {
            ' '
        } else {
            character
        });
    }
    line
}

impl Workers {
    fn count(view: &View<'_>) -> Self {
        let mut workers = Self::default();
        for (slot, _) in view.children.iter() {
            let page = view.scoreboard.page(slot);
            let requests = page.snapshot().map_or(0, |snapshot| snapshot.requests);
            workers.requests = workers.requests.saturating_add(requests);
            match view.pool.state(slot) {
                SlotState::Empty => {}
                SlotState::Starting => workers.starting += 1,
                SlotState::Retiring | SlotState::Killed => workers.exiting += 1,
                SlotState::Ready => match page.activity() {
                    Some(Activity::Idle) => workers.idle += 1,
                    Some(Activity::Reading | Activity::Busy | Activity::Finished) => {
                        workers.busy += 1;
                    }
                    Some(Activity::Starting | Activity::Exiting) | None => workers.silent += 1,
                },
            }
        }
        workers
    }
}

impl std::fmt::Display for Workers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let always = self.silent == 0;
        let parts = [
            (self.idle, "idle", always),
            (self.busy, "busy", always),
            (self.silent, "ready", false),
            (self.starting, "starting", false),
            (self.exiting, "exiting", false),
        ];
        let shown = parts
            .iter()
            .filter(|(number, _, always)| *always || *number > 0);
        let shown: Vec<_> = shown
            .map(|(number, what, _)| format!("{number} {what}"))
            .collect();
        write!(f, "workers: {}", shown.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_what_matters() {
        let mut status = Status::default();
        let workers = Workers {
            idle: 3,
            busy: 1,
            requests: 8,
            ..Workers::default()
        };
        assert_eq!(
            status.line(&workers, ""),
            "workers: 3 idle, 1 busy; 8 requests"
        );
        status.worker_exited(2);
        status.reload_begun();
        let starting = Workers {
            starting: 1,
            ..workers
        };
        assert_eq!(
            status.line(&starting, ""),
            "workers: 3 idle, 1 busy, 1 starting; 10 requests; reloading"
        );
        status.reload_failed("reload failed, the old workers continue: broken");
        status.reload_done();
        let silent = Workers {
            silent: 2,
            exiting: 1,
            ..Workers::default()
        };
        assert_eq!(
            status.line(&silent, "stopping: "),
            "stopping: workers: 2 ready, 1 exiting; 2 requests; \
             reload failed, the old workers continue: broken"
        );
    }

    #[test]
    fn text_of_a_worker_adds_no_assignment() {
        let mut status = Status::default();
        status.reload_failed("reload failed: oops\nMAINPID=1\r\0");
        let line = status.line(&Workers::default(), "");
        assert!(
            line.ends_with("; reload failed: oops MAINPID=1  "),
            "{line}"
        );
        status.reload_failed(&"\u{e9}".repeat(1000));
        let line = status.line(&Workers::default(), "");
        assert!(
            (LENGTH_MAX - 1..=LENGTH_MAX).contains(&line.len()),
            "{}",
            line.len()
        );
    }
}
