//! What the manager reports to its service manager (systemd), if it has one: sd_notify(3).
//!
//! It is notified of what the pool does, and sends messages at the end of a turn. It decides nothing
//! about the workers. A manager with nothing to do is woken for the watchdog only.

mod link;
mod status;

use std::time::Duration;

pub use self::link::{Link, Message};
use self::status::Status;
pub(super) use self::status::View;
use crate::error::{Error, Result};
use crate::manager::event::Event;
use crate::pool::{Notice, SlotState};
use crate::server::listen;
use crate::sys::fd::listen_fd::ListenFd;
use crate::sys::service::notify::{self, Notifier};
use crate::worker::Activity;

/// While a stop answers requests, the service manager waits for at least this much longer.
const EXTENSION: Duration = Duration::from_secs(15);

/// How often that is asked for.
const EXTENSION_INTERVAL: Duration = Duration::from_secs(5);

/// The minimum time between two messages for the watchdog.
const BEAT_MIN: Duration = Duration::from_millis(10);

/// What the service manager knows of the pool.
///
/// | phase | event | next phase |
/// |---|---|---|
/// | Starting | the first worker is ready; with `ondemand`, the manager runs | Serving |
/// | Serving | a reload begins | Reloading |
/// | Reloading | all new workers are ready | Rolled |
/// | Reloading, Rolled | the old workers have exited, or the reload fails | Serving |
/// | Rolled | no old worker waits for a request | Serving |
/// | Rolled | another reload begins | Reloading |
/// | any | the pool stops | Stopping |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Serving,
    Reloading,
    Rolled,
    Stopping,
}

#[derive(Debug)]
struct Watchdog {
    interval: Duration,
    due: Duration,
}

/// The manager's side of the protocol.
#[derive(Debug)]
pub(super) struct Service {
    /// `None`: there is no service manager.
    link: Option<Link<ListenFd<'static>>>,
    phase: Phase,
    /// No worker is expected before a request.
    is_on_demand: bool,
    watchdog: Option<Watchdog>,
    /// When the time for a stop is extended next.
    extend_at: Duration,
    status: Status,
}

impl Service {
    /// Finds the service manager. It keeps the listening sockets of this process from now on, if it
    /// has room for them. Also returns lines for the log.
    pub(super) fn connect(is_on_demand: bool) -> (Self, Vec<String>) {
        let mut lines = Vec::new();
        let link = or_line(Link::from_environment(), &mut lines);
        let watchdog = link
            .as_ref()
            .and_then(|_| or_line(notify::watchdog(), &mut lines))
            .map(|interval| Watchdog {
                interval: (interval / 2).max(BEAT_MIN),
                due: Duration::ZERO,
            });
        let mut this = Self {
            link,
            phase: Phase::Starting,
            is_on_demand,
            watchdog,
            extend_at: Duration::ZERO,
            status: Status::default(),
        };
        this.store_sockets(&mut lines);
        lines.extend(this.flush(Duration::ZERO));
        (this, lines)
    }

