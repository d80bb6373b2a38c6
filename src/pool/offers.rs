//! Parked connections of busy workers go to idle workers.

use std::time::Duration;

use super::answer::Action;
use super::event::Offers;
use super::machine::Pool;
use super::slot::Slot;
use super::watch::Watch;

/// For a request of up to this long, parked connections wait.
const PATIENCE: Duration = Duration::from_millis(20);

/// The time between two polls while offers are made.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

impl Pool {
    /// Claims the offers of busy workers while another worker is idle. A worker with short requests on
    /// several connections is asked to hand one over.
    pub(super) fn distribute_offers(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let is_idle = |held: &Slot| held.serving().is_some_and(|held| held.watch.is_idle());
        let mut anybody = None;
        let has_polled = self.polled_at == now;
        let mut busy_with_several = Vec::new();
        for slot in 0..self.slots.len() {
            let Some(watch) = self.slots[slot].watch() else {
                continue;
            };
            let is_ripe = watch.is_running() && now >= watch.since().saturating_add(PATIENCE);
            if watch.offers != Offers::Now || !is_ripe {
                // Offers that come and go: short requests on one connection, with others parked.
                if watch.offers != Offers::None && has_polled {
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
        // A worker that waited from one poll to the next will probably continue to.
        let is_unused = |held: &Slot| {
            let watch = held.serving().map(|held| &held.watch);
            let watch = watch.filter(|watch| watch.offers == Offers::None);
            let idle_since = watch.and_then(Watch::idle_since);
            idle_since.is_some_and(|since| since.saturating_add(POLL_INTERVAL) <= now)
        };
        let unused = self.slots.iter().filter(|slot| is_unused(slot)).count();
        let rebalanced = busy_with_several.into_iter().take(unused);
        actions.extend(rebalanced.map(|slot| Action::Rebalance { slot }));
    }

    /// When to poll for offers. Workers do not notify the manager of further ones, so that not every
    /// request costs a notification.
    pub(super) fn offers_poll(&self, now: Duration) -> Option<Duration> {
        let watches = self.slots.iter().filter_map(Slot::watch);
        let polls = watches.filter_map(|watch| {
            let ripe = watch.since().saturating_add(PATIENCE);
            match watch.offers {
                Offers::None => None,
                Offers::Now if watch.is_running() && ripe > now => Some(ripe),
                Offers::Now | Offers::Lately => Some(now.max(self.polled_at + POLL_INTERVAL)),
            }
        });
        polls.min()
    }
}
