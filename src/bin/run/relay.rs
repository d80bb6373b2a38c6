//! Several pools are one service: what their managers report becomes one report.
//!
//! Each manager sends its messages to this process, over a socket pair. The service is ready when
//! every pool is, and reloads as long as one of them does. A pool that has exited does not count.

use std::collections::VecDeque;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::process::Command;
use std::time::Duration;

use fcgipm::manager::{Notifier, Reporter, Reports, stored_sockets, watchdog};
use fcgipm::server::listen;

use crate::console;

/// How long a message waits until it is sent again, if the service manager does not read.
const RETRY: Duration = Duration::from_millis(200);

/// The maximum length of the status. The service manager ignores messages of more than 4,096 bytes.
const STATUS_MAX: usize = 3_000;

/// The state of a pool, or of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Starting,
    Serving,
    Reloading,
    Stopping,
}

#[derive(Debug)]
struct Pool {
    name: String,
    reports: Reports,
    state: State,
    /// It has sent its part of the watchdog's next message.
    is_alive: bool,
    status: String,
}

#[derive(Debug)]
struct Message {
    text: String,
    fd: Option<OwnedFd>,
}

/// The link to the service manager.
pub(super) struct Relay {
    /// `None`: there is no service manager.
    notifier: Option<Notifier>,
    queue: VecDeque<Message>,
    pools: Vec<Pool>,
    /// What the service manager knows.
    state: State,
    status: String,
    has_watchdog: bool,
    /// The last message was refused, which was logged.
    is_refused: bool,
    /// How many sockets it can keep for pools that were not started yet.
    room: usize,
}

impl Relay {
    /// Finds the service manager. It removes the sockets of earlier starts that no pool uses.
    pub(super) fn connect() -> Self {
        let logged = |error: fcgipm::error::Error| {
            console::error(&format!("fcgipm run: {error}"));
        };
        let notifier = Notifier::from_environment().map_err(logged).ok().flatten();
        let mut this = Self {
            notifier,
            queue: VecDeque::new(),
            pools: Vec::new(),
            state: State::Starting,
            status: String::new(),
            has_watchdog: matches!(watchdog().map_err(logged), Ok(Some(_))),
            is_refused: false,
            room: stored_sockets(),
        };
        for name in listen::close_stale() {
            this.push(format!("FDSTOREREMOVE=1\nFDNAME={name}"), None);
        }
        this
    }

    /// Lets the manager of a pool report to this process. What is returned must stay open until the
    /// manager is started.
    pub(super) fn add(&mut self, name: &str, manager: &mut Command) -> Option<Reporter> {
        manager
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_PID");
        self.notifier.as_ref()?;
        // Otherwise it would have to be this process's.
        if !self.has_watchdog {
            manager.env_remove("WATCHDOG_USEC");
        }
        // Each pool has one socket.
        let room = self.room.min(1);
        self.room -= room;
        manager.env("FDSTORE", room.to_string());
        match Reports::pair() {
            Ok((reports, reporter)) => {
                manager.env("NOTIFY_SOCKET", reporter.address());
                self.pools.push(Pool {
                    name: name.to_owned(),
                    reports,
                    state: State::Starting,
                    is_alive: false,
                    status: String::new(),
                });
                Some(reporter)
            }
            Err(error) => {
                console::error(&format!("fcgipm run: pool '{name}': {error}"));
                None
            }
        }
    }

    /// The manager of a pool has exited, or was not started.
    pub(super) fn remove(&mut self, name: &str) {
        self.receive();
        self.pools.retain(|pool| pool.name != name);
        self.settle();
    }

    /// All pools are about to reload.
    pub(super) fn reload(&mut self) {
        for pool in &mut self.pools {
            if pool.state == State::Serving {
                pool.state = State::Reloading;
            }
        }
        self.settle();
    }

    /// All pools are about to stop.
    pub(super) fn stop(&mut self) {
        if self.state != State::Stopping {
            self.state = State::Stopping;
            self.push("STOPPING=1".to_owned(), None);
        }
        self.settle();
    }