    /// Reports a process that serves without a manager.
    pub(super) fn announce() -> Result<()> {
        let Some(notifier) = Notifier::from_environment()? else {
            return Ok(());
        };
        match Message::<ListenFd<'_>>::ready().send_to(&notifier)? {
            true => Ok(()),
            false => Err(Error::system("message READY=1", libc::EAGAIN)),
        }
    }

    /// Sockets of an earlier start that are not used any more would collect connections for ever.
    fn store_sockets(&mut self, lines: &mut Vec<String>) {
        let Some(link) = &mut self.link else { return };
        for name in listen::close_stale() {
            lines.push(format!(
                "the service manager has kept the socket {name}, which is no longer used: it is removed"
            ));
            link.push(Message::remove(&name));
        }
        let room = or_line(notify::store_size().map(Some), lines).unwrap_or(0);
        if room == 0 {
            return;
        }
        let kept = listen::count_stored();
        for (number, socket) in (kept..).zip(listen::storable()) {
            if number < room {
                link.push(Message::store(&socket.name, socket.listener));
            } else {
                lines.push(format!(
                    "the service manager has no room for the socket {}: set \
                     FileDescriptorStoreMax= to the number of sockets",
                    socket.name
                ));
            }
        }
    }

    /// Something happened. Of a worker that has exited, `requests` is the number that it has served.
    pub(super) fn notice(&mut self, notice: Notice, event: &Event, requests: u64) {
        match notice {
            Notice::Ready { .. } if self.phase == Phase::Starting => self.serve(),
            Notice::ReloadBegun => self.reload_begun(),
            Notice::ReloadRolled { .. } if self.phase == Phase::Reloading => {
                self.phase = Phase::Rolled;
            }
            Notice::ReloadDone => {
                self.status.reload_done();
                self.end_reload();
            }
            Notice::ReloadFailed { .. } => self.reload_failed(event),
            // It may have begun to count the time of the stop.
            Notice::Draining { delay } => {
                self.push(Message::extension(delay.saturating_add(EXTENSION)));
            }
            Notice::Stopping => {
                self.phase = Phase::Stopping;
                if let Some(link) = &mut self.link {
                    link.forget_sockets();
                }
                self.push(Message::stopping());
            }
            Notice::Exited { .. } => self.status.worker_exited(requests),
            Notice::Started { .. }
            | Notice::Ready { .. }
            | Notice::ReloadQueued
            | Notice::ReloadRolled { .. }
            | Notice::Killing { .. }
            | Notice::BackingOff { .. }
            | Notice::DeparturesLimited { .. }
            | Notice::ForkFailed { .. }
            | Notice::Resized { .. }
            | Notice::Sized { .. }
            | Notice::Slow { .. }
            | Notice::Overdue { .. }
            | Notice::Recycling { .. }
            | Notice::Emptied
            | Notice::Recovered => {}
        }
        self.status.changed();
    }

    /// A reload of the program has begun, or one of the pool.
    pub(super) fn reload_begun(&mut self) {
        self.status.reload_begun();
        // One that has never served is still starting.
        if matches!(self.phase, Phase::Serving | Phase::Rolled) {
            self.phase = Phase::Reloading;
            self.push(Message::reloading());
        }
    }

    /// It has failed.
    pub(super) fn reload_failed(&mut self, event: &Event) {
        self.status.reload_failed(&event.message);
        self.end_reload();
    }

    fn end_reload(&mut self) {
        if matches!(self.phase, Phase::Reloading | Phase::Rolled) {
            self.serve();
        }
    }

    fn serve(&mut self) {
        self.phase = Phase::Serving;
        self.push(Message::ready());
    }

    fn push(&mut self, message: Message<ListenFd<'static>>) {
        if let Some(link) = &mut self.link {
            link.push(message);
            self.status.due_now();
        }
    }

    /// When something is to be sent if nothing happens before.
    pub(super) fn wake_at(&self) -> Option<Duration> {
        let link = self.link.as_ref()?;
        let watchdog = self.watchdog.as_ref().map(|watchdog| watchdog.due);
        let extension = (self.phase == Phase::Stopping).then_some(self.extend_at);
        let times = [link.retry_at(), watchdog, extension, self.status.due_at()];
        times.into_iter().flatten().min()
    }

    /// The end of a turn: sends what is due. Returns a line for the log.
    pub(super) fn publish(&mut self, view: &View<'_>) -> Option<String> {
        self.link.as_ref()?;
        let now = view.now;
        match self.phase {
            Phase::Starting if self.is_on_demand => self.serve(),
            Phase::Rolled if !is_old_worker_idle(view) => self.serve(),
            Phase::Stopping if self.extend_at <= now => {
                self.extend_at = now + EXTENSION_INTERVAL;
                self.push(Message::extension(EXTENSION));
            }
            Phase::Starting
            | Phase::Serving
            | Phase::Reloading
            | Phase::Rolled
            | Phase::Stopping => {}
        }
        if let (Some(watchdog), Some(link)) = (&mut self.watchdog, &mut self.link) {
            if watchdog.due <= now {
                watchdog.due = now + watchdog.interval;
                link.push(Message::watchdog());
            }
        }
        let end = match self.phase {
            Phase::Stopping => "stopping: ",
            _ if view.pool.is_draining() => "draining: ",
            _ => "",
        };
        if let Some(text) = self.status.text(view, end) {
            if let Some(link) = &mut self.link {
                link.push(Message::status(&text));
            }
        }
        self.flush(now)
    }

    fn flush(&mut self, now: Duration) -> Option<String> {
        self.link.as_mut()?.flush(now, listen::stored)
    }
}

/// The value; an error is a line for the log.
fn or_line<T>(result: Result<Option<T>>, lines: &mut Vec<String>) -> Option<T> {
    result.unwrap_or_else(|error| {
        lines.push(error.message().to_owned());
        None
    })
}

/// Whether a worker of an older generation may still accept a request: it has not noticed that it was
/// asked to exit, or it reports nothing.
fn is_old_worker_idle(view: &View<'_>) -> bool {
    let mut retiring = view
        .children
        .iter()
        .filter(|(slot, _)| view.pool.state(*slot) == SlotState::Retiring);
    retiring.any(|(slot, _)| match view.scoreboard.page(slot).activity() {
        Some(Activity::Idle | Activity::Starting) | None => true,
        Some(Activity::Reading | Activity::Busy | Activity::Finished | Activity::Exiting) => false,
    })
}
