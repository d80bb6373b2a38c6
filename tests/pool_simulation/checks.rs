//! The invariants of the pool, checked after every event.

use std::collections::BTreeMap;
use std::time::Duration;

use fcgipm::pool::{
    Action, Activity, Config, Event, Notice, Observation, Offers, Overdue, Resize, Sizing,
};

use crate::worker::{Worker, overdue, overdue_since};
use crate::world::{SECOND, World};

/// Deadlines are accurate to this; each absence of the manager adds to it.
const PUNCTUAL: Duration = Duration::from_secs(4);

/// What the checks remember.
#[derive(Default)]
pub(crate) struct Books {
    pub(crate) wanted: usize,
    most: usize,
    pub(crate) forks: Vec<Duration>,
    pub(crate) reloads: [usize; 3],
    pub(crate) stopping: bool,
    pub(crate) stopped: bool,
    /// The stop found no worker: one more may be forked, for the listen queue.
    nobody_left: bool,
    emptied: bool,
    /// The latest reload of which all new workers were ready.
    rolled: usize,
    /// Retired for a limit, with a replacement, and not yet exited.
    recycling: BTreeMap<usize, ()>,
    /// What has occurred, to notice a run in which something never occurs.
    pub(crate) seen: BTreeMap<&'static str, u64>,
    spins: u32,
    lateness: Duration,
}

impl Books {
    pub(crate) fn new(config: &Config) -> Self {
        let wanted = match config.sizing {
            Sizing::Static => config.processes,
            Sizing::Dynamic {
                start: 0,
                min_spare,
                ..
            } => min_spare.min(config.processes),
            Sizing::Dynamic { start, .. } => start.min(config.processes),
            Sizing::OnDemand { .. } => 0,
        };
        Self {
            wanted,
            most: config.processes,
            ..Self::default()
        }
    }

    pub(crate) fn away(&mut self, away: Duration) {
        self.lateness += away + 2 * SECOND;
    }

    pub(crate) fn late(&mut self) {
        self.lateness += SECOND;
    }

    /// The manager is about to wake up.
    pub(crate) fn turn(&mut self, now: Duration, next: Duration) {
        self.spins = if next > now { 0 } else { self.spins + 1 };
        assert!(self.spins < 1_000, "the manager spins");
    }

    pub(crate) fn exited(&mut self, _now: Duration, slot: usize, _worker: &Worker) {
        self.recycling.remove(&slot);
    }

    /// A worker that served is about to exit on its own.
    pub(crate) fn departed(&mut self) {
        self.count("departed");
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
    }

    fn surge(&self, config: &Config) -> usize {
        match config.reload_surge {
            0 => (self.wanted / 4).max(1),
            surge => surge,
        }
    }

