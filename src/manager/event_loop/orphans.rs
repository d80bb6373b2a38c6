//! Children that the manager did not start: orphans of its descendants, which it has to reap if it is
//! PID 1 or a subreaper.

use crate::sys::process::adopted;
use crate::sys::signal::handlers::Signals;

/// | state | event | next state |
/// |---|---|---|
/// | Ignored | this process is a reaper, or becomes one for a template | Pending |
/// | None | SIGCHLD | Pending |
/// | Pending | all that have exited are reaped | None |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Not this process's to reap.
    #[default]
    Ignored,
    None,
    /// Some may have exited.
    Pending,
}

#[derive(Debug, Default)]
pub(super) struct Orphans {
    state: State,
    /// Children that the host had before this process became a reaper.
    of_host: Vec<i32>,
}

impl Orphans {
    /// From now on they are reaped.
    pub(super) fn reap_from_now(&mut self, signals: &mut Signals) {
        signals.watch_children();
        self.state = State::Pending;
    }

    /// This process is about to become a reaper, if it is none yet. Its children, without these workers,
    /// are the host's.
    pub(super) fn begin(&mut self, signals: &mut Signals, workers: impl Iterator<Item = i32>) {
        if self.state == State::Ignored {
            let workers: Vec<_> = workers.collect();
            let all = adopted::children().into_iter();
            self.of_host = all.filter(|pid| !workers.contains(pid)).collect();
            self.reap_from_now(signals);
        }
    }

    /// SIGCHLD arrived.
    pub(super) fn child_has_exited(&mut self) {
        if self.state == State::None {
            self.state = State::Pending;
        }
    }

    pub(super) fn is_pending(&self) -> bool {
        self.state == State::Pending
    }

    /// Reaps them. The manager's own children are known, and must be reaped first, one by one.
    pub(super) fn reap(&mut self, known: impl Iterator<Item = i32>) {
        if self.state == State::Pending {
            let known: Vec<_> = known.chain(self.of_host.iter().copied()).collect();
            if adopted::reap(|pid| known.contains(&pid)) {
                self.state = State::None;
            }
        }
    }
}
