//! Connections that stand aside in a worker that is busy: whoever has nothing to do gets them.

use std::time::Duration;

use super::machine::Pool;
use super::slot::Slot;
use super::watch::Watch;
use super::{Action, Offers};

/// A request that runs for longer keeps nobody waiting.
const PATIENCE: Duration = Duration::from_millis(20);

/// The time between two looks while offers are made.
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Pool {
    /// Has the offers of busy workers passed on, while somebody waits for work; and where short requests come on
    /// several connections of one worker, has that one share them.
    pub(super) fn pass_offers_on(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let is_idle = |held: &Slot| held.serving().is_some_and(|held| held.watch.is_idle());
        let mut anybody = None;
        let has_looked = self.looked_at == now;
        let mut busy_with_several = Vec::new();
        for slot in 0..self.slots.len() {
            let Some(watch) = self.slots[slot].watch() else {
                continue;
            };
            let is_ripe = watch.is_running() && now >= watch.since().saturating_add(PATIENCE);
            if watch.offers != Offers::Now || !is_ripe {
                // Offers that come and go are short requests on one connection beside others.
                if watch.offers != Offers::None && has_looked {
                    busy_with_several.push(slot);
                }
                continue;
            }
            if !*anybody.get_or_insert_with(|| self.slots.iter().any(is_idle)) {
                return;
            }
            if let Some(watch) = self.slots[slot].watch_mut() {
                watch.offers = Offers::Lately;
            }
            actions.push(Action::ClaimOffers { slot });
        }
        // Who has waited from one look to the next will go on to.
        let is_unused = |held: &Slot| {
            let watch = held.serving().map(|held| &held.watch);
            let watch = watch.filter(|watch| watch.offers == Offers::None);
            let idle_since = watch.and_then(Watch::idle_since);
            idle_since.is_some_and(|since| since.saturating_add(LOOK_EVERY) <= now)
        };
        let unused = self.slots.iter().filter(|slot| is_unused(slot)).count();
        let shares = busy_with_several.into_iter().take(unused);
        actions.extend(shares.map(|slot| Action::Share { slot }));
    }

    /// When to look for offers: none is told of twice, so that nothing is told of for each request.
    pub(super) fn offers_look(&self, now: Duration) -> Option<Duration> {
        let watches = self.slots.iter().filter_map(Slot::watch);
        let looks = watches.filter_map(|watch| {
            let ripe = watch.since().saturating_add(PATIENCE);
            match watch.offers {
                Offers::None => None,
                Offers::Now if watch.is_running() && ripe > now => Some(ripe),
                Offers::Now | Offers::Lately => Some(now.max(self.looked_at + LOOK_EVERY)),
            }
        });
        looks.min()
    }
}
