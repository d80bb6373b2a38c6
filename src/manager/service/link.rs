//! The queue of messages to the service manager. It may not read at present: nothing waits for it.

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::time::Duration;

use crate::error::Result;
use crate::sys::service::notify::Notifier;
use crate::sys::{clock, process};

/// When sending is tried again, at first and at most.
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// A message, which may have a socket with it.
#[derive(Debug)]
pub struct Message<S> {
    text: String,
    socket: Option<S>,
}

impl<S> Message<S> {
    /// A message of another process of this service.
    #[must_use]
    pub const fn forwarded(text: String, socket: Option<S>) -> Self {
        Self { text, socket }
    }

    const fn new(text: String) -> Self {
        Self::forwarded(text, None)
    }

    /// This process is the main one of the service, which serves.
    #[must_use]
    pub fn ready() -> Self {
        let pid = process::pid();
        Self::new(format!("READY=1\nMAINPID={pid}"))
    }

    /// A reload has begun.
    #[must_use]
    pub fn reloading() -> Self {
        let now = clock::now().as_micros();
        Self::new(format!("RELOADING=1\nMONOTONIC_USEC={now}"))
    }

    /// The service stops.
    #[must_use]
    pub fn stopping() -> Self {
        Self::new("STOPPING=1".to_owned())
    }

    /// The service manager shall wait for at least this long.
    pub(super) fn extension(time: Duration) -> Self {
        let time = time.as_micros();
        Self::new(format!("EXTEND_TIMEOUT_USEC={time}"))
    }

    /// What the service does, in one line.
    #[must_use]
    pub fn status(text: &str) -> Self {
        Self::new(format!("STATUS={text}"))
    }

    /// The service does not hang.
    #[must_use]
    pub fn watchdog() -> Self {
        Self::new("WATCHDOG=1".to_owned())
    }

    /// The service manager shall keep the socket.
    pub(super) fn store(name: &str, socket: S) -> Self {
        Self::forwarded(format!("FDSTORE=1\nFDNAME={name}"), Some(socket))
    }

    /// The service manager shall close the socket with this name.
    #[must_use]
    pub fn remove(name: &str) -> Self {
        Self::new(format!("FDSTOREREMOVE=1\nFDNAME={name}"))
    }

    /// What it is about. Of each kind only the latest state matters.
    fn kind(&self) -> &str {
        self.text.split('=').next().unwrap_or_default()
    }

    /// Messages about sockets replace nothing.
    fn replaces(&self, other: &Self) -> bool {
        self.kind() == other.kind() && !self.kind().starts_with("FDSTORE")
    }
}

impl<S: AsFd> Message<S> {
    /// Sends it once, and does not try again.
    pub(super) fn send_to(&self, notifier: &Notifier) -> Result<bool> {
        notifier.send(&self.text, self.socket.as_ref().map(S::as_fd))
    }
}

/// The messages that have not been sent yet.
#[derive(Debug)]
pub struct Link<S> {
    notifier: Notifier,
    queue: VecDeque<Message<S>>,
    /// The last message could not be sent: when to try again, and the time until the attempt after
    /// that one.
    retry: Option<(Duration, Duration)>,
    /// The last message was refused, which was logged.
    is_refused: bool,
}

impl<S: AsFd> Link<S> {
    /// The service manager of this process, if it has one.
    ///
    /// # Errors
    /// `NOTIFY_SOCKET` has an invalid value, or there is no socket.
    pub fn from_environment() -> Result<Option<Self>> {
        let notifier = Notifier::from_environment()?;
        Ok(notifier.map(|notifier| Self {
            notifier,
            queue: VecDeque::new(),
            retry: None,
            is_refused: false,
        }))
    }

    /// Adds a message. It replaces one of its kind that waits.
    pub fn push(&mut self, message: Message<S>) {
        self.queue.retain(|other| !message.replaces(other));
        self.queue.push_back(message);
    }

    /// Sockets that were not sent yet stay this process's.
    pub(super) fn forget_sockets(&mut self) {
        self.queue.retain(|message| message.socket.is_none());
    }

    /// When to try again, on the clock of [`flush`](Self::flush).
    #[must_use]
    pub fn retry_at(&self) -> Option<Duration> {
        self.retry.map(|(at, _)| at)
    }

    /// Sends what waits, and hands over the sockets that were sent. Returns a line for the log when the
    /// service manager begins to refuse messages: then they are dropped.
    pub fn flush(&mut self, now: Duration, mut was_sent: impl FnMut(S)) -> Option<String> {
        if self.retry.is_some_and(|(at, _)| now < at) {
            return None;
        }
        let mut line = None;
        while let Some(message) = self.queue.front() {
            let sent = message.send_to(&self.notifier);
            if sent == Ok(false) {
                let pause = self.retry.map_or(RETRY_MIN, |(_, pause)| pause);
                self.retry = Some((now + pause, (pause * 2).min(RETRY_MAX)));
                return line;
            }
            let socket = self.queue.pop_front().and_then(|message| message.socket);
            match sent {
                Ok(_) => {
                    socket.into_iter().for_each(&mut was_sent);
                    self.is_refused = false;
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.is_refused, true) {
                        line = Some(format!("{error}; messages to it are dropped"));
                    }
                }
            }
        }
        self.retry = None;
        line
    }
}
