//! Reloads of the program: templates that are ready, or end, at any point.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{MS, SECOND};
use crate::pool::{ProgramAction, ProgramEvent, ProgramReload, Source, TemplateId};

const TIMEOUT: Duration = Duration::from_secs(5);

/// A model of what the manager does with the actions.
struct World {
    machine: ProgramReload,
    now: Duration,
    /// Templates that were started and have not ended; whether each one has become ready.
    templates: BTreeMap<TemplateId, bool>,
    is_rolling: bool,
    reloads: usize,
    failures: usize,
    lost: usize,
    reverted: usize,
    reforks: usize,
    failed_reforks: usize,
    are_failing: bool,
}

impl World {
    fn new() -> Self {
        Self {
            machine: ProgramReload::new(Some(TIMEOUT)),
            now: Duration::ZERO,
            templates: BTreeMap::new(),
            is_rolling: false,
            reloads: 0,
            failures: 0,
            lost: 0,
            reverted: 0,
            reforks: 0,
            failed_reforks: 0,
            are_failing: false,
        }
    }

    fn handle(&mut self, event: ProgramEvent) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let mut actions = Vec::new();
            self.machine.handle(self.now, event, &mut actions);
            for action in actions {
                match action {
                    ProgramAction::Start(id) => {
                        assert!(self.templates.insert(id, false).is_none(), "{id} twice");
                    }
                    ProgramAction::Refork { template, .. } => {
                        assert!(self.templates.insert(template, false).is_none());
                    }
                    ProgramAction::Reforked(_) => self.reforks += 1,
                    ProgramAction::ReportReforkFailed { .. } => self.failed_reforks += 1,
                    ProgramAction::End(id) => drop(self.templates.remove(&id)),
                    ProgramAction::ReloadPool => {
                        assert!(!self.is_rolling, "two reloads at a time");
                        self.is_rolling = true;
                        self.reloads += 1;
                    }
                    ProgramAction::Adopt => {}
                    ProgramAction::Revert => self.reverted += 1,
                    ProgramAction::FailPool => {
                        self.is_rolling = false;
                        events.push(ProgramEvent::PoolFailed);
                    }
                    ProgramAction::ReportFailed { .. } => self.failures += 1,
                    ProgramAction::ReportLost(_) | ProgramAction::ReportStillLost { .. } => {
                        self.lost += 1;
                    }
                }
            }
        }
        self.check();
    }

    fn tick(&mut self) {
        self.handle(ProgramEvent::Tick {
            is_rolling: self.is_rolling,
            is_forking: false,
            are_failing: self.are_failing,
        });
    }

    fn ready(&mut self, id: TemplateId) {
        self.templates.insert(id, true);
        self.handle(ProgramEvent::Ready(id));
        self.tick();
    }

    fn ends(&mut self, id: TemplateId) {
        self.templates.remove(&id);
        self.handle(ProgramEvent::Ended(id));
    }

    /// The source of workers can fork. There are never more templates than the source, a warm one and a
    /// new one.
    fn check(&self) {
        if let Source::Template(id) = self.machine.source() {
            assert_eq!(self.templates.get(&id), Some(&true), "{:?}", self.machine);
        }
        assert!(self.templates.len() <= 3, "{:?}", self.templates);
    }

    /// A worker has served many requests.
    fn warm(&mut self) {
        if !self.is_rolling && self.machine.wants_refork(self.now) {
            self.handle(ProgramEvent::Warm { slot: 0 });
        }
    }

    fn newest(&self) -> Option<TemplateId> {
        self.templates.keys().next_back().copied()
    }
}

#[test]
fn a_reload_replaces_the_source_and_ends_the_one_before() {
    let mut world = World::new();
    for id in 1..=3 {
        world.handle(ProgramEvent::Requested);
        assert_eq!(world.newest(), Some(id));
        world.ready(id);
        assert!(world.is_rolling);
        assert_eq!(world.machine.source(), Source::Template(id));
        world.is_rolling = false;
        world.tick();
        assert_eq!(world.templates.len(), 1);
        assert!(world.machine.is_at_rest());
    }
}

#[test]
fn a_failed_reload_returns_to_the_source_before() {
    let mut world = World::new();
    world.handle(ProgramEvent::Requested);
    world.ready(1);
    world.is_rolling = false;
    world.handle(ProgramEvent::PoolFailed);
    assert_eq!(world.machine.source(), Source::Manager);
    assert_eq!((world.templates.len(), world.reverted), (0, 1));
    // One that never becomes ready.
    world.handle(ProgramEvent::Requested);
    world.now += TIMEOUT;
    world.tick();
    assert_eq!((world.failures, world.templates.len()), (1, 0));
}

#[test]
fn a_reload_waits_for_one_of_the_workers_that_is_in_progress() {
    let mut world = World::new();
    world.is_rolling = true;
    world.handle(ProgramEvent::Requested);
    world.ready(1);
    assert_eq!(
        (world.reloads, world.machine.source()),
        (0, Source::Manager)
    );
    world.is_rolling = false;
    world.tick();
    assert_eq!(
        (world.reloads, world.machine.source()),
        (1, Source::Template(1))
    );
}

