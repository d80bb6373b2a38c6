//! Several pools are one service: what their managers report becomes one report.
//!
//! Each manager sends its messages to this process, over a socket pair. The service is ready when
//! every pool is, and reloads as long as one of them does. A pool that has exited does not count.
//!
//! The watchdog of the service manager supervises this process. This process in turn supervises the
//! managers, so that one that hangs affects its pool only.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::process::Command;
use std::time::Duration;

use fcgipm::manager::{Reporter, Reports, ServiceLink, ServiceMessage, stored_sockets, watchdog};
use fcgipm::server::listen::{self, KeptSocket};
use fcgipm::worker::now;

use crate::console;

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
    /// When it last did.
    beat: Option<Duration>,
    status: String,
}

type Message = ServiceMessage<OwnedFd>;

/// The link to the service manager.
pub(super) struct Relay {
    /// `None`: there is no service manager.
    link: Option<ServiceLink<OwnedFd>>,
    pools: Vec<Pool>,
    /// What the service manager knows.
    state: State,
    status: String,
    /// The service manager ends this process if it gets no message for this long.
    watchdog: Option<Duration>,
    /// When the managers were last checked.
    checked: Duration,
    /// How many sockets it can keep. Each pool has one.
    capacity: usize,
    /// The sockets that it keeps, and the names of their pools.
    kept: Vec<(String, KeptSocket)>,
}

/// What a manager is started with.
#[derive(Debug)]
pub(super) struct Its {
    _reporter: Option<Reporter>,
    _sockets: Vec<OwnedFd>,
}

impl Relay {
    /// Finds the service manager. It removes the sockets of earlier starts that no pool uses.
    pub(super) fn connect() -> Self {
        let logged = |error: fcgipm::error::Error| {
            console::error(&format!("fcgipm run: {error}"));
        };
        let mut this = Self {
            link: ServiceLink::from_environment()
                .map_err(logged)
                .ok()
                .flatten(),
            pools: Vec::new(),
            state: State::Starting,
            status: String::new(),
            watchdog: watchdog().map_err(logged).ok().flatten(),
            checked: now(),
            capacity: stored_sockets().map_err(logged).unwrap_or(0),
            kept: Vec::new(),
        };
        for name in listen::close_stale() {
            this.push(Message::remove(&name));
        }
        this
    }

    /// Lets the manager of a pool report to this process. What is returned must stay open until the
    /// manager is started.
    pub(super) fn add(&mut self, name: &str, address: &str, manager: &mut Command) -> Option<Its> {
        manager
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_PID");
        self.link.as_ref()?;
        // Otherwise it would have to be this process's.
        if self.watchdog.is_none() {
            manager.env_remove("WATCHDOG_USEC");
        }
        let is_of = |pool: &str| self.pools.iter().any(|other| other.name == pool);
        let kept = self.kept.iter().map(|(pool, _)| pool);
        let waiting = kept.filter(|pool| *pool != name && !is_of(pool)).count();
        let has_room = self.pools.len() + waiting < self.capacity;
        manager.env("FDSTORE", u8::from(has_room).to_string());
        if !self.kept.iter().any(|(pool, _)| pool == name) {
            let socket = KeptSocket::of_earlier_start(address);
            self.kept
                .extend(socket.map(|socket| (name.to_owned(), socket)));
        }
        let mut sockets = Vec::new();
        for (_, socket) in self.kept.iter().filter(|(pool, _)| pool == name) {
            match socket.for_program() {
                Ok(copy) => sockets.extend(copy),
                Err(error) => console::error(&format!("fcgipm run: pool '{name}': {error}")),
            }
        }
        for socket in &sockets {
            manager.args(["--socket", &socket.as_raw_fd().to_string()]);
        }
        let reporter = match Reports::pair() {
            Ok((reports, reporter)) => {
                manager.env("NOTIFY_SOCKET", reporter.address());
                self.pools.push(Pool {
                    name: name.to_owned(),
                    reports,
                    state: State::Starting,
                    is_alive: false,
                    beat: None,
                    status: String::new(),
                });
                Some(reporter)
            }
            Err(error) => {
                console::error(&format!("fcgipm run: pool '{name}': {error}"));
                None
            }
        };
        Some(Its {
            _reporter: reporter,
            _sockets: sockets,
        })
    }

