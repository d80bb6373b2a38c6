//! Reloads of the whole program: which process the workers are copies of.
//!
//! A *template* is a process that runs the program up to where a manager would start, and then only
//! forks workers. The manager itself is the template of the first generation. A reload of the program
//! starts a new template, and, when that is ready, an ordinary reload of the pool. The template before
//! it ends when the new workers are ready, and serves again if they fail.
//!
//! | phase | event | next phase, actions |
//! |---|---|---|
//! | Idle, Lost | requested | Starting: start |
//! | Starting, Ready, Rolling, Replacing | requested | the same, and a reload afterwards |
//! | Starting | ready | Ready |
//! | Starting | ended, or not ready in time | Idle: end it, report the failure |
//! | Ready | the pool is in no reload | Rolling: it is the source from here on; reload the pool |
//! | Ready | ended | Idle: report the failure |
//! | Rolling | the pool has replaced its workers | Idle: adopt the options, end the source before |
//! | Rolling | the pool's reload failed | Idle: back to the source and the options before, end the new one |
//! | Rolling | the new source ended | Rolling: fail the pool's reload |
//! | Idle | the source ended | Replacing: start |
//! | Replacing | ready | Idle: it is the source |
//! | Replacing | ended, or not ready in time | Lost: start again after a pause; or the reload afterwards |
//! | Lost | the pause is over | Replacing: start |
//! | any | stop | Idle: end what has not become the source |
//!
//! A warm template, which a worker has forked, is the source meanwhile; see `refork`.

use std::time::Duration;

use super::answer::{Action, Cause};
use super::config::Config;
use super::machine::Pool;
use super::phase::Reload;
use super::program_event::{ProgramAction, ProgramEvent, Source, TemplateId};
use super::refork::Refork;

/// The pause before a lost template is started again.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Starting {
        new: TemplateId,
        by: Option<Duration>,
    },
    Ready {
        new: TemplateId,
    },
    Rolling {
        before: Source,
    },
    Replacing {
        new: TemplateId,
        by: Option<Duration>,
    },
    Lost {
        retry_at: Duration,
    },
}

/// The state machine.
#[derive(Debug)]
pub struct ProgramReload {
    phase: Phase,
    /// What workers are copies of that begin anew.
    source: Source,
    refork: Refork,
    /// Another reload was requested meanwhile.
    again: bool,
    last: TemplateId,
    start_timeout: Option<Duration>,
    is_stopping: bool,
}

impl ProgramReload {
    /// The manager is the source.
    #[must_use]
    pub const fn new(start_timeout: Option<Duration>) -> Self {
        Self {
            phase: Phase::Idle,
            source: Source::Manager,
            refork: Refork::new(),
            again: false,
            last: 0,
            start_timeout,
            is_stopping: false,
        }
    }

    /// From here on templates have this time to become ready.
    pub const fn set_start_timeout(&mut self, limit: Option<Duration>) {
        self.start_timeout = limit;
    }

    /// How long a template may take to become ready.
    #[must_use]
    pub const fn start_timeout(&self) -> Option<Duration> {
        self.start_timeout
    }

    /// What the workers are copies of.
    #[must_use]
    pub const fn source(&self) -> Source {
        match self.refork.source() {
            Some(template) => Source::Template(template),
            None => self.source,
        }
    }

    /// Whether a warm worker is to be reported.
    #[must_use]
    pub fn wants_refork(&self, now: Duration) -> bool {
        let is_idle = self.phase == Phase::Idle && !self.again && !self.is_stopping;
        is_idle && self.refork.is_wanted(now)
    }

    /// The pool replaces its workers by new ones.
    pub const fn pool_is_rolling(&mut self) {
        self.refork.forget_failures();
    }

    /// Whether a template is being started for a reload, or is ready and waits for the pool.
    #[must_use]
    pub const fn is_starting(&self) -> bool {
        matches!(self.phase, Phase::Starting { .. } | Phase::Ready { .. })
    }