#[test]
fn a_lost_source_is_started_again_at_most_once_a_second() {
    let mut world = World::new();
    world.handle(ProgramEvent::Requested);
    world.ready(1);
    world.is_rolling = false;
    world.tick();
    world.ends(1);
    assert_eq!(world.machine.source(), Source::Lost);
    for attempt in 0..10 {
        let id = world.newest().unwrap();
        world.ends(id);
        world.tick();
        assert_eq!(world.newest(), None, "attempt {attempt}");
        world.now += SECOND;
        world.tick();
    }
    let id = world.newest().unwrap();
    world.ready(id);
    assert_eq!(world.machine.source(), Source::Template(id));
    assert_eq!(world.reloads, 1, "the workers are of this program already");
}

/// A machine with a warm template.
fn reforked() -> World {
    let mut world = World::new();
    world.warm();
    world.ready(1);
    assert_eq!(
        (world.reforks, world.machine.source()),
        (1, Source::Template(1))
    );
    world
}

#[test]
fn workers_are_copies_of_a_warm_one_until_a_reload() {
    let mut world = reforked();
    assert!(!world.machine.wants_refork(world.now), "once is enough");
    // A reload of the workers begins with the cold source, and ends the warm one.
    world.is_rolling = true;
    world.tick();
    assert_eq!(world.machine.source(), Source::Manager);
    assert!(world.templates.contains_key(&1));
    world.is_rolling = false;
    world.tick();
    assert_eq!(
        (world.templates.len(), world.machine.is_at_rest()),
        (0, true)
    );
    assert!(world.machine.wants_refork(world.now));
}

#[test]
fn a_failed_reload_returns_to_the_warm_source() {
    let mut world = reforked();
    world.is_rolling = true;
    world.tick();
    world.is_rolling = false;
    world.handle(ProgramEvent::PoolFailed);
    world.tick();
    assert_eq!(world.machine.source(), Source::Template(1));
    // The same for a reload of the program, whose template becomes ready.
    world.handle(ProgramEvent::Requested);
    world.ready(2);
    assert_eq!(world.machine.source(), Source::Template(2));
    world.is_rolling = false;
    world.handle(ProgramEvent::PoolFailed);
    world.tick();
    assert_eq!(world.machine.source(), Source::Template(1));
    assert_eq!(world.templates.len(), 1);
}

#[test]
fn after_a_warm_source_has_failed_there_is_none_for_a_minute() {
    for is_ended in [true, false] {
        let mut world = reforked();
        if is_ended {
            world.ends(1);
        } else {
            world.are_failing = true;
            world.tick();
            world.are_failing = false;
        }
        assert_eq!(world.machine.source(), Source::Manager);
        assert_eq!((world.failed_reforks, world.templates.len()), (1, 0));
        assert!(!world.machine.wants_refork(world.now));
        world.now += 60 * SECOND;
        assert!(world.machine.wants_refork(world.now));
    }
}

#[test]
fn a_worker_that_forks_no_template_in_time_is_left_alone() {
    let mut world = World::new();
    world.warm();
    assert_eq!(world.machine.deadline(), Some(TIMEOUT));
    world.now += TIMEOUT;
    world.tick();
    assert_eq!((world.failed_reforks, world.templates.len()), (1, 0));
    // What it reports later is not for this.
    world.handle(ProgramEvent::Ready(1));
    assert_eq!(world.machine.source(), Source::Manager);
}

#[test]
fn whatever_happens_the_last_request_is_followed_by_a_result() {
    for seed in 1..=20_000_u64 {
        let mut world = World::new();
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        for _ in 0..60 {
            match random(10) {
                8 => world.warm(),
                9 => world.are_failing = !world.are_failing,
                0 | 1 => world.handle(ProgramEvent::Requested),
                2 => {
                    if let Some(id) = world.newest() {
                        world.ready(id);
                    }
                }
                3 => {
                    let all: Vec<_> = world.templates.keys().copied().collect();
                    if let Some(id) = all.get(random(2) as usize) {
                        world.ends(*id);
                    }
                }
                4 if world.is_rolling => {
                    world.is_rolling = false;
                    world.handle(ProgramEvent::PoolFailed);
                }
                5 => world.is_rolling = false,
                _ => world.now += MS * 1_500,
            }
            world.tick();
        }
        // From here on every start succeeds.
        world.are_failing = false;
        let before = world.reloads;
        world.handle(ProgramEvent::Requested);
        for _ in 0..12 {
            world.is_rolling = false;
            world.tick();
            for id in world.templates.keys().copied().collect::<Vec<_>>() {
                world.ready(id);
            }
            world.now += MS * 600;
        }
        world.is_rolling = false;
        world.tick();
        assert!(
            world.reloads > before,
            "seed {seed}: {:?} {:?}",
            world.machine,
            world.templates
        );
        assert!(
            world.machine.is_at_rest(),
            "seed {seed}: {:?}",
            world.machine
        );
        assert_eq!(world.templates.len(), 1, "seed {seed}");
        world.now += 60 * SECOND;
        world.warm();
        assert_eq!(world.templates.len(), 2, "seed {seed}");
        world.handle(ProgramEvent::Stop);
        assert!(world.templates.len() <= 1, "seed {seed}");
    }
}