    /// Checks an event and the actions of the pool, and returns the slot to fork into.
    pub(crate) fn enter(
        &mut self,
        world: &mut World,
        event: Event,
        actions: &[Action],
    ) -> Option<usize> {
        let config = world.config.clone();
        self.expect(world, event);
        let mut retired_ready = 0;
        let mut forks = Vec::new();
        // Workers that are retired because fewer are wanted, or the other reason.
        let mut shrinking = 0;
        let mut recycle = None;
        let mut killing = None;
        let now = world.now;
        for &action in actions {
            match action {
                Action::Fork { slot } => {
                    let allowed = !self.stopping || std::mem::take(&mut self.nobody_left);
                    assert!(allowed, "fork while stopping");
                    if self.stopping {
                        self.count("forked for the queue of a stop");
                    }
                    assert_eq!(event, Event::Tick, "only a tick forks");
                    assert!(slot < config.slots);
                    assert!(!world.workers.contains_key(&slot), "fork into a full slot");
                    forks.push(slot);
                    let limit = world.pool.request_limit(slot);
                    match config.max_requests {
                        0 => assert_eq!(limit, 0),
                        least => {
                            assert!((least..=least + config.max_requests_jitter).contains(&limit));
                        }
                    }
                }
                Action::Retire { slot, last } => {
                    assert_eq!(last, self.stopping);
                    let worker = world.workers.get_mut(&slot).expect("no worker to retire");
                    assert!(worker.asked_at.is_none() || last, "asked twice");
                    if worker.asked_at.is_none() {
                        retired_ready += usize::from(worker.ready);
                        worker.asked_at = Some(now);
                    }
                    let recycled = recycle.take().is_some();
                    if shrinking > 0 && worker.ready {
                        shrinking -= 1;
                        let activity = worker.report.map_or(Activity::Idle, |r| r.activity);
                        assert_eq!(activity, Activity::Idle, "a busy worker was retired");
                    } else if recycled {
                        self.recycling.insert(slot, ());
                        assert!(
                            self.recycling.len() <= self.surge(&config),
                            "{:?} recycled at the same time",
                            self.recycling
                        );
                    }
                }
                Action::Wake { slot } => {
                    let worker = &world.workers[&slot];
                    assert!(worker.asked_at.is_some(), "wake-up without an order");
                    assert!(
                        !worker.silent || worker.report.is_some() || !worker.ready,
                        "wake-up of a worker that reports nothing"
                    );
                }
                Action::Terminate { slot } => {
                    let worker = &world.workers[&slot];
                    assert!(worker.asked_at.is_some());
                    assert!(!worker.ready || worker.report.is_none() && worker.executed.is_some());
                    if worker.ready {
                        self.count("silent workers asked to exit");
                    }
                }
                Action::GiveNotice { slot } => {
                    self.count("notice given");
                    let worker = world.workers.get_mut(&slot).expect("no worker to notify");
                    let timeout = config.request_timeout.expect("notice without a limit");
                    overdue(worker, now, timeout);
                    let request = worker.report.expect("no report").request;
                    assert!(worker.noticed.is_none_or(|(noticed, _)| noticed != request));
                    worker.noticed = Some((request, now));
                }
                Action::Kill { slot, rescue } => {
                    let worker = world.workers.get_mut(&slot).expect("no worker to kill");
                    let overdue = killing.take().expect("no notice before the kill");
                    assert!(!rescue || overdue != Overdue::Start);
                    self.kill(&config, now, overdue, worker);
                    self.recycling.remove(&slot);
                }
                Action::ClaimOffers { slot } => {
                    self.count("offers claimed");
                    let worker = world.workers.get(&slot).expect("no worker with offers");
                    let report = worker.report.expect("no report");
                    assert_eq!(report.offers, Offers::Now);
                    // A worker that has just become ready has reported nothing yet.
                    let is_idle = |report: &Observation| report.activity == Activity::Idle;
                    let waits = |worker: &Worker| worker.report.as_ref().is_none_or(is_idle);
                    assert!(world.workers.values().any(|w| w.serves() && waits(w)));
                }
                Action::Rebalance { slot } => {
                    self.count("rebalanced");
                    let worker = world.workers.get(&slot).expect("no worker to rebalance");
                    assert_ne!(worker.report.expect("no report").offers, Offers::None);
                    let is_idle = |report: &Observation| report.activity == Activity::Idle;
                    let waits = |worker: &Worker| worker.report.as_ref().is_none_or(is_idle);
                    let others = world.workers.iter().filter(|(other, _)| **other != slot);
                    assert!(others.map(|(_, w)| w).any(|w| w.serves() && waits(w)));
                }
                Action::Measure { slot } => {
                    self.count("measured");
                    let worker = world.workers.get_mut(&slot).expect("no worker to measure");
                    assert!(worker.serves() && config.max_memory > 0);
                    let last = worker.measured.replace(now);
                    assert!(
                        last.is_none_or(
                            |last| now + self.lateness > last && now.as_secs() > last.as_secs()
                        ),
                        "measured at {last:?} and {now:?}"
                    );
                }
                Action::Notice(notice) => {
                    match notice {
                        Notice::Sized { wanted, up: false } => {
                            // With `ondemand` a lost worker is not replaced.
                            let gone = self.wanted - wanted;
                            shrinking = gone.min(world.ready().saturating_sub(wanted));
                        }
                        Notice::Recycling { slot, why } => {
                            self.check_limit(&config, now, why, &world.workers[&slot]);
                            recycle = Some(why);
                        }
                        Notice::Ready { slot } => self.ready(world, slot),
                        Notice::Killing { overdue, .. } => killing = Some(overdue),
                        Notice::Slow { slot, .. } => {
                            let worker = world.workers.get_mut(&slot).expect("no slow worker");
                            let limit = config.slow_request.expect("slow without a limit");
                            overdue_since(worker, now, limit);
                            let request = worker.report.map(|report| report.request);
                            assert_ne!(worker.slow, request, "reported twice");
                            worker.slow = request;
                        }
                        _ => {}
                    }
                    self.notice(world, notice);
                }
                Action::Stop => {
                    assert!(!self.stopping);
                    assert!(matches!(event, Event::Drain | Event::Tick));
                }
                Action::Stopped => {
                    assert!(self.stopping && world.workers.is_empty() && !self.stopped);
                    self.stopped = true;
                }
            }
        }
        self.check_wanted(world);
        // P2: a worker that is retired is covered by others.
        assert!(
            retired_ready == 0 || self.stopping || world.ready() >= self.wanted,
            "{} ready of {}",
            world.ready(),
            self.wanted
        );
        assert!(forks.len() <= 1);
        if event == Event::Tick {
            self.check_tick(world, actions.is_empty(), forks.len());
        }
        let counts = world.pool.counts();
        assert_eq!(counts.ready, world.ready());
        assert!(counts.idle + counts.busy <= counts.ready);
        assert!(counts.processes <= config.slots);
        assert_eq!(counts.reloads, self.reloads[1] as u64);
        assert_eq!(counts.failed_reloads, self.reloads[2] as u64);
        forks.pop()
    }

