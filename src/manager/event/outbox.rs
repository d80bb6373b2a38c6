//! Events on their way to the host, and to the log.

use std::collections::VecDeque;

use super::Event;
use crate::sys::{log, process};

/// Which part of the process writes the lines of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogTarget {
    Manager,
    Host,
}

impl LogTarget {
    /// Logs an event, if it has a line.
    pub(crate) fn write(self, event: &Event) {
        match self {
            Self::Manager if !event.message.is_empty() => {
                let pid = process::pid();
                let line = format!("fcgipm: manager (pid {pid}): {}", event.message);
                log::line(event.level, &line);
            }
            Self::Manager | Self::Host => {}
        }
    }
}

/// Events that the host has not received yet. All of them have been logged.
#[derive(Debug)]
pub(crate) struct Outbox {
    events: VecDeque<Event>,
    log: LogTarget,
}

impl Outbox {
    pub(crate) const fn new(log: LogTarget) -> Self {
        Self {
            events: VecDeque::new(),
            log,
        }
    }

    /// Logs an event, and keeps it for the host.
    pub(crate) fn push(&mut self, event: Event) {
        self.log.write(&event);
        self.events.push_back(event);
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }
}
