//! The part of one thread in a run: each of its clients sends a request, reads the response and
//! sends the next. One epoll waits for all of them.
//!
//! System calls dominate the cost of a request: recv, send, epoll_wait and recv on a keep-alive
//! connection; on a new one socket, connect, epoll_ctl and close instead of the first.

use std::collections::VecDeque;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::client::{Client, Connection, Underway};
use super::loss::Loss;
use super::plan::{Limit, Plan};
use super::shared::Shared;
use super::tally::Tally;
use super::target::Target;

/// The pause of a client after a failed connect, so that it does not retry a hundred thousand times
/// a second.
const REFUSED_PAUSE: Duration = Duration::from_millis(10);

/// The maximum time for requests in progress when a signal has ended the run.
const STOP_LIMIT: Duration = Duration::from_secs(1);

/// The event number of the signal pipe; clients have smaller numbers.
const SIGNAL: u64 = u64::MAX;

/// The size of a read.
const READ_SIZE: usize = 64 * 1024;

/// A run in progress.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(super) plan: &'a Plan,
    pub(super) shared: &'a Shared,
    pub(super) target: Target,
    pub(super) epoll: Epoll,
    pub(super) clients: Vec<Client>,
    pub(super) tally: Tally,
    pub(super) buffer: Vec<u8>,
    pub(super) begun: u64,
    pub(super) under_way: usize,
    pub(super) connections: u32,
    /// Second segments to send: when, of which client, of which request.
    pub(super) segments: VecDeque<(Instant, usize, u64)>,
    /// Clients that pause after a failed connect.
    pub(super) paused: VecDeque<(Instant, usize)>,
    /// Clients without a request.
    pub(super) idle: Vec<usize>,
    /// When the oldest request may be stuck.
    check: Instant,
    /// No more requests start.
    is_over: bool,
    /// A byte for each signal.
    signals: UnixStream,
    /// After a signal: the end of the run.
    stop_at: Option<Instant>,
}

/// The outcome of one thread.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) tally: Tally,
    /// Requests that were in progress when a signal ended the run.
    pub(crate) unfinished: usize,
    pub(crate) was_interrupted: bool,
}

