//! Keep-alive connections do not delay other clients, and do not wait for a busy worker.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::peer::connection::{Connection, LIMIT};
use super::peer::program::{TRANSPORTS, wait_until_asleep};
use super::{Pool, answered, ask_keep_alive, call, worker_of};

/// Much less than a wait for a worker at the gate, and much more than any other step takes.
const SOON: Duration = Duration::from_secs(1);

fn connect_keep_alive(pool: &Pool, count: usize) -> Vec<Connection> {
    let mut connections: Vec<_> = (0..count).map(|_| pool.program.connect()).collect();
    for connection in &mut connections {
        ask_keep_alive(connection).unwrap();
    }
    connections
}

/// Sends a request, and returns the worker that answers.
fn server_of(connection: &mut Connection) -> i32 {
    worker_of(&connection.call(&call("/").keep(true)).text()).0
}

/// Of the waiting workers, the kernel wakes the one that has watched the listening socket for
/// longest. The manager is stopped, so that it does not rebalance connections meanwhile.
#[test]
fn keep_alive_clients_that_connect_one_by_one_are_spread_evenly_over_the_workers() {
    const WORKERS: usize = 4;
    const EACH: usize = 8;
    // A client that pauses before its request is accepted and parked first.
    for (transport, pauses) in TRANSPORTS
        .into_iter()
        .flat_map(|transport| [(transport, false), (transport, true)])
    {
        let pool = Pool::start(transport, WORKERS, &[]);
        pool.program.suspend();
        let all_asleep = || pool.workers.iter().copied().for_each(wait_until_asleep);
        all_asleep();
        let mut servers = Vec::new();
        let mut clients = Vec::new();
        for _ in 0..WORKERS * EACH {
            let mut client = pool.program.connect();
            if pauses {
                all_asleep();
            }
            servers.push(server_of(&mut client));
            clients.push(client);
            all_asleep();
        }
        let in_turn = servers[..WORKERS].repeat(EACH);
        let different: BTreeSet<_> = servers[..WORKERS].iter().collect();
        assert!(
            servers == in_turn && different.len() == WORKERS,
            "{transport:?}, pauses {pauses}: {servers:?}"
        );
        pool.program.signal(Signal::SIGCONT);
        ask_all(&mut clients, "once more");
        pool.stop();
    }
}

fn ask_all(connections: &mut [Connection], what: &str) -> Duration {
    let mut longest = Duration::ZERO;
    for (number, connection) in connections.iter_mut().enumerate() {
        let begun = Instant::now();
        ask_keep_alive(connection)
            .unwrap_or_else(|error| panic!("{what}, client {number}: {error}"));
        longest = longest.max(begun.elapsed());
    }
    longest
}

#[test]
fn none_of_thirty_two_keep_alive_clients_waits_for_a_long_request() {
    for transport in TRANSPORTS {
        for round in 0..5 {
            let pool = Pool::start(transport, 4, &[]);
            let mut clients = connect_keep_alive(&pool, 32);
            // The worker of this connection has some of the others too.
            let mut busy = clients.swap_remove(round * 7 % 32);
            busy.send(&call("/pause").keep(true).bytes());
            let gate = pool.gate();
            let longest = ask_all(&mut clients, "beside a long request");
            assert!(longest < SOON, "{transport:?}: {longest:?}");
            let again = ask_all(&mut clients, "once more");
            println!(
                "measured: 32 keep-alive clients beside a long request, {transport:?}: longest wait {longest:?}, then {again:?}"
            );
            drop(gate);
            let response = busy.response();
            assert!(response.text().contains("waited"), "{}", response.text());
            clients.push(busy);
            ask_all(&mut clients, "after it");
            pool.stop();
        }
    }
}

