//! The events of the pool's notices.

use crate::manager::children::Children;
use crate::manager::connections::rescue::current_request;
use crate::manager::event::Event;
use crate::pool::{Config, Notice, Overdue};
use crate::worker::{Activity, Details, Page, Scoreboard};

pub(super) fn event_of(
    notice: Notice,
    config: &Config,
    children: &Children,
    scoreboard: &Scoreboard,
) -> Event {
    let pid = |slot| children.pid(slot);
    let request = |slot| request_of(scoreboard.page(slot));
    match notice {
        Notice::Started { slot } => Event::started(pid(slot)),
        Notice::Ready { slot } => Event::ready(pid(slot)),
        Notice::Exited { slot, exit } => Event::exited(pid(slot), children.status(slot), exit),
        Notice::ReloadBegun => Event::reload_begun(),
        Notice::ReloadQueued => Event::reload_queued(),
        Notice::ReloadRolled { old } => Event::reload_rolled(old),
        Notice::ReloadDone => Event::reload_done(),
        Notice::ReloadFailed { slot, cause } => {
            let tail = children.stderr_tail(slot);
            Event::reload_failed(pid(slot), cause, config.start_timeout, tail)
        }
        Notice::Killing { slot, overdue } => {
            let limit = match overdue {
                Overdue::Start => config.start_timeout,
                Overdue::Exit => config.die_timeout,
                Overdue::Request => Some(config.request_timeout_grace),
            };
            Event::killing(pid(slot), overdue, limit, &request(slot))
        }
        Notice::Slow { slot, age } => Event::slow(pid(slot), age, &request(slot)),
        Notice::Overdue { slot, age } => Event::timed_out(pid(slot), age, &request(slot)),
        Notice::Recycling { slot, why } => Event::recycling(pid(slot), why),
        Notice::BackingOff { pause } => Event::backing_off(pause),
        Notice::DeparturesLimited { limit } => Event::departures_limited(limit),
        Notice::ForkFailed { errno, pause } => Event::fork_failed(errno, pause),
        Notice::Resized { wanted } => Event::resized(wanted),
        Notice::Sized { .. } => Event::sized(),
        Notice::Emptied => Event::emergency(),
        Notice::Recovered => Event::recovered(),
        Notice::Draining { delay } => Event::draining(delay),
        Notice::Stopping => Event::stopping(children.iter().count()),
    }
}

/// The request of a worker, as the end of a line.
fn request_of(page: &Page) -> String {
    let Some((_, details)) = current_request(page) else {
        return match page.activity() {
            Some(Activity::Reading) => ": its parameters have not arrived".to_owned(),
            _ => String::new(),
        };
    };
    match (details.method.as_str(), details.uri.as_str()) {
        ("", "") => String::new(),
        (method, uri) => format!(": {method} {uri}{}", ids(&details)),
    }
}

/// The ids that the request has.
fn ids(details: &Details) -> String {
    let ids = [
        ("request id", &details.request_id),
        ("trace id", &details.trace_id),
    ];
    let known = ids.iter().filter(|(_, id)| !id.is_empty());
    let known: Vec<_> = known.map(|(name, id)| format!("{name} {id}")).collect();
    match &known[..] {
        [] => String::new(),
        known => format!(" ({})", known.join(", ")),
    }
}