    /// Whether nothing will happen without another event than a tick.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        self.phase == Phase::Idle && !self.again && self.refork.is_at_rest()
    }

    /// When a tick is due if nothing happens before.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        let reload = match self.phase {
            Phase::Starting { by, .. } | Phase::Replacing { by, .. } => by,
            Phase::Lost { retry_at } => Some(retry_at),
            Phase::Idle | Phase::Ready { .. } | Phase::Rolling { .. } => None,
        };
        reload.into_iter().chain(self.refork.deadline()).min()
    }

    /// Handles one event, and appends the actions.
    pub fn handle(&mut self, now: Duration, event: ProgramEvent, actions: &mut Vec<ProgramAction>) {
        match event {
            ProgramEvent::Requested => self.requested(now, actions),
            ProgramEvent::Ready(template) if self.refork.ready(now, template) => {
                actions.push(ProgramAction::Reforked(template));
            }
            ProgramEvent::Ready(template) => self.ready(template),
            ProgramEvent::Ended(template) => {
                if !self.refork.ended(now, template, actions) {
                    self.ended(now, template, false, actions);
                }
            }
            ProgramEvent::PoolFailed => self.pool_failed(now, actions),
            ProgramEvent::Stop => self.stop(actions),
            ProgramEvent::Warm { slot } if self.wants_refork(now) => {
                self.last += 1;
                let template = self.last;
                self.refork.begin(now, template, self.start_timeout);
                actions.push(ProgramAction::Refork { template, slot });
            }
            ProgramEvent::Warm { .. } => {}
            ProgramEvent::Tick {
                is_rolling,
                is_forking,
                are_failing,
            } => {
                self.refork.tick(now, is_rolling, are_failing, actions);
                self.tick(now, is_rolling || is_forking, actions);
            }
        }
    }

    fn begin(
        &mut self,
        now: Duration,
        actions: &mut Vec<ProgramAction>,
    ) -> (u64, Option<Duration>) {
        self.last += 1;
        actions.push(ProgramAction::Start(self.last));
        let by = self.start_timeout.map(|limit| now.saturating_add(limit));
        (self.last, by)
    }

    fn requested(&mut self, now: Duration, actions: &mut Vec<ProgramAction>) {
        if self.is_stopping {
            return;
        }
        match self.phase {
            Phase::Idle | Phase::Lost { .. } => {
                let (new, by) = self.begin(now, actions);
                self.phase = Phase::Starting { new, by };
            }
            Phase::Starting { .. }
            | Phase::Ready { .. }
            | Phase::Rolling { .. }
            | Phase::Replacing { .. } => self.again = true,
        }
    }

    fn replace(&mut self, now: Duration, actions: &mut Vec<ProgramAction>) {
        let (new, by) = self.begin(now, actions);
        self.phase = Phase::Replacing { new, by };
    }

    fn ready(&mut self, template: TemplateId) {
        match self.phase {
            Phase::Starting { new, .. } if new == template => self.phase = Phase::Ready { new },
            Phase::Replacing { new, .. } if new == template => {
                self.source = Source::Template(new);
                self.phase = Phase::Idle;
            }
            _ => {}
        }
    }

    fn ended(
        &mut self,
        now: Duration,
        template: TemplateId,
        timed_out: bool,
        actions: &mut Vec<ProgramAction>,
    ) {
        match self.phase {
            Phase::Starting { new, .. } | Phase::Ready { new } if new == template => {
                actions.push(ProgramAction::End(new));
                actions.push(ProgramAction::ReportFailed {
                    template,
                    timed_out,
                });
                self.finish(now, actions);
            }
            Phase::Replacing { new, .. } if new == template => {
                // A reload that was requested meanwhile is the next attempt.
                let pause = if self.again { Duration::ZERO } else { PAUSE };
                actions.push(ProgramAction::End(new));
                actions.push(ProgramAction::ReportStillLost { template, pause });
                if self.again {
                    self.finish(now, actions);
                } else {
                    self.phase = Phase::Lost {
                        retry_at: now + pause,
                    };
                }
            }
            Phase::Rolling { before } if before == Source::Template(template) => {
                // There is nothing to return to if the reload fails.
                self.phase = Phase::Rolling {
                    before: Source::Lost,
                };
            }
            Phase::Rolling { .. } if self.source == Source::Template(template) => {
                self.source = Source::Lost;
                actions.push(ProgramAction::FailPool);
            }
            // While another one starts, the reload replaces it. If that fails, it is started again.
            _ if self.source == Source::Template(template) => {
                self.source = Source::Lost;
                actions.push(ProgramAction::ReportLost(template));
                if self.phase == Phase::Idle && !self.is_stopping {
                    self.replace(now, actions);
                }
            }
            _ => {}
        }
    }

    fn pool_failed(&mut self, now: Duration, actions: &mut Vec<ProgramAction>) {
        self.refork.reload_failed(now);
        if let Phase::Rolling { before } = self.phase {
            actions.push(ProgramAction::Revert);
            if let Source::Template(new) = std::mem::replace(&mut self.source, before) {
                actions.push(ProgramAction::End(new));
            }
            self.finish(now, actions);
        }
    }

    /// The reload is over.
    fn finish(&mut self, now: Duration, actions: &mut Vec<ProgramAction>) {
        self.phase = Phase::Idle;
        let again = std::mem::take(&mut self.again) && !self.is_stopping;
        if again {
            let (new, by) = self.begin(now, actions);
            self.phase = Phase::Starting { new, by };
        } else if self.source == Source::Lost && !self.is_stopping {
            self.replace(now, actions);
        }
    }

    fn tick(&mut self, now: Duration, is_rolling: bool, actions: &mut Vec<ProgramAction>) {
        match self.phase {
            Phase::Starting { new, by: Some(by) } | Phase::Replacing { new, by: Some(by) }
                if by <= now =>
            {
                self.ended(now, new, true, actions);
            }
            Phase::Ready { new } if !is_rolling && !self.is_stopping => {
                let before = std::mem::replace(&mut self.source, Source::Template(new));
                self.phase = Phase::Rolling { before };
                self.refork.cool(actions);
                actions.push(ProgramAction::ReloadPool);
            }
            Phase::Rolling { before } if !is_rolling => {
                actions.push(ProgramAction::Adopt);
                if let Source::Template(old) = before {
                    actions.push(ProgramAction::End(old));
                }
                self.finish(now, actions);
            }
            Phase::Idle if self.again && !self.is_stopping => {
                self.again = false;
                self.requested(now, actions);
            }
            Phase::Lost { retry_at } if retry_at <= now && !self.is_stopping => {
                self.replace(now, actions);
            }
            _ => {}
        }
    }

    /// The source stays, for the last worker of a stop.
    fn stop(&mut self, actions: &mut Vec<ProgramAction>) {
        self.is_stopping = true;
        self.again = false;
        self.refork.stop(actions);
        match self.phase {
            Phase::Starting { new, .. } | Phase::Ready { new } | Phase::Replacing { new, .. } => {
                actions.push(ProgramAction::End(new));
            }
            Phase::Rolling {
                before: Source::Template(old),
            } => actions.push(ProgramAction::End(old)),
            Phase::Idle | Phase::Rolling { .. } | Phase::Lost { .. } => {}
        }
        self.phase = Phase::Idle;
    }
}

/// What a reload of the program needs of the pool.
impl Pool {
    /// Changes what the pool was created with, but for the number of workers
    /// ([`Event::Resize`](super::Event::Resize)) and the way in which it is chosen.
    pub fn reconfigure(&mut self, config: Config) {
        self.config = self.config.renewed(config);
    }

    /// Whether workers are being replaced by new ones.
    #[must_use]
    pub fn is_rolling(&self) -> bool {
        self.reload != Reload::None
    }

    pub(super) fn source_ended(&mut self, now: Duration, actions: &mut Vec<Action>) {
        match self.reload {
            Reload::Rolling { again } => {
                self.fail_reload(now, 0, Cause::SourceEnded, again, actions);
            }
            Reload::None => {}
        }
    }
}
