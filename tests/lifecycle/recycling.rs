//! Workers that have served, grown or lived enough: the successor is ready before they go.

use std::collections::BTreeSet;

use super::peer::pool::{Pool, call};
use super::peer::program::{TRANSPORTS, Transport};
use super::{Load, ask_in_two_segments, ask_on_kept, worker_of};

/// The most workers that were ready at once, and the fewest from when all were, by the log.
fn ready_range(lines: &[String], wanted: usize) -> (usize, usize) {
    let (mut ready, mut most, mut fewest) = (BTreeSet::new(), 0, usize::MAX);
    let mut full = false;
    for line in lines {
        let Some((_, rest)) = line.split_once("worker (pid ") else {
            continue;
        };
        let (pid, what) = rest
            .split_once(") ")
            .unwrap_or(rest.split_once("):").unwrap_or(("", "")));
        if what == "ready" {
            ready.insert(pid.to_owned());
        } else if line.contains("recycling") || what.starts_with("exited") {
            ready.remove(pid);
        }
        full |= ready.len() >= wanted;
        if full {
            most = most.max(ready.len());
            fewest = fewest.min(ready.len());
        }
    }
    (fewest, most)
}

#[test]
fn workers_that_have_served_enough_are_replaced_and_nothing_is_lost() {
    for transport in TRANSPORTS {
        let limits = [
            ("FCGIPM_MAX_REQUESTS", "50"),
            ("FCGIPM_MAX_REQUESTS_JITTER", "20"),
        ];
        let mut pool = Pool::start(transport, 4, &limits);
        let address = pool.program.address.clone();
        let load = Load::start(
            8,
            || address.clone(),
            |address| ask_in_two_segments(address),
        );
        for _ in 0..20 {
            pool.program.line("recycling worker");
        }
        let answered = load.finish();
        println!("{transport:?}: {answered} requests");
        let (fewest, most) = ready_range(pool.program.lines(), 4);
        assert_eq!(fewest, 4, "the successor was ready first");
        assert!(most <= 5, "{most} at once, with a surge of 1");
        pool.stop();
    }
}

#[test]
fn one_keep_alive_connection_lives_through_the_recycling_of_its_workers() {
    let limits = [("FCGIPM_MAX_REQUESTS", "5")];
    for transport in TRANSPORTS {
        let mut pool = Pool::start(transport, 2, &limits);
        let mut kept = pool.program.connect();
        let recycled = |pool: &mut Pool| {
            let lines = pool.program.lines().iter();
            lines
                .filter(|line| line.contains("recycling worker"))
                .count()
        };
        let mut asked = 0;
        while recycled(&mut pool) < 5 {
            ask_on_kept(&mut kept).unwrap();
            asked += 1;
            assert!(asked < 100_000);
        }
        pool.stop();
    }
}

#[test]
fn the_jitter_spreads_the_ends() {
    let limits = [
        ("FCGIPM_MAX_REQUESTS", "10"),
        ("FCGIPM_MAX_REQUESTS_JITTER", "1000000"),
    ];
    let pool = Pool::start(Transport::Unix, 1, &limits);
    for n in 1..=100 {
        let (_, served) = worker_of(&pool.program.call(&call("/")).text());
        // One in ten thousand runs ends a worker before.
        assert_eq!(served, n);
    }
    pool.stop();
}

#[test]
fn a_worker_that_has_grown_too_large_is_replaced() {
    let mut pool = Pool::start(Transport::Unix, 2, &[("FCGIPM_MAX_MEMORY", "50m")]);
    let text = pool.program.call(&call("/grow?n=100000000")).text();
    assert!(text.contains("grown"), "{text}");
    let line = pool.program.line("recycling worker");
    assert!(line.contains("max_memory"), "{line}");
    let gone = pool.program.line("exited with status 0");
    assert!(
        pool.workers
            .iter()
            .any(|pid| gone.contains(&format!("(pid {pid})"))),
        "{gone}"
    );
    let recycled = pool
        .program
        .lines()
        .iter()
        .filter(|l| l.contains("recycling"));
    assert_eq!(recycled.count(), 1, "the other is small");
    pool.stop();
}

#[test]
fn a_worker_that_has_lived_long_enough_is_replaced() {
    let mut pool = Pool::start(Transport::Unix, 3, &[("FCGIPM_MAX_LIFETIME", "0.5")]);
    for _ in 0..6 {
        let line = pool.program.line("recycling worker");
        assert!(line.contains("max_lifetime"), "{line}");
    }
    assert!(pool.program.call(&call("/")).text().contains("Hello"));
    let (fewest, most) = ready_range(pool.program.lines(), 3);
    assert_eq!((fewest, most), (3, 4));
    pool.stop();
}
