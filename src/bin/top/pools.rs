//! The pools of all targets, as they were read last.

use crate::managers::follow::{Followed, Seen};
use crate::managers::rates::{Rates, Sample};
use crate::managers::report::Report;

/// Reads all targets again and again. It remembers pools that have ended.
#[derive(Debug)]
pub(super) struct Source {
    targets: Vec<Target>,
}

#[derive(Debug)]
struct Target {
    /// As the command line has it.
    text: String,
    /// What a pool of it is called, among several targets.
    label: Option<String>,
    followed: Followed,
    pools: Vec<Known>,
}

/// A pool that was read at some time.
#[derive(Debug)]
struct Known {
    name: Option<String>,
    sample: Option<Sample>,
}

/// One pool.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) name: String,
    pub(super) state: State,
}

#[derive(Debug)]
pub(super) enum State {
    Runs(Box<Running>),
    /// The reason why it cannot be read.
    Ended(String),
}

#[derive(Debug)]
pub(super) struct Running {
    pub(super) report: Report,
    /// Since the last reading, or since the start of the manager.
    pub(super) rates: Rates,
    pub(super) readiness: Result<String, String>,
}

impl Pool {
    pub(super) fn running(&self) -> Option<&Running> {
        match &self.state {
            State::Runs(running) => Some(running),
            State::Ended(_) => None,
        }
    }
}

impl Source {
    pub(super) fn of(targets: &[String]) -> Self {
        let is_single = targets.len() == 1;
        let target = |text: &String| Target {
            text: text.clone(),
            label: (!is_single).then(|| text.clone()),
            followed: Followed::new(text.clone()),
            pools: Vec::new(),
        };
        Self {
            targets: targets.iter().map(target).collect(),
        }
    }

    pub(super) fn read(&mut self) -> Vec<Pool> {
        self.targets.iter_mut().flat_map(Target::read).collect()
    }
}

impl Target {
    fn read(&mut self) -> Vec<Pool> {
        let (seen, missing) = match self.followed.read() {
            Ok(seen) => (seen, "the pool has stopped".to_owned()),
            Err(reason) => (Vec::new(), reason),
        };
        let mut shown = Vec::new();
        for known in &mut self.pools {
            // A place is kept for it until it comes back.
            if !seen.iter().any(|one| one.pool == known.name) {
                shown.push((known.name.clone(), State::Ended(missing.clone())));
            }
        }
        for one in seen {
            shown.push(self.state_of(one));
        }
        if shown.is_empty() {
            shown.push((None, State::Ended(missing)));
        }
        shown.sort_by(|(one, _), (other, _)| one.cmp(other));
        let named = |(name, state)| Pool {
            name: self.name_of(name),
            state,
        };
        shown.into_iter().map(named).collect()
    }

    fn state_of(&mut self, seen: Seen) -> (Option<String>, State) {
        let place = self.pools.iter().position(|known| known.name == seen.pool);
        let place = place.unwrap_or_else(|| {
            self.pools.push(Known {
                name: seen.pool.clone(),
                sample: None,
            });
            self.pools.len() - 1
        });
        let known = &mut self.pools[place];
        let state = match seen.state {
            Ok(read) => {
                let mut sample = Sample::of(&read.report);
                if let Some(earlier) = &known.sample {
                    sample.raise_to(earlier);
                }
                let rates = match &known.sample {
                    Some(earlier) => sample.since(earlier),
                    None => sample.since(&Sample::of_start(&read.report)),
                };
                known.sample = Some(sample);
                State::Runs(Box::new(Running {
                    report: read.report,
                    rates,
                    readiness: read.readiness,
                }))
            }
            Err(reason) => State::Ended(reason),
        };
        (seen.pool, state)
    }

    fn name_of(&self, pool: Option<String>) -> String {
        match (pool, &self.label) {
            (Some(pool), Some(label)) => format!("{label} {pool}"),
            (Some(pool), None) => pool,
            (None, _) => self.text.clone(),
        }
    }
}
