//! Whether a pool is ready to serve.

use fcgipm::manager::count;
use fcgipm::worker::{End, Stage, View};

use super::group::Group;

/// A line for each pool; an error has the lines of those that are not ready.
pub(crate) fn of(target: &str) -> Result<Vec<String>, Vec<String>> {
    let group = Group::of(target).map_err(|reason| vec![reason])?;
    let mut ready = Vec::new();
    let mut reasons = Vec::new();
    for member in &group.members {
        let label = member.label();
        match of_pool(&member.found.view) {
            Ok(line) => ready.push(label + &line),
            Err(reason) => reasons.push(label + &reason),
        }
    }
    if reasons.is_empty() {
        Ok(ready)
    } else {
        Err(reasons)
    }
}

/// A line for one pool; an error says why it is not ready.
pub(crate) fn of_pool(view: &View) -> Result<String, String> {
    let pool = view.pool();
    match pool.end {
        End::None => {}
        // It still serves, but the next request should go elsewhere.
        End::Draining => return Err("not ready: the pool is draining".to_owned()),
        End::Stopping => return Err("not ready: the pool is stopping".to_owned()),
    }
    let slots = (0..pool.slots_used).map_while(|slot| view.slot(slot));
    // Unlike the manager's figures, a slot shows this before the log does.
    let (mut ready, mut starting) = (0, 0);
    for slot in slots {
        match slot.stage {
            Stage::Ready => ready += 1,
            Stage::Starting => starting += 1,
            Stage::Empty | Stage::Retiring | Stage::Killed => {}
        }
    }
    let wanted = pool.figures.wanted;
    if ready > 0 {
        let all = count(wanted.max(ready), "worker");
        return Ok(format!("ready: {ready} of {all}"));
    }
    if pool.pm == "ondemand" && wanted == 0 {
        return Ok("ready: no worker is needed now".to_owned());
    }
    let wanted = count(wanted, "worker");
    Err(format!(
        "not ready: none of {wanted} is ready, {starting} starting"
    ))
}
