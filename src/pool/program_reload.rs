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
//! | Replacing | ended, or not ready in time | Lost: start again after a pause |
//! | Lost | the pause is over | Replacing: start |
//! | any | stop | Idle: end what has not become the source |

use std::time::Duration;

use super::answer::{Action, Cause};
use super::config::Config;
use super::machine::Pool;
use super::phase::Reload;

/// The pause before a lost template is started again.
const PAUSE: Duration = Duration::from_secs(1);

/// A template. Numbers are never reused.
pub type TemplateId = u64;

/// What the workers are copies of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The manager itself.
    Manager,
    /// A template that is ready.
    Template(TemplateId),
    /// The template has ended, and there is no other one yet: no worker can be forked.
    Lost,
}

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramEvent {
    /// A reload of the program is requested.
    Requested,
    /// A template is ready to fork workers.
    Ready(TemplateId),
    /// A template has ended, or could not be started.
    Ended(TemplateId),
    /// The pool's reload has failed.
    PoolFailed,
    /// The pool stops.
    Stop,
    /// Time has passed; whether the pool is replacing its workers.
    Tick {
        /// A reload of the pool is in progress.
        is_rolling: bool,
    },
}

/// What is to be done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgramAction {
    /// Start this template.
    Start(TemplateId),
    /// End this template. It may have ended already.
    End(TemplateId),
    /// Begin a reload of the pool.
    ReloadPool,
    /// The pool's reload is done: what the new program has set applies.
    Adopt,
    /// It has failed: what was set before applies again.
    Revert,
    /// End the reload of the pool as failed.
    FailPool,
    /// Report that the reload has failed, because this template did.
    ReportFailed {
        /// The template.
        template: TemplateId,
        /// It was not ready in time.
        timed_out: bool,
    },
    /// Report that the source of workers has ended, and is started again.
    ReportLost(TemplateId),
    /// Report that the attempt to start it again has failed, and when the next one is made.
    ReportStillLost {
        /// The template.
        template: TemplateId,
        /// The time until the next attempt.
        pause: Duration,
    },
}

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
    source: Source,
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
            again: false,
            last: 0,
            start_timeout,
            is_stopping: false,
        }
    }

    /// What the workers are copies of.
    #[must_use]
    pub const fn source(&self) -> Source {
        self.source
    }

    /// Whether a template is being started for a reload, or is ready and waits for the pool.
    #[must_use]
    pub const fn is_starting(&self) -> bool {
        matches!(self.phase, Phase::Starting { .. } | Phase::Ready { .. })
    }

    /// Whether nothing will happen without another event than a tick.
    #[must_use]
    pub const fn is_at_rest(&self) -> bool {
        matches!(self.phase, Phase::Idle) && !self.again
    }

    /// When a tick is due if nothing happens before.
    #[must_use]
    pub const fn deadline(&self) -> Option<Duration> {
        match self.phase {
            Phase::Starting { by, .. } | Phase::Replacing { by, .. } => by,
            Phase::Lost { retry_at } => Some(retry_at),
            Phase::Idle | Phase::Ready { .. } | Phase::Rolling { .. } => None,
        }
    }

    /// Handles one event, and appends the actions.
    pub fn handle(&mut self, now: Duration, event: ProgramEvent, actions: &mut Vec<ProgramAction>) {
        match event {
            ProgramEvent::Requested => self.requested(now, actions),
            ProgramEvent::Ready(template) => self.ready(template),
            ProgramEvent::Ended(template) => self.ended(now, template, false, actions),
            ProgramEvent::PoolFailed => self.pool_failed(now, actions),
            ProgramEvent::Stop => self.stop(actions),
            ProgramEvent::Tick { is_rolling } => self.tick(now, is_rolling, actions),
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
                actions.push(ProgramAction::End(new));
                actions.push(ProgramAction::ReportStillLost {
                    template,
                    pause: PAUSE,
                });
                self.phase = Phase::Lost {
                    retry_at: now + PAUSE,
                };
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
