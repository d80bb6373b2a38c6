//! Reloads of the program: templates that are ready, or end, at any point.

use super::program_world::{Request, TIMEOUT, World};
use super::{MS, SECOND};
use crate::pool::{ProgramEvent, Source};

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
fn requests_during_a_reload_queue_one_more_after_it() {
    for (is_ready, is_rolling) in [(false, false), (true, true), (true, false)] {
        for succeeds in [true, false] {
            let mut world = World::new();
            world.handle(ProgramEvent::Requested);
            // Another reload of the pool may be in progress, so that this one waits for it.
            world.is_rolling = is_rolling;
            if is_ready {
                world.ready(1);
            }
            for _ in 0..5 {
                world.handle(ProgramEvent::Requested);
                world.tick();
            }
            assert_eq!((world.starts, world.request), (1, Request::Waits));
            if succeeds {
                world.is_rolling = false;
                world.ready(1);
                world.is_rolling = false;
                world.tick();
            } else if world.machine.is_starting() {
                world.ends(1);
            } else {
                world.is_rolling = false;
                world.handle(ProgramEvent::PoolFailed);
            }
            assert_eq!((world.starts, world.request), (2, Request::Starting));
            world.is_rolling = false;
            world.ready(2);
            world.is_rolling = false;
            world.tick();
            assert_eq!((world.starts, world.request), (2, Request::Decided));
            assert!(world.machine.is_at_rest());
        }
    }
}

#[test]
fn a_request_while_a_lost_source_starts_again_has_a_result() {
    let mut world = reloaded();
    world.ends(1);
    world.handle(ProgramEvent::Requested);
    assert_eq!((world.starts, world.newest()), (1, Some(2)));
    world.ends(2);
    assert_eq!((world.starts, world.newest()), (2, Some(3)));
    world.ends(3);
    assert_eq!((world.failures, world.request), (1, Request::Decided));
    assert_eq!((world.starts, world.newest()), (2, Some(4)));
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
    let mut world = reloaded();
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

/// A machine whose workers are copies of the first template.
fn reloaded() -> World {
    let mut world = World::new();
    world.handle(ProgramEvent::Requested);
    world.ready(1);
    world.is_rolling = false;
    world.tick();
    world
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
        // Nothing else may wake the manager then.
        let next = world.now + 60 * SECOND;
        assert_eq!(world.machine.deadline(), Some(next));
        world.now = next;
        assert!(world.machine.wants_refork(world.now));
        world.tick();
        assert_eq!(world.machine.deadline(), None);
        assert!(world.machine.is_at_rest() && world.machine.wants_refork(world.now));
    }
}

#[test]
fn a_reason_that_stays_is_reported_less_and_less_often_until_a_reload() {
    fn fails(world: &mut World, minutes: u32) {
        world.warm();
        world.now += TIMEOUT;
        world.tick();
        let next = world.now + minutes * 60 * SECOND;
        assert_eq!(world.machine.deadline(), Some(next), "{minutes} minutes");
    }
    let mut world = World::new();
    for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
        fails(&mut world, minutes);
        world.now += minutes * 60 * SECOND;
        world.tick();
    }
    assert_eq!(world.failed_reforks, 8);
    fails(&mut world, 60);
    world.machine.pool_is_rolling();
    // At once, and what fails then is a first failure.
    assert!(world.machine.wants_refork(world.now));
    fails(&mut world, 1);
}

#[test]
fn a_warm_source_that_has_served_for_long_has_failed_for_the_first_time() {
    let mut world = reforked();
    world.ends(1);
    for (served, minutes) in [(60 * 60 * SECOND, 2), (60 * 60 * SECOND + SECOND, 1)] {
        world.now = world.machine.deadline().unwrap();
        world.warm();
        let template = world.newest().unwrap();
        world.ready(template);
        world.now += served;
        world.ends(template);
        let next = world.now + minutes * 60 * SECOND;
        assert_eq!(world.machine.deadline(), Some(next), "{served:?}");
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

/// A history of sixty random events.
fn history(seed: u64) -> World {
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
    world
}

#[test]
fn whatever_happens_a_request_fails_if_every_start_does() {
    for seed in 1..=20_000_u64 {
        let mut world = history(seed);
        world.handle(ProgramEvent::Requested);
        for _ in 0..12 {
            world.is_rolling = false;
            world.tick();
            let all = world.templates.iter().filter(|(_, is_ready)| !**is_ready);
            for id in all.map(|(id, _)| *id).collect::<Vec<_>>() {
                world.ends(id);
            }
            world.now += MS * 600;
        }
        assert_eq!(
            world.request,
            Request::Decided,
            "seed {seed}: {:?}",
            world.machine
        );
    }
}

#[test]
fn whatever_happens_the_last_request_is_followed_by_a_result() {
    for seed in 1..=20_000_u64 {
        let mut world = history(seed);
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
        world.now += 60 * SECOND;
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
        assert_eq!(world.request, Request::Decided, "seed {seed}");
        assert_eq!(world.templates.len(), 1, "seed {seed}");
        world.warm();
        assert_eq!(world.templates.len(), 2, "seed {seed}");
        world.handle(ProgramEvent::Stop);
        assert!(world.templates.len() <= 1, "seed {seed}");
    }
}
