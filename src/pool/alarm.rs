//! The emergency: workers are wanted, and none is ready.

use std::time::Duration;

use super::answer::{Action, Notice};
use super::config::Sizing;
use super::machine::Pool;
use super::phase::{Emergency, Phase, Starts};
use super::slot::Slot;

impl Pool {
    /// Reports when no worker is ready although some are wanted, and when one is again.
    pub(super) fn alarm(&mut self, now: Duration, actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Running => {}
            Phase::New | Phase::Stopping | Phase::Stopped => return,
        }
        let empty = self.is_empty();
        // With `ondemand` it is normal that no worker is ready when a connection arrives.
        let is_fine = self.starts == Starts::Succeed;
        let expected = match self.config.sizing {
            Sizing::OnDemand { .. } => is_fine,
            Sizing::Static | Sizing::Dynamic { .. } => {
                is_fine && (!self.had_ready || now < self.calm_until)
            }
        };
        if empty && self.wanted > 0 && !expected && self.emergency == Emergency::None {
            self.emergency = Emergency::Reported;
            actions.push(Action::Notice(Notice::Emptied));
        } else if !empty && self.emergency == Emergency::Reported {
            self.emergency = Emergency::None;
            actions.push(Action::Notice(Notice::Recovered));
        }
    }

    /// When it becomes an emergency that no worker is ready.
    pub(super) fn alarm_at(&self, now: Duration) -> Option<Duration> {
        let is_near = self.phase == Phase::Running
            && self.emergency == Emergency::None
            && now < self.calm_until;
        (is_near && self.is_empty()).then_some(self.calm_until)
    }

    /// Whether no worker is ready.
    fn is_empty(&self) -> bool {
        !self.slots.iter().any(|slot| matches!(slot, Slot::Ready(_)))
    }
}
