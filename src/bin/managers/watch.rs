//! Waiting for managers, up to a time.

use std::time::{Duration, Instant};

use super::group::{Group, Member};
use crate::console;

/// The pause between two checks of the shared memory.
const INTERVAL: Duration = Duration::from_millis(20);

/// A time until which a command waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    limit: Duration,
    at: Instant,
}

impl Deadline {
    pub(crate) fn after(limit: Duration) -> Self {
        let at = Instant::now() + limit;
        Self { limit, at }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    pub(crate) fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Waits for a while, or until the manager has ended. Returns whether it has.
    pub(crate) fn sees_end(&self, member: &Member) -> bool {
        member.process.ends_within(INTERVAL.min(self.left()))
    }

    /// As in `60 s`.
    pub(crate) fn shown(&self) -> String {
        format!("{} s", self.limit.as_secs_f64())
    }
}

/// The state of something that a command waits for.
pub(crate) enum Progress {
    /// This is missing.
    Waits(String),
    /// With this result.
    Over(Result<String, String>),
}

/// Checks each manager until all results are known, and prints them. Returns the exit status.
pub(crate) fn until_over<'g, S>(
    command: &str,
    group: &'g Group,
    deadline: Deadline,
    begin: impl Fn(&'g Member) -> S,
    check: impl Fn(&mut S) -> Progress,
) -> u8 {
    let mut waiting: Vec<_> = group
        .members
        .iter()
        .map(|member| (member, begin(member)))
        .collect();
    let mut status = 0;
    let mut report = |member: &Member, result: Result<String, String>| match result {
        Ok(line) => console::print(&format!("{}{line}", member.label())),
        Err(reason) => {
            status = 1;
            console::error(&format!("fcgipm {command}: {}{reason}", member.label()));
        }
    };
    while !waiting.is_empty() {
        // The last check is made after the end: a result that was published before it counts.
        let has_ended = waiting
            .first()
            .is_some_and(|(member, _)| deadline.sees_end(member));
        let is_late = deadline.is_over();
        waiting.retain_mut(|(member, state)| {
            let result = match check(state) {
                Progress::Over(result) => result,
                Progress::Waits(_) if has_ended && member.process.ends_within(Duration::ZERO) => {
                    Err(format!(
                        "the manager (pid {}) has ended",
                        member.process.pid()
                    ))
                }
                Progress::Waits(missing) if is_late => {
                    Err(format!("timed out after {}: {missing}", deadline.shown()))
                }
                Progress::Waits(_) => return true,
            };
            report(member, result);
            false
        });
        // One that has ended must not keep the others from being waited for.
        if waiting.len() > 1 {
            waiting.rotate_left(1);
        }
    }
    status
}