/// The connections move to the first idle worker, even if all were busy when the request began.
#[test]
fn a_worker_that_becomes_idle_serves_the_keep_alive_clients_of_a_busy_one() {
    for transport in TRANSPORTS {
        let pool = Pool::start(transport, 2, &[]);
        let mut clients = connect_keep_alive(&pool, 16);
        let mut busy: Vec<_> = clients.drain(..2).collect();
        for connection in &mut busy {
            connection.send(&call("/pause").keep(true).bytes());
        }
        // Each byte lets one of the two through. The gate is opened for reading as well, so that it
        // always has a reader.
        let mut gate = std::fs::File::options()
            .read(true)
            .write(true)
            .open(&pool.gate)
            .unwrap();
        for connection in &mut clients {
            connection.send(&call("/").keep(true).bytes());
        }
        gate.write_all(b"x").unwrap();
        let begun = Instant::now();
        clients
            .iter_mut()
            .for_each(|connection| answered(connection).unwrap());
        assert!(begun.elapsed() < SOON, "{transport:?}");
        gate.write_all(b"x").unwrap();
        for connection in &mut busy {
            assert!(connection.response().text().contains("waited"));
        }
        pool.stop();
    }
}

#[test]
fn a_new_client_does_not_wait_for_sixty_four_keep_alive_clients() {
    for transport in TRANSPORTS {
        let pool = Pool::start(transport, 2, &[]);
        let mut clients = connect_keep_alive(&pool, 64);
        let begun = Instant::now();
        assert!(pool.program.call(&call("/")).text().contains("Hello"));
        let took = begun.elapsed();
        assert!(took < Duration::from_millis(100), "{transport:?}: {took:?}");
        println!("measured: a new client beside 64 idle ones, {transport:?}: {took:?}");
        ask_all(&mut clients, "after the new one");
        pool.stop();
    }
}

/// The other connections of the worker have requests too.
#[test]
fn a_worker_that_is_killed_for_one_request_loses_no_other() {
    let limits = [
        ("FCGIPM_REQUEST_TIMEOUT", "0.3"),
        ("FCGIPM_REQUEST_TIMEOUT_GRACE", "0.1"),
    ];
    for transport in TRANSPORTS {
        for _ in 0..5 {
            let mut pool = Pool::start(transport, 1, &limits);
            let mut clients = connect_keep_alive(&pool, 8);
            let mut stubborn = clients.pop().unwrap();
            stubborn.send(&call("/stubborn").keep(true).bytes());
            for connection in &mut clients {
                connection.send(&call("/").keep(true).bytes());
            }
            pool.program.line("killing worker");
            assert!(stubborn.response().text().contains("504"));
            for connection in &mut clients {
                answered(connection).unwrap();
            }
            ask_all(&mut clients, "of the next worker");
        }
    }
}

#[test]
fn busy_keep_alive_connections_are_rebalanced_to_an_idle_worker() {
    for transport in TRANSPORTS {
        let pool = Pool::start(transport, 2, &[]);
        // One worker is held, so the other one accepts both connections.
        let mut held = pool.paused(false);
        let gate = pool.gate();
        let mut kept = [pool.program.connect(), pool.program.connect()];
        let [one, two] = kept.each_mut().map(server_of);
        assert_eq!(one, two);
        drop(gate);
        assert!(held.response().text().contains("waited"));
        let start = Instant::now();
        let mut requests = 0;
        loop {
            let [one, two] = kept.each_mut().map(server_of);
            requests += 2;
            if one != two {
                break;
            }
            assert!(start.elapsed() < LIMIT, "{requests} requests");
        }
        println!(
            "measured: {transport:?}: two keep-alive connections of one worker had one each after {:.0?} and {requests} requests",
            start.elapsed()
        );
        pool.stop();
    }
}

/// More than the hand-over queue has room for, while the only other worker is busy.
#[test]
fn a_full_hand_over_queue_is_reported_and_loses_nothing() {
    const CONNECTIONS: usize = 600;
    let mut pool = Pool::start(TRANSPORTS[0], 2, &[]);
    let mut busy = pool.paused(false);
    let gate = pool.gate();
    let mut connections = connect_keep_alive(&pool, CONNECTIONS);
    let worker = server_of(&mut connections[0]);
    kill(Pid::from_raw(worker), Signal::SIGTERM).unwrap();
    pool.program.line("the hand-over queue is full: ");
    drop(gate);
    busy.response();
    for connection in &mut connections {
        ask_keep_alive(connection).unwrap();
    }
    pool.program
        .line(&format!("worker (pid {worker}) exited with status 0"));
    assert_eq!(pool.program.count("the hand-over queue is full"), 1);
    pool.stop();
}