    /// What becomes readable when a manager reports.
    pub(super) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.pools.iter().map(|pool| pool.reports.as_fd())
    }

    /// How long to wait at most.
    pub(super) fn limit(&self) -> Option<Duration> {
        (!self.queue.is_empty()).then_some(RETRY)
    }

    /// Takes what the managers have reported, and reports what follows from it.
    pub(super) fn receive(&mut self) {
        let mut passed_on = Vec::new();
        for pool in &mut self.pools {
            while let Some((text, fd)) = pool.reports.receive() {
                if pool.take(&text) {
                    passed_on.push(Message { text, fd });
                }
            }
        }
        for message in passed_on {
            self.push(message.text, message.fd);
        }
        self.settle();
    }

    fn settle(&mut self) {
        let is = |pool: &Pool, state| pool.state == state;
        let is_any = |state| self.pools.iter().any(|pool| is(pool, state));
        let is_idle = self.pools.is_empty() || self.state == State::Stopping;
        let next = match self.state {
            _ if is_idle => self.state,
            State::Starting if is_any(State::Starting) => State::Starting,
            _ if is_any(State::Reloading) && self.state != State::Starting => State::Reloading,
            _ => State::Serving,
        };
        if next != self.state {
            self.state = next;
            match next {
                State::Serving => {
                    let pid = std::process::id();
                    self.push(format!("READY=1\nMAINPID={pid}"), None);
                }
                State::Reloading => {
                    let now = fcgipm::worker::now().as_micros();
                    self.push(format!("RELOADING=1\nMONOTONIC_USEC={now}"), None);
                }
                State::Starting | State::Stopping => {}
            }
        }
        if !self.pools.is_empty() && self.pools.iter().all(|pool| pool.is_alive) {
            self.pools.iter_mut().for_each(|pool| pool.is_alive = false);
            self.push("WATCHDOG=1".to_owned(), None);
        }
        let named = self.pools.iter().filter(|pool| !pool.status.is_empty());
        let named: Vec<_> = named
            .map(|pool| format!("{}: {}", pool.name, pool.status))
            .collect();
        let mut status = named.join(" | ");
        let end = (0..=STATUS_MAX.min(status.len()))
            .rev()
            .find(|at| status.is_char_boundary(*at));
        status.truncate(end.unwrap_or_default());
        if status != self.status && !status.is_empty() {
            self.push(format!("STATUS={status}"), None);
            self.status = status;
        }
        self.flush();
    }

    fn push(&mut self, text: String, fd: Option<OwnedFd>) {
        if self.notifier.is_none() {
            return;
        }
        // A later one replaces one that waits, unless it is about a socket.
        let kind = |text: &str| text.split('=').next().unwrap_or_default().to_owned();
        let new = kind(&text);
        if !new.starts_with("FDSTORE") {
            self.queue.retain(|other| kind(&other.text) != new);
        }
        self.queue.push_back(Message { text, fd });
    }

    fn flush(&mut self) {
        let Some(notifier) = &self.notifier else {
            return;
        };
        while let Some(message) = self.queue.front() {
            let fd = message.fd.as_ref().map(OwnedFd::as_fd);
            match notifier.send(&message.text, fd) {
                Ok(false) => return,
                Ok(true) => self.is_refused = false,
                Err(error) => {
                    if !std::mem::replace(&mut self.is_refused, true) {
                        console::error(&format!("fcgipm run: {error}; messages to it are dropped"));
                    }
                }
            }
            self.queue.pop_front();
        }
    }
}

impl Pool {
    /// Takes a message. `true`: it is to be passed on as it is.
    fn take(&mut self, text: &str) -> bool {
        let assignments = text.lines().filter_map(|line| line.split_once('='));
        for (name, value) in assignments {
            match name {
                "READY" => self.state = State::Serving,
                "RELOADING" => self.state = State::Reloading,
                "STATUS" => value.clone_into(&mut self.status),
                "WATCHDOG" => self.is_alive = true,
                "FDSTORE" | "FDSTOREREMOVE" | "EXTEND_TIMEOUT_USEC" => return true,
                // `STOPPING`: one pool is not the service.
                _ => {}
            }
        }
        false
    }
}
