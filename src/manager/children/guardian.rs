//! Who tells the workers that the manager has ended.
//!
//! The kernel would send each of them a signal (PR_SET_PDEATHSIG), and in one that serves a request that signal ends
//! the application's own poll(2) or sleep(3) with EINTR, whatever its handler was installed with (signal(7)). So a
//! guardian does it, which sees in their pages who waits: it sets a flag in each page, and wake_ups only those. It knows
//! the workers that there were when it was started, so another one takes over when there are new ones. Until a worker
//! knows that it has a guardian, and if none can be had, the kernel tells.

use std::os::fd::{AsRawFd as _, BorrowedFd, RawFd};
use std::time::Duration;

use crate::manager::event::Event;
use crate::manager::event_loop::{EventLoop, Source};
use crate::sys::clock;
use crate::sys::fd::poll;
use crate::sys::process::child::Child;
use crate::sys::process::guardian::Guardian;
use crate::sys::signal::wakeup;
use crate::worker::{Activity, Page};

/// Workers that start at nearly the same time get one guardian.
const GATHERING: Duration = Duration::from_millis(5);

/// The least time between two guardians.
const PAUSE: Duration = Duration::from_millis(100);

/// How often a guardian is looked for that has nothing open, and has not ended.
const LOOK: Duration = Duration::from_millis(20);

/// A guardian's wake_ups: the first pause, the longest one, and how long it goes on. What waits for so long cannot be
/// reached.
const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(640);
const LIMIT: Duration = Duration::from_secs(60);

/// The guardian, and what it knows.
#[derive(Debug, Default)]
pub(in crate::manager) struct Guarding {
    guardian: Option<Guardian>,
    /// The workers that it knows, by slot and pid.
    known: Vec<(usize, i32)>,
    /// Others have taken over from these.
    dismissed: Vec<Guardian>,
    /// When the next one is to be started.
    due: Option<Duration>,
    /// None is started before this time.
    gate: Duration,
    /// None could be started the last time.
    has_failed: bool,
}

impl Guarding {
    /// What becomes readable when a guardian has ended.
    pub(in crate::manager) fn watched(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.guardian.iter().map(Guardian::channel)
    }

    /// When there is something to do.
    pub(in crate::manager) fn deadline(&self, now: Duration) -> Option<Duration> {
        let look = (!self.dismissed.is_empty()).then(|| now + LOOK);
        self.due.into_iter().chain(look).min()
    }

    /// The manager has stopped, and there are no workers.
    pub(in crate::manager) fn end(&mut self) {
        let guardians = self.guardian.take().into_iter();
        guardians
            .chain(self.dismissed.drain(..))
            .for_each(Guardian::end);
    }
}

impl EventLoop {
    /// Sees to it that there is a guardian, which knows all workers.
    pub(in crate::manager) fn guard(&mut self, ready: &[Source]) {
        self.guarding.dismissed.retain(|one| !one.is_reaped());
        if ready.contains(&Source::Guardian)
            && let Some(ended) = self.guarding.guardian.take_if(|one| one.has_ended())
        {
            // Somebody has killed it.
            self.guarding.dismissed.push(ended);
            self.guarding.known.clear();
            self.set_guarded(false);
        }
        let known = &self.guarding.known;
        let all_are_known = self
            .guardable()
            .all(|(slot, child)| known.contains(&(slot, child.pid())));
        if all_are_known || self.stopped {
            self.guarding.due = None;
            return;
        }
        let now = self.now();
        let due = *self
            .guarding
            .due
            .get_or_insert((now + GATHERING).max(self.guarding.gate));
        if due <= now {
            self.start_guardian();
            self.guarding.due = None;
            self.guarding.gate = self.now() + PAUSE;
        }
    }

    /// The workers that a guardian could reach when this process is gone: only a descriptor names them for certain
    /// then.
    fn guardable(&self) -> impl Iterator<Item = (usize, &Child)> {
        self.children().filter(|(_, child)| child.pidfd().is_some())
    }

    fn start_guardian(&mut self) {
        let workers: Vec<Orphan<'_>> = self
            .guardable()
            .filter_map(|(slot, child)| {
                Some(Orphan {
                    child,
                    pidfd: child.pidfd()?,
                    page: self.page(slot),
                })
            })
            .collect();
        let keep: Vec<RawFd> = workers.iter().map(|one| one.pidfd.as_raw_fd()).collect();
        let known = self
            .guardable()
            .map(|(slot, child)| (slot, child.pid()))
            .collect();
        match Guardian::start(keep, || tell(workers)) {
            Ok(guardian) => {
                let before = self.guarding.guardian.replace(guardian);
                self.guarding.known = known;
                self.guarding.has_failed = false;
                self.set_guarded(true);
                if let Some(before) = before {
                    before.dismiss();
                    self.guarding.dismissed.push(before);
                }
            }
            Err(error) => {
                if !self.guarding.has_failed {
                    self.publish(Event::notice(format!(
                        "{error}; if the manager dies, requests may be interrupted; tried again when a worker is started"
                    )));
                }
                self.guarding.has_failed = true;
            }
        }
    }

    /// Tells the workers whom the guardian knows whether it is there.
    fn set_guarded(&self, is_guarded: bool) {
        for (slot, child) in self.guardable() {
            let is_known = self.guarding.known.contains(&(slot, child.pid()));
            self.page(slot).set_guarded(is_guarded && is_known);
        }
    }
}

/// A worker, as the guardian knows it.
struct Orphan<'a> {
    child: &'a Child,
    pidfd: BorrowedFd<'a>,
    page: &'a Page,
}

impl Orphan<'_> {
    /// Whether a request loop waits. The others look at their page before they do.
    fn may_wait(&self) -> bool {
        match self.page.activity() {
            Some(Activity::Starting | Activity::Finished | Activity::Leaving) => false,
            Some(Activity::Idle | Activity::Reading | Activity::Busy) | None => {
                !self.page.only_serves()
            }
        }
    }
}

/// In the guardian, when the manager has ended: tells the workers, until nobody waits.
fn tell(mut workers: Vec<Orphan<'_>>) {
    for worker in &workers {
        worker.page.orphan();
    }
    let begin = clock::now();
    let mut pause = FIRST;
    // Who was between two states at the last look is looked at once more.
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
