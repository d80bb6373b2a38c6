//! SIGKILL to workers: only their own requests are lost.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::board::Board;
use super::host::{self, Language};
use super::load::Load;
use super::peer::connection::{Connection, LIMIT};
use super::peer::pool::{Pool, call};
use super::peer::program::{TRANSPORTS, Transport, ended_within};
use super::peer::records::{ID, Request};
use super::random::Chance;

const WORKERS: usize = 16;

/// Waits until the scoreboard shows the worker of each of these requests.
fn workers_of(board: &Board, requests: usize) -> HashMap<String, i32> {
    let until = Instant::now() + LIMIT;
    loop {
        let uris = board.workers();
        let uris = uris
            .iter()
            .filter_map(|(slot, pid)| Some((board.uri(*slot)?, *pid)));
        let workers: HashMap<_, _> = uris.filter(|(uri, _)| uri.starts_with("/held/")).collect();
        if workers.len() == requests {
            return workers;
        }
        assert!(Instant::now() < until, "{workers:?}");
        std::thread::yield_now();
    }
}

fn held(pool: &Pool, number: usize, bytes: usize) -> Connection {
    let path = if bytes == 0 {
        "/pause".to_owned()
    } else {
        format!("/pause?n={bytes}")
    };
    let request: Request = call(&path).param("REQUEST_URI", format!("/held/{number}"));
    let mut connection = pool.program.connect();
    connection.send(&request.bytes());
    connection
}

/// Kills random workers while some have requests. Returns how many requests were lost and answered.
fn kill_random_workers(transport: Transport, chance: &mut Chance) -> (usize, usize) {
    let mut pool = Pool::start(transport, WORKERS, &[]);
    let board = Board::of(pool.program.pid());
    let requests = 1 + chance.below(WORKERS);
    let sizes: Vec<usize> = (0..requests).map(|_| chance.below(2) * 3_000).collect();
    let mut connections: Vec<_> = sizes
        .iter()
        .enumerate()
        .map(|(number, bytes)| held(&pool, number, *bytes))
        .collect();
    let workers = workers_of(&board, requests);
    let mut victims = pool.workers.clone();
    chance.shuffle(&mut victims);
    victims.truncate(chance.below(WORKERS + 1));
    for pid in &victims {
        kill(Pid::from_raw(*pid), Signal::SIGKILL).unwrap();
    }
    for pid in &victims {
        assert!(ended_within(*pid, LIMIT));
    }
    let gate = pool.let_through(requests);
    let mut lost = 0;
    for (number, connection) in connections.iter_mut().enumerate() {
        let is_victim = victims.contains(&workers[&format!("/held/{number}")]);
        match connection.try_response_to(ID) {
            Ok(response) => {
                assert!(
                    !is_victim,
                    "request {number} was answered by a killed worker"
                );
                let text = response.text();
                let is_complete = match sizes[number] {
                    0 => text.ends_with("waited, 1\n"),
                    size => text.ends_with(&format!("\r\n\r\n{}", "x".repeat(size))),
                };
                assert!(is_complete, "request {number}: {text}");
            }
            Err(error) => {
                assert!(is_victim, "request {number} was lost: {error}");
                lost += 1;
            }
        }
    }
    drop(gate);
    let expected = workers.values().filter(|pid| victims.contains(pid));
    assert_eq!(lost, expected.count());
    host::end(&mut pool);
    (lost, requests - lost)
}

pub(crate) fn killed_workers_lose_exactly_their_own_requests() {
    let mut chance = Chance::new("kills");
    let (mut lost, mut answered) = (0, 0);
    for _ in 0..10 {
        for transport in TRANSPORTS {
            let (l, a) = kill_random_workers(transport, &mut chance);
            lost += l;
            answered += a;
        }
    }
    println!(
        "measured: KILL, 20 pools: lost {lost} requests of killed workers, answered the other {answered}"
    );
}

/// Kills as many random workers as the pool can replace, while clients send requests.
fn under_load(language: Language, transport: Transport, options: &[&str], chance: &mut Chance) {
    let (workers, kills) = match language {
        Language::C => (100, 70),
        Language::Perl => (24, 16),
    };
    let mut pool = host::start(language, transport, workers, &[]);
    let board = Board::of(pool.program.pid());
    let mut arguments = ["-c", "32", "-t", "3600"].map(str::to_owned).to_vec();
    arguments.extend(host::bytes(language, 200_000));
    arguments.extend(options.iter().map(|&word| word.to_owned()));
    let load = Load::start(&host::address(&pool), &arguments);
    let mut killed = 0;
    while killed < kills {
        let workers = board.workers();
        // The pace is the scenario.
        std::thread::sleep(Duration::from_millis(5 + chance.below(10) as u64));
        let (_, victim) = workers[chance.below(workers.len())];
        // The manager reaps it only after its death, so the pid is not reused.
        if kill(Pid::from_raw(victim), Signal::SIGKILL).is_ok() {
            killed += 1;
        }
    }
    let tally = load.stop();
    println!(
        "measured: {kills} kills, {language:?} {transport:?} {options:?}: {} requests, lost {}: {} before, {} on a keep-alive connection, \
         {} within",
        tally.requests(),
        tally.lost(),
        tally.lost_as("before"),
        tally.lost_as("before_reused"),
        tally.lost_as("within"),
    );
    assert_eq!(tally.ok() + tally.lost(), tally.requests());
    let cut = tally.lost_as("before") + tally.lost_as("within");
    if options.contains(&"--keep") {
        // The keep-alive connections of a killed worker are closed, each with at most one request.
        assert_eq!(
            tally.lost(),
            cut + tally.lost_as("before_reused"),
            "{tally:?}"
        );
        assert!(tally.lost() <= tally.connections(), "{tally:?}");
    } else {
        assert_eq!(tally.lost(), cut, "{tally:?}");
        assert!(tally.lost() <= kills, "{tally:?}");
    }
    host::end(&mut pool);
}

pub(crate) fn kills_under_load_lose_no_more_than_one_request_each() {
    let mut chance = Chance::new("kills under load");
    for transport in TRANSPORTS {
        for options in [&[][..], &["--split", "1"], &["--keep"]] {
            under_load(Language::C, transport, options, &mut chance);
        }
        under_load(Language::Perl, transport, &[], &mut chance);
    }
}
