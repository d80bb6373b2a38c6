//! The queue of messages to the service manager. It may not read at present: nothing waits for it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::error::Result;
use crate::server::listen::{self, Storable};
use crate::sys::service::notify::Notifier;
use crate::sys::{clock, process};

/// When sending is tried again, at first and at most.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// What a message is about. A later one of the same kind replaces one that waits: only the latest state
/// matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ready,
    Reloading,
    Stopping,
    Extension,
    Status,
    Watchdog,
    /// About one socket. It replaces nothing.
    Socket,
}

#[derive(Debug)]
pub(super) struct Message {
    kind: Kind,
    text: String,
    socket: Option<Storable>,
}

impl Message {
    const fn new(kind: Kind, text: String) -> Self {
        Self {
            kind,
            text,
            socket: None,
        }
    }

    pub(super) fn ready() -> Self {
        let pid = process::pid();
        Self::new(Kind::Ready, format!("READY=1\nMAINPID={pid}"))
    }

    pub(super) fn reloading() -> Self {
        let now = clock::now().as_micros();
        Self::new(
            Kind::Reloading,
            format!("RELOADING=1\nMONOTONIC_USEC={now}"),
        )
    }

    pub(super) fn stopping() -> Self {
        Self::new(Kind::Stopping, "STOPPING=1".to_owned())
    }

    /// The service manager shall wait for at least this long.
    pub(super) fn extension(time: Duration) -> Self {
        let time = time.as_micros();
        Self::new(Kind::Extension, format!("EXTEND_TIMEOUT_USEC={time}"))
    }

    pub(super) fn status(text: &str) -> Self {
        Self::new(Kind::Status, format!("STATUS={text}"))
    }

    pub(super) fn watchdog() -> Self {
        Self::new(Kind::Watchdog, "WATCHDOG=1".to_owned())
    }

    /// The service manager shall keep the socket.
    pub(super) fn store(socket: Storable) -> Self {
        let text = format!("FDSTORE=1\nFDNAME={}", socket.name);
        Self {
            socket: Some(socket),
            ..Self::new(Kind::Socket, text)
        }
    }

    /// The service manager shall close the socket with this name.
    pub(super) fn remove(name: &str) -> Self {
        Self::new(Kind::Socket, format!("FDSTOREREMOVE=1\nFDNAME={name}"))
    }

    /// Sends it once, and does not try again.
    pub(super) fn send_to(&self, notifier: &Notifier) -> Result<bool> {
        let socket = self.socket.as_ref();
        notifier.send(&self.text, socket.map(|socket| socket.listener.source()))
    }
}

#[derive(Debug)]
pub(super) struct Link {
    notifier: Notifier,
    queue: VecDeque<Message>,
    /// The last message could not be sent: when to try again, and the time until the attempt after
    /// that one.
    retry: Option<(Duration, Duration)>,
    /// The last message was refused, which was logged.
    is_refused: bool,
}

impl Link {
    pub(super) const fn new(notifier: Notifier) -> Self {
        Self {
            notifier,
            queue: VecDeque::new(),
            retry: None,
            is_refused: false,
        }
    }

    pub(super) fn push(&mut self, message: Message) {
        if message.kind != Kind::Socket {
            self.queue.retain(|other| other.kind != message.kind);
        }
        self.queue.push_back(message);
    }

    /// Sockets that were not sent yet stay this process's.
    pub(super) fn forget_sockets(&mut self) {
        self.queue.retain(|message| message.socket.is_none());
    }

    /// When to try again.
    pub(super) fn retry_at(&self) -> Option<Duration> {
        self.retry.map(|(at, _)| at)
    }

    /// Sends what waits. Returns a line for the log when the service manager begins to refuse it: then
    /// messages are dropped.
    pub(super) fn flush(&mut self, now: Duration) -> Option<String> {
        if self.retry.is_some_and(|(at, _)| now < at) {
            return None;
        }
        let mut line = None;
        while let Some(message) = self.queue.front() {
            match message.send_to(&self.notifier) {
                Ok(true) => {
                    if let Some(socket) = &message.socket {
                        listen::stored(socket);
                    }
                    self.is_refused = false;
                }
                Ok(false) => {
                    let pause = self.retry.map_or(RETRY_MIN, |(_, pause)| pause);
                    self.retry = Some((now + pause, (pause * 2).min(RETRY_MAX)));
                    return line;
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.is_refused, true) {
                        line = Some(format!("{error}; messages to it are dropped"));
                    }
                }
            }
            self.queue.pop_front();
        }
        self.retry = None;
        line
    }
}