    /// The manager of a pool has exited, or was not started.
    pub(super) fn remove(&mut self, name: &str) {
        self.receive();
        self.pools.retain(|pool| pool.name != name);
        self.settle();
    }

    /// A pool ends, and no other one will have its socket. If the whole service stops, the next start
    /// will.
    pub(super) fn give_up(&mut self, name: &str) {
        if self.state == State::Stopping {
            return;
        }
        let (given_up, kept) = std::mem::take(&mut self.kept)
            .into_iter()
            .partition::<Vec<_>, _>(|(pool, _)| pool == name);
        self.kept = kept;
        for (_, socket) in given_up {
            self.push(Message::remove(socket.name()));
            socket.give_up();
        }
        self.flush();
    }

    /// A manager has stored a socket. If its pool had another one, its address has changed.
    fn keep(&mut self, pool: String, name: &str, socket: &OwnedFd) {
        self.give_up(&pool);
        match socket.try_clone() {
            Ok(copy) => {
                let socket = KeptSocket::new(name.to_owned(), copy);
                self.kept.push((pool, socket));
            }
            Err(error) => console::error(&format!(
                "fcgipm run: pool '{pool}': copy of its socket: {error}"
            )),
        }
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
            self.push(Message::stopping());
        }
        self.settle();
    }

    /// What becomes readable when a manager reports.
    pub(super) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.pools.iter().map(|pool| pool.reports.as_fd())
    }

    /// How long to wait at most.
    pub(super) fn limit(&self) -> Option<Duration> {
        let at = self.link.as_ref()?.retry_at();
        let retry = at.map(|at| at.saturating_sub(now()));
        let check = self.watchdog.map(|interval| interval / 8);
        retry.into_iter().chain(check).min()
    }

    /// The pools whose managers hang: each of them only once. A pool that is started again counts
    /// from the first message of its manager on.
    pub(super) fn take_hung(&mut self) -> Vec<String> {
        let Some(interval) = self.watchdog else {
            return Vec::new();
        };
        let now = now();
        let since_check = now.saturating_sub(std::mem::replace(&mut self.checked, now));
        // This process did not run, and perhaps no other did.
        let was_stopped = since_check > interval / 4;
        // Managers send twice in an interval. What is left of it is for the others' next message.
        let limit = interval / 4 * 3;
        let mut hung = Vec::new();
        for pool in &mut self.pools {
            let Some(beat) = &mut pool.beat else { continue };
            if was_stopped {
                *beat = now;
            } else if now.saturating_sub(*beat) > limit {
                pool.beat = None;
                hung.push(pool.name.clone());
            }
        }
        hung
    }

    /// Takes what the managers have reported, and reports what follows from it.
    pub(super) fn receive(&mut self) {
        let mut forwarded = Vec::new();
        for pool in &mut self.pools {
            while let Some((text, socket)) = pool.reports.receive() {
                if pool.take(&text) {
                    forwarded.push((pool.name.clone(), text, socket));
                }
            }
        }
        for (pool, text, socket) in forwarded {
            let name = text.strip_prefix("FDSTORE=1\nFDNAME=");
            if let (Some(name), Some(socket)) = (name, &socket) {
                self.keep(pool, name, socket);
            }
            self.push(Message::forwarded(text, socket));
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
                State::Serving => self.push(Message::ready()),
                State::Reloading => self.push(Message::reloading()),
                State::Starting | State::Stopping => {}
            }
        }
        // While no manager runs, this process waits to start one again.
        if self.watchdog.is_some() && self.pools.iter().all(|pool| pool.is_alive) {
            self.pools.iter_mut().for_each(|pool| pool.is_alive = false);
            self.push(Message::watchdog());
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
            self.push(Message::status(&status));
            self.status = status;
        }
        self.flush();
    }

    fn push(&mut self, message: Message) {
        if let Some(link) = &mut self.link {
            link.push(message);
        }
    }

    fn flush(&mut self) {
        let Some(link) = &mut self.link else {
            return;
        };
        if let Some(line) = link.flush(now(), drop) {
            console::error(&format!("fcgipm run: {line}"));
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
                "WATCHDOG" => {
                    self.is_alive = true;
                    self.beat = Some(now());
                }
                "FDSTORE" | "FDSTOREREMOVE" | "EXTEND_TIMEOUT_USEC" => return true,
                // `STOPPING`: one pool is not the service.
                _ => {}
            }
        }
        false
    }
}