impl<'a> Run<'a> {
    /// A part with `clients` clients.
    ///
    /// # Errors
    /// The means to wait for sockets are not available.
    pub(crate) fn new(
        plan: &'a Plan,
        shared: &'a Shared,
        target: Target,
        clients: usize,
        signals: UnixStream,
    ) -> Result<Self, String> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(cannot_wait)?;
        let event = EpollEvent::new(EpollFlags::EPOLLIN, SIGNAL);
        epoll.add(&signals, event).map_err(cannot_wait)?;
        Ok(Self {
            plan,
            shared,
            target,
            epoll,
            clients: (0..clients).map(|_| Client::default()).collect(),
            tally: Tally::new(shared.started, plan.timeout)?,
            buffer: vec![0; READ_SIZE],
            begun: 0,
            under_way: 0,
            connections: 0,
            segments: VecDeque::new(),
            paused: VecDeque::new(),
            idle: (0..clients).rev().collect(),
            check: shared.started + plan.timeout,
            is_over: false,
            signals,
            stop_at: None,
        })
    }

    /// Runs the plan.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub(crate) fn through(mut self) -> Result<Part, String> {
        self.turn().map_err(cannot_wait)?;
        Ok(Part {
            unfinished: self.under_way,
            tally: self.tally,
            was_interrupted: self.stop_at.is_some(),
        })
    }

    /// Loops until the plan is complete or a signal ends the run.
    fn turn(&mut self) -> Result<(), Errno> {
        let mut events = vec![EpollEvent::empty(); 256];
        loop {
            // Clients that become idle meanwhile are next, after signals were checked.
            for client in std::mem::take(&mut self.idle) {
                self.begin(client, Instant::now())?;
            }
            let is_stopped = self.stop_at.is_some_and(|at| at <= Instant::now());
            if is_stopped || (self.under_way == 0 && self.is_exhausted()) {
                return Ok(());
            }
            let count = match self.epoll.wait(&mut events, self.patience()) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(errno) => return Err(errno),
            };
            for event in events.iter().take(count) {
                if event.data() == SIGNAL {
                    self.on_signal()?;
                    continue;
                }
                let (client, serial) = untagged(event.data());
                self.on_ready(client, serial, event.events())?;
            }
            self.on_time(Instant::now())?;
        }
    }

    /// Whether no more requests may start.
    fn is_exhausted(&self) -> bool {
        self.is_over || self.shared.is_exhausted(self.plan.limit)
    }

    /// Whether one more request may start; if so, it is counted.
    pub(super) fn claim(&self) -> bool {
        !self.is_over && self.shared.claim(self.plan.limit)
    }

    /// After the first signal, requests in progress may finish; after the second, not.
    fn on_signal(&mut self) -> Result<(), Errno> {
        self.is_over = true;
        let mut signals = [0; 16];
        let count = nix::unistd::read(&self.signals, &mut signals)?;
        for _ in 0..count {
            let patience = match self.stop_at {
                None => STOP_LIMIT,
                Some(_) => Duration::ZERO,
            };
            self.stop_at = Some(Instant::now() + patience);
        }
        Ok(())
    }

    /// How long to wait for events, rounded up.
    fn patience(&self) -> EpollTimeout {
        if !self.idle.is_empty() {
            return EpollTimeout::ZERO;
        }
        let end = match self.plan.limit {
            Limit::Time(time) if !self.is_over => Some(self.tally.started + time),
            Limit::Time(_) | Limit::Requests(_) => None,
        };
        let due = [
            self.segments.front().map(|(due, ..)| *due),
            self.paused.front().map(|(due, _)| *due),
            end,
            self.stop_at,
        ];
        let due = due.into_iter().flatten().fold(self.check, Instant::min);
        let left = due.saturating_duration_since(Instant::now());
        let milliseconds = left.as_micros().div_ceil(1000).min(60_000);
        EpollTimeout::from(u16::try_from(milliseconds).unwrap_or(u16::MAX))
    }

    fn on_time(&mut self, now: Instant) -> Result<(), Errno> {
        if let Limit::Time(time) = self.plan.limit {
            self.is_over |= now.saturating_duration_since(self.tally.started) >= time;
        }
        while let Some(&(_, client, number)) = self.segments.front().filter(|(due, ..)| *due <= now)
        {
            self.segments.pop_front();
            self.second_segment(client, number, now)?;
        }
        while let Some(&(_, client)) = self.paused.front().filter(|(due, _)| *due <= now) {
            self.paused.pop_front();
            self.idle.push(client);
        }
        if self.check <= now {
            self.end_stuck(now);
        }
        Ok(())
    }

    fn second_segment(&mut self, client: usize, number: u64, now: Instant) -> Result<(), Errno> {
        let request = self
            .clients
            .get_mut(client)
            .and_then(|client| client.request.as_mut());
        match request {
            Some(request) if request.number == number => {
                request.is_held_back = false;
                self.send(client, now)
            }
            // The request has ended meanwhile.
            Some(_) | None => Ok(()),
        }
    }

    /// Ends the requests that take too long. All have the same timeout, so the oldest of the rest
    /// is due first.
    fn end_stuck(&mut self, now: Instant) {
        self.check = now + self.plan.timeout;
        for number in 0..self.clients.len() {
            let Some(client) = self.clients.get(number) else {
                continue;
            };
            let Some(Underway { began, .. }) = client.request else {
                continue;
            };
            let due = began + self.plan.timeout;
            if due > now {
                self.check = self.check.min(due);
                continue;
            }
            let of = |connection: &Connection| Loss::Stuck {
                bytes: connection.reader.bytes(),
                connected: !connection.socket.is_connecting,
            };
            if let Some(loss) = client.connection.as_ref().map(of) {
                self.lose(number, &loss, now);
            }
        }
    }

    /// A request is lost, and its connection is closed.
    pub(super) fn lose(&mut self, number: usize, loss: &Loss, now: Instant) {
        self.tally.lost(loss, now);
        self.under_way -= 1;
        if let Some(client) = self.clients.get_mut(number) {
            client.request = None;
            client.connection = None;
        }
        if let Loss::Refused(_) = loss {
            self.paused.push_back((now + REFUSED_PAUSE, number));
        } else {
            self.idle.push(number);
        }
    }
}

/// The data of an event of a client connection.
pub(super) const fn tagged(client: usize, serial: u32) -> u64 {
    (client as u64) << 32 | serial as u64
}

const fn untagged(data: u64) -> (usize, u32) {
    ((data >> 32) as usize, data as u32)
}

fn cannot_wait(errno: Errno) -> String {
    format!("cannot wait for sockets and signals: {errno}")
}
