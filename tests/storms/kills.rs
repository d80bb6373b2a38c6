//! KILL to workers: what was in them is lost, and nothing else.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::board::Board;
use super::chance::Chance;
use super::host::{self, Language};
use super::load::Load;
use super::peer::connection::{Connection, LIMIT};
use super::peer::pool::{Pool, call};
use super::peer::program::{TRANSPORTS, Transport, ended_within};
use super::peer::records::{ID, Request};

const WORKERS: usize = 16;

/// Waits until the scoreboard names the workers of all these requests.
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

/// Some workers are in a request, some of all are killed. Returns how many were lost, and how many not.
fn exactly(transport: Transport, chance: &mut Chance) -> (usize, usize) {
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
                assert!(!is_victim, "request {number} was answered by the dead");
                let text = response.text();
                let is_whole = match sizes[number] {
                    0 => text.ends_with("waited, 1\n"),
                    size => text.ends_with(&format!("\r\n\r\n{}", "x".repeat(size))),
                };
                assert!(is_whole, "request {number}: {text}");
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

pub(crate) fn killed_workers_lose_exactly_the_requests_they_had() {
    let mut chance = Chance::new("kills");
    let (mut lost, mut answered) = (0, 0);
    for _ in 0..10 {
        for transport in TRANSPORTS {
            let (l, a) = exactly(transport, &mut chance);
            lost += l;
            answered += a;
        }
    }
    println!(
        "measured: KILL, 20 pools: lost {lost} requests that were in killed workers, answered the other {answered}"
    );
}

/// Kills at random, as many as the pool can bear, while clients ask.
fn under_load(language: Language, transport: Transport, how: &[&str], chance: &mut Chance) {
    let (workers, kills) = match language {
        Language::C => (100, 70),
        Language::Perl => (24, 16),
    };
    let mut pool = host::start(language, transport, workers, &[]);
    let board = Board::of(pool.program.pid());
    let mut arguments = ["-c", "32", "-t", "3600"].map(str::to_owned).to_vec();
    arguments.extend(host::bytes(language, 200_000));
    arguments.extend(how.iter().map(|&word| word.to_owned()));
    let load = Load::start(&host::address(&pool), &arguments);
    let mut killed = 0;
    while killed < kills {
        let workers = board.workers();
        // The pace is the scenario.
        std::thread::sleep(Duration::from_millis(5 + chance.below(10) as u64));
        let (_, victim) = workers[chance.below(workers.len())];
        // It is ours, and waited for by its manager only once it is dead.
        if kill(Pid::from_raw(victim), Signal::SIGKILL).is_ok() {
            killed += 1;
        }
    }
    let tally = load.stop();
    println!(
        "measured: {kills} kills, {language:?} {transport:?} {how:?}: {} requests, lost {}: {} before, {} on a keep-alive connection, \
         {} within",
        tally.requests(),
        tally.lost(),
        tally.lost_as("before"),
        tally.lost_as("before_reused"),
        tally.lost_as("within"),
    );
    assert_eq!(tally.ok() + tally.lost(), tally.requests());
    let cut = tally.lost_as("before") + tally.lost_as("within");
    if how.contains(&"--keep") {
        // The keep-alive connections of a worker end with it, too: each of them costs one request at most.
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
        for how in [&[][..], &["--split", "1"], &["--keep"]] {
            under_load(Language::C, transport, how, &mut chance);
        }
        under_load(Language::Perl, transport, &[], &mut chance);
    }
}
