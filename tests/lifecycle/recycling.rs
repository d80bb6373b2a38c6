//! Workers that reach a limit of requests, memory or lifetime: they exit after their replacement is
//! ready.

use std::collections::BTreeSet;

use super::peer::pool::{Pool, call};
use super::peer::program::{TRANSPORTS, Transport};
use super::{Load, ask_in_two_segments, ask_keep_alive, worker_of};

/// The minimum and maximum number of ready workers by the log, from when all were ready.
fn ready_range(lines: &[String], full_size: usize) -> (usize, usize) {
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
        full |= ready.len() >= full_size;
        if full {
            most = most.max(ready.len());
            fewest = fewest.min(ready.len());
        }
    }
    (fewest, most)
}

#[test]
fn workers_that_reach_max_requests_are_replaced_and_nothing_is_lost() {
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
        assert_eq!(fewest, 4, "an old worker exited too early");
        assert!(most <= 5, "{most} with a surge of 1");
        pool.stop();
    }
}

#[test]
fn a_keep_alive_connection_survives_the_recycling_of_its_workers() {
    let limits = [("FCGIPM_MAX_REQUESTS", "5")];
    for transport in TRANSPORTS {
        let mut pool = Pool::start(transport, 2, &limits);
        let mut kept = pool.program.connect();
        let mut asked = 0;
        while pool.program.count("recycling worker") < 5 {
            ask_keep_alive(&mut kept).unwrap();
            asked += 1;
            assert!(asked < 100_000);
        }
        pool.stop();
    }
}

#[test]
fn the_jitter_extends_max_requests() {
    let limits = [
        ("FCGIPM_MAX_REQUESTS", "10"),
        ("FCGIPM_MAX_REQUESTS_JITTER", "1000000"),
    ];
    let pool = Pool::start(Transport::Unix, 1, &limits);
    for n in 1..=100 {
        let (_, served) = worker_of(&pool.program.call(&call("/")).text());
        // One run in ten thousand recycles the worker earlier.
        assert_eq!(served, n);
    }
    pool.stop();
}

#[test]
fn a_worker_that_exceeds_max_memory_is_replaced() {
    let mut pool = Pool::start(Transport::Unix, 2, &[("FCGIPM_MAX_MEMORY", "50m")]);
    let text = pool.program.call(&call("/grow?n=100000000")).text();
    assert!(text.contains("grown"), "{text}");
    let line = pool.program.line("recycling worker");
    assert!(line.contains("max_memory"), "{line}");
    let exited = pool.program.line("exited with status 0");
    assert!(
        pool.workers
            .iter()
            .any(|pid| exited.contains(&format!("(pid {pid})"))),
        "{exited}"
    );
    assert_eq!(pool.program.count("recycling"), 1, "the other is small");
    pool.stop();
}

#[test]
fn a_worker_that_reaches_max_lifetime_is_replaced() {
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
