//! Notifies the workers when the manager has ended.
//!
//! The kernel could send each of them a signal (PR_SET_PDEATHSIG). But in a worker that serves a
//! request, a signal ends the application's own poll(2) or sleep(3) with EINTR, whatever the flags of
//! its handler (signal(7)). So a guardian does it. It sees in their pages which workers wait, sets a
//! flag in each page, and wakes only those. It knows the workers that existed when it was started, so
//! a new guardian replaces it when there are new workers. Until a worker knows that it has a guardian,
//! and where none can be started, the kernel sends the signal.

use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};
use std::time::Duration;

use super::Children;
use crate::manager::event::Event;
use crate::manager::pool_clock::PoolClock;
use crate::manager::watch::{REAP_INTERVAL, Source, Watch};
use crate::sys::clock;
use crate::sys::fd::poll;
use crate::sys::process::child::Child;
use crate::sys::process::guardian::Guardian;
use crate::sys::signal::wakeup;
use crate::worker::{Activity, Page, Scoreboard};

/// Workers that start within this time get one guardian.
const GATHERING: Duration = Duration::from_millis(5);

/// The minimum time between two guardians.
const PAUSE: Duration = Duration::from_millis(100);

/// Wake-ups by a guardian: the first pause, the longest one, and the time after which it ends. A worker
/// that still waits then cannot be reached.
const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(640);
const LIMIT: Duration = Duration::from_secs(60);

/// The guardian of the workers.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    guardian: Option<Guardian>,
    /// The workers that it knows, by slot and pid.
    known: Vec<(usize, i32)>,
    /// Others have replaced these, which have not been reaped.
    dismissed: Vec<Guardian>,
    /// When the next one is to be started.
    due: Option<Duration>,
    /// None is started before this time.
    not_before: Duration,
    /// The last attempt to start one failed.
    has_failed: bool,
}

impl Guard {
    pub(crate) fn watch<'a>(&'a self, watch: &mut Watch<'a>) {
        if let Some(guardian) = &self.guardian {
            watch.add(Source::Guardian, guardian.channel());
        }
        if !self.dismissed.is_empty() {
            watch.until(Some(watch.now() + REAP_INTERVAL));
        }
        watch.until(self.due);
    }

    /// The manager has stopped, and there are no workers.
    pub(crate) fn end(&mut self) {
        let guardians = self.guardian.take().into_iter();
        guardians
            .chain(self.dismissed.drain(..))
            .for_each(Guardian::end);
    }

    /// Reaps dismissed guardians, and one that another process has killed.
    pub(crate) fn reap(&mut self, is_ready: bool, children: &Children, scoreboard: &Scoreboard) {
        self.dismissed.retain(|one| !one.is_reaped());
        if let Some(ended) = self.guardian.take_if(|one| is_ready && one.has_ended()) {
            self.dismissed.push(ended);
            self.known.clear();
            self.set_guarded(children, scoreboard, false);
        }
    }

    /// Ensures that there is a guardian, or will be, that knows all workers. Returns a line for the
    /// log if none can be started.
    pub(crate) fn ensure(
        &mut self,
        clock: PoolClock,
        children: &Children,
        scoreboard: &Scoreboard,
    ) -> Option<Event> {
        if guardable(children).all(|(slot, child)| self.knows(slot, child)) {
            self.due = None;
            return None;
        }
        let now = clock.now();
        let due = *self
            .due
            .get_or_insert((now + GATHERING).max(self.not_before));
        if due > now {
            return None;
        }
        let failure = self.start(children, scoreboard);
        self.due = None;
        self.not_before = clock.now() + PAUSE;
        failure
    }

    /// The pool has stopped: no guardian is needed.
    pub(crate) fn cancel(&mut self) {
        self.due = None;
    }

    fn start(&mut self, children: &Children, scoreboard: &Scoreboard) -> Option<Event> {
        let workers: Vec<Orphan<'_>> = guardable(children)
            .filter_map(|(slot, child)| {
                Some(Orphan {
                    child,
                    pidfd: child.pidfd()?,
                    page: scoreboard.page(slot),
                })
            })
            .collect();
        let keep: Vec<RawFd> = workers.iter().map(|one| one.pidfd.as_raw_fd()).collect();
        let known = guardable(children).map(|(slot, child)| (slot, child.pid()));
        let known = known.collect();
        match Guardian::start(keep, || notify(workers)) {
            Ok(guardian) => {
                let before = self.guardian.replace(guardian);
                self.known = known;
                self.has_failed = false;
                self.set_guarded(children, scoreboard, true);
                if let Some(before) = before {
                    before.dismiss();
                    self.dismissed.push(before);
                }
                None
            }
            Err(error) => {
                let is_first = !std::mem::replace(&mut self.has_failed, true);
                is_first.then(|| {
                    Event::warning(format!(
                        "{error}; if the manager dies, requests may be interrupted; \
                         trying again when a worker starts"
                    ))
                })
            }
        }
    }

    fn knows(&self, slot: usize, child: &Child) -> bool {
        self.known.contains(&(slot, child.pid()))
    }

    /// Tells the workers whether the guardian exists and knows them.
    fn set_guarded(&self, children: &Children, scoreboard: &Scoreboard, is_guarded: bool) {
        for (slot, child) in guardable(children) {
            let is_guarded = is_guarded && self.knows(slot, child);
            scoreboard.page(slot).set_guarded(is_guarded);
        }
    }
}

/// The workers that a guardian can reach after the end of this process: only a pidfd names a process
/// for certain then.
fn guardable(children: &Children) -> impl Iterator<Item = (usize, &Child)> {
    children.iter().filter(|(_, child)| child.pidfd().is_some())
}

/// A worker, as the guardian knows it.
struct Orphan<'a> {
    child: &'a Child,
    pidfd: BorrowedFd<'a>,
    page: &'a Page,
}

impl Orphan<'_> {
    /// Whether a request loop may be waiting. The others read their page before they wait.
    fn may_wait(&self) -> bool {
        match self.page.activity() {
            Some(Activity::Starting | Activity::Finished | Activity::Exiting) => false,
            Some(Activity::Idle | Activity::Reading | Activity::Busy) | None => {
                !self.page.only_serves()
            }
        }
    }
}

/// In the guardian, when the manager has ended: wakes the workers until none of them waits.
fn notify(mut workers: Vec<Orphan<'_>>) {
    for worker in &workers {
        worker.page.orphan();
    }
    let begin = clock::now();
    let mut pause = FIRST;
    // A worker that was between two states is checked once more.
    let mut quiet = 0;
    while quiet < 2 && clock::now().saturating_sub(begin) < LIMIT {
        let mut ended = Vec::new();
        poll::wait(
            workers.iter().map(|worker| worker.pidfd),
            Some(Duration::ZERO),
            &mut ended,
        );
        for position in ended.into_iter().rev() {
            workers.swap_remove(position);
        }
        if workers.is_empty() {
            return;
        }
        quiet += 1;
        for worker in &workers {
            if worker.may_wait() {
                quiet = 0;
                worker.child.signal(wakeup::WAKE_SIGNAL);
            }
        }
        poll::wait(
            workers.iter().map(|worker| worker.pidfd),
            Some(pause),
            &mut Vec::new(),
        );
        pause = (pause * 2).min(LONGEST);
    }
}
