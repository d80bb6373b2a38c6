//! The pool in virtual time: random events, and a model of workers. The invariants are checked
//! after each event. `POOL_SEED=N` replays one episode. `POOL_EVENTS=N` sets the number of events.

#[path = "pool_simulation/checks.rs"]
mod checks;
#[path = "pool_simulation/config.rs"]
mod config;
#[path = "pool_simulation/departures.rs"]
mod departures;
#[path = "pool_simulation/episode.rs"]
mod episode;
#[path = "pool_simulation/large.rs"]
mod large;
#[path = "pool_simulation/limits.rs"]
mod limits;
#[path = "pool_simulation/random.rs"]
mod random;
#[path = "pool_simulation/work.rs"]
mod work;
#[path = "pool_simulation/worker.rs"]
mod worker;
#[path = "pool_simulation/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use fcgipm::pool::{Action, Event, Sizing};
use world::{Code, SECOND, World};

/// What must occur in a run of sufficient length.
const KINDS: [&str; 19] = [
    "grown",
    "shrunk",
    "slow",
    "notice given",
    "killed for its request",
    "forked for the queue of a stop",
    "killed in its start",
    "killed after die_timeout",
    "recycled for requests",
    "recycled for memory",
    "recycled for age",
    "rebalanced",
    "departed",
    "rolled",
    "replacements",
    "emptied",
    "silent workers ready",
    "silent workers asked to exit",
    "stop asked for twice",
];

fn run(world: &mut World) {
    world.handle(Event::Start);
    world.observe();
    for _ in 0..world.random.below(400) {
        if world.code != Code::CrashLoop {
            world.disturb();
        }
        if !world.advance() {
            break;
        }
    }
    if world.code == Code::CrashLoop {
        world.books.check_crash_loop(world);
    } else if world.random.one_in(2) {
        world.calm_down();
    }
    world.stop();
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn invariants_hold_after_each_of_a_million_random_events() {
    let total = number("POOL_EVENTS").unwrap_or(3_000_000);
    let one = number("POOL_SEED");
    let mut events = 0;
    let mut seed = one.unwrap_or(1);
    let mut reloads = [0; 3];
    let mut seen: BTreeMap<_, u64> = BTreeMap::new();
    loop {
        let episode = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            run(&mut world);
            (world.events, world.books)
        });
        match episode {
            Ok((made, books)) => {
                events += made;
                (0..3).for_each(|kind| reloads[kind] += books.reloads[kind]);
                for (what, times) in books.seen {
                    *seen.entry(what).or_default() += times;
                }
            }
            Err(cause) => {
                eprintln!("replay with POOL_SEED={seed}");
                std::panic::resume_unwind(cause);
            }
        }
        if one.is_some() || events >= total {
            break;
        }
        seed += 1;
    }
    println!(
        "measured: pool in virtual time: {events} events in {seed} episodes; reloads begun, done, failed: {reloads:?}"
    );
    println!("{seen:?}");
    if one.is_none() && total >= 1_000_000 {
        assert!(reloads.iter().all(|count| *count > 100));
        for kind in KINDS {
            assert!(seen.get(kind).is_some_and(|times| *times > 50), "{kind}");
        }
    }
}

/// The actions of the pool. With `garbage`, the page in slot 0 is invalid for ten seconds.
fn trace(seed: u64, garbage: bool) -> Vec<(Duration, Action)> {
    let mut world = World::with(seed, |config| {
        config.sizing = Sizing::Static;
        config.max_requests = 0;
        config.max_lifetime = config.max_lifetime.map(|limit| limit + 60 * SECOND);
        config.request_timeout = Some(5 * SECOND);
        config.slow_request = Some(4 * SECOND);
        config.start_timeout = Some(60 * SECOND);
        config.die_timeout = Some(60 * SECOND);
        config.max_memory = 0;
        config.ready_delay = None;
        config.start_delay = Duration::ZERO;
    });
    world.be_good();
    world.short = true;
    world.trace = Some(Vec::new());
    world.handle(Event::Start);
    world.observe();
    for second in 1..=100 {
        world.advance_to(second * SECOND);
        let now = world.now;
        if let Some(worker) = world.workers.get_mut(&0) {
            worker.set_invalid(now, garbage && (20..30).contains(&second));
        }
        if second > 30 && second % 20 == 0 {
            world.handle(Event::Reload);
        }
        world.observe();
    }
    world.stop();
    world.trace.unwrap_or_default()
}

#[test]
fn an_invalid_page_changes_no_decision() {
    let mut long = 0;
    for seed in 1..=300 {
        let control = trace(seed, false);
        long += usize::from(control.len() > 50);
        let garbage = trace(seed, true);
        let differs = control.iter().zip(&garbage).find(|(a, b)| a != b);
        assert!(control == garbage, "seed {seed}: {differs:?}");
    }
    assert!(long > 100, "{long}");
}

#[test]
fn an_idle_pool_wakes_at_most_once_per_second_and_never_without_limits() {
    for seed in 1..=300 {
        let mut world = World::with(seed, |config| config.max_lifetime = None);
        world.be_good();
        world.be_quiet();
        world.handle(Event::Start);
        world.observe();
        let begin = 200 * SECOND;
        world.advance_to(begin);
        world.observe();
        let mut wakeups = Vec::new();
        while world.now < begin + 100 * SECOND && world.advance() {
            wakeups.push(world.now);
        }
        wakeups.dedup();
        let config = &world.config;
        let timed = config.request_timeout.is_some()
            || config.slow_request.is_some()
            || config.max_memory > 0;
        // A worker that reports nothing may begin to report, so it is polled.
        let silent = world.workers.values().any(|worker| worker.silent);
        // A limit below a second needs polls at that interval.
        let limits = config
            .request_timeout
            .into_iter()
            .chain(config.slow_request);
        let shortest = limits.min().unwrap_or(SECOND).min(SECOND);
        let apart = shortest.max(Duration::from_millis(10));
        let most = if (timed || silent) && !world.workers.is_empty() {
            let polls = 100 * SECOND.as_micros() / apart.as_micros();
            let with_seconds = if apart < SECOND { 100 } else { 0 };
            usize::try_from(polls).expect("few") + with_seconds + 2
        } else {
            0
        };
        assert!(wakeups.len() <= most, "seed {seed}: {wakeups:?}");
    }
}