    fn expect(&mut self, world: &World, event: Event) {
        let config = &world.config;
        assert!(!self.stopped || event == Event::Tick || !matches!(event, Event::Worker { .. }));
        let most = match event {
            Event::Resize(Resize::Up) if !self.stopping => {
                (self.most + 1).min(config.max_processes)
            }
            Event::Resize(Resize::Down) if !self.stopping => (self.most - 1).max(1),
            Event::Resize(Resize::To(most)) if !self.stopping => {
                most.clamp(1, config.max_processes)
            }
            Event::Stop => {
                if !self.stopping {
                    self.nobody_left = world.workers.values().all(|w| w.asked_at.is_some());
                }
                self.stopping = true;
                return;
            }
            _ => return,
        };
        self.most = most;
        self.wanted = match config.sizing {
            Sizing::Static => most,
            Sizing::Dynamic { .. } | Sizing::OnDemand { .. } => self.wanted.min(most),
        };
    }

    fn check_wanted(&self, world: &World) {
        let wanted = world.pool.counts().wanted;
        let on_demand = matches!(world.config.sizing, Sizing::OnDemand { .. });
        assert_eq!(wanted, self.wanted);
        let least = usize::from(!on_demand);
        assert!((least..=self.most).contains(&wanted), "{wanted} wanted");
    }

    fn check_tick(&mut self, world: &World, quiet: bool, forks: usize) {
        let due = world.pool.deadline();
        // The poll came late, and another deadline has passed since it was due: one more poll.
        let looks = world.pool.poll_at() == Some(world.now);
        assert!(
            !quiet || looks || due.is_none_or(|due| due > world.now),
            "a tick that changes nothing"
        );
        if self.stopping {
            return;
        }
        let ended = self.reloads[1] + self.reloads[2];
        assert!(world.pool.is_reloading() || self.reloads[0] == ended);
        let alive = world
            .workers
            .values()
            .filter(|w| w.asked_at.is_none())
            .count()
            + forks;
        let room = self.wanted + self.surge(&world.config);
        assert!(alive <= room, "{alive} of {} wanted", self.wanted);
        if forks > 0 && !world.pool.is_reloading() && alive > self.wanted {
            self.count("replacements");
            assert!(alive + self.recycling.len() <= room, "more than needed");
        }
        // P6: no request lasts forever.
        let Some(timeout) = world.config.request_timeout else {
            return;
        };
        for worker in world
            .workers
            .values()
            .filter(|w| !w.liar && !w.mute && !w.silent)
        {
            if let Some(work) = worker.work {
                if worker.exit_at.is_none() && worker.ready {
                    let limit = timeout + world.config.request_timeout_grace + PUNCTUAL;
                    let age = world.now - work.began;
                    assert!(
                        age <= limit + work.away + self.lateness,
                        "{age:?} of {limit:?}"
                    );
                }
            }
        }
    }

    fn notice(&mut self, world: &World, notice: Notice) {
        match notice {
            Notice::ReloadBegun => self.reloads[0] += 1,
            Notice::ReloadRolled { old } => {
                self.count("rolled");
                assert!(world.ready() >= self.wanted);
                self.rolled = self.reloads[0];
                assert_eq!(old, self.old_ones(world));
            }
            Notice::ReloadDone => {
                self.reloads[1] += 1;
                assert_eq!(self.old_ones(world), 0, "old workers still run");
            }
            Notice::ReloadFailed { .. } => self.reloads[2] += 1,
            Notice::Sized { wanted, up } => {
                self.count(if up { "grown" } else { "shrunk" });
                assert_ne!(world.config.sizing, Sizing::Static);
                assert_eq!(up, wanted > self.wanted);
                assert_ne!(wanted, self.wanted);
                self.wanted = wanted;
            }
            Notice::Slow { .. } => self.count("slow"),
            Notice::Emptied => {
                self.count("emptied");
                assert!(!self.emptied && self.wanted > 0 && world.ready() == 0);
                self.emptied = true;
            }
            Notice::Recovered => {
                assert!(self.emptied && world.ready() > 0);
                self.emptied = false;
            }
            _ => {}
        }
        assert!(self.reloads[0] >= self.reloads[1] + self.reloads[2]);
    }

    /// Workers that existed before the latest reload whose new ones were all ready.
    fn old_ones(&self, world: &World) -> usize {
        let old = world
            .workers
            .values()
            .filter(|w| w.generation < self.rolled);
        old.count()
    }
}
