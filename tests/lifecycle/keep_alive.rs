//! Keep-alive connections delay no other client, and wait for no busy worker.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::peer::connection::{Connection, LIMIT};
use super::peer::program::{TRANSPORTS, wait_until_asleep};
use super::{Pool, answered, ask_on_kept, call, worker_of};

/// Far below what a worker at the gate would make them wait, and far above what anything else takes.
const SOON: Duration = Duration::from_secs(1);

fn kept(pool: &Pool, count: usize) -> Vec<Connection> {
    let mut connections: Vec<_> = (0..count).map(|_| pool.program.connect()).collect();
    for connection in &mut connections {
        ask_on_kept(connection).unwrap();
    }
    connections
}

/// The worker that answers on a keep-alive connection.
fn server_of(connection: &mut Connection) -> i32 {
    worker_of(&connection.call(&call("/").keep(true)).text()).0
}

/// Of the workers that wait, the kernel wakes the one that has watched the listening socket for longest. The manager, which
/// moves connections by what it sees from time to time, stands still meanwhile.
#[test]
fn kept_clients_that_come_one_after_another_go_to_the_workers_in_turn() {
    const WORKERS: usize = 4;
    const EACH: usize = 8;
    // A client that pauses before it speaks is accepted and parked first.
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
        ask_all(&mut clients, "each again");
        pool.stop();
    }
}

fn ask_all(connections: &mut [Connection], what: &str) -> Duration {
    let mut longest = Duration::ZERO;
    for (number, connection) in connections.iter_mut().enumerate() {
        let begun = Instant::now();
        ask_on_kept(connection).unwrap_or_else(|error| panic!("{what}, client {number}: {error}"));
        longest = longest.max(begun.elapsed());
    }
    longest
}

#[test]
fn none_of_thirty_two_kept_clients_waits_for_a_worker_in_a_long_request() {
    for transport in TRANSPORTS {
        for round in 0..5 {
            let pool = Pool::start(transport, 4, &[]);
            let mut clients = kept(&pool, 32);
            // Whichever worker gets it has some of the others' connections.
            let mut busy = clients.swap_remove(round * 7 % 32);
            busy.send(&call("/pause").keep(true).bytes());
            let gate = pool.gate();
            let longest = ask_all(&mut clients, "beside a long request");
            assert!(longest < SOON, "{transport:?}: {longest:?}");
            let again = ask_all(&mut clients, "once more");
            println!(
                "measured: 32 kept clients beside a long request, {transport:?}: longest wait {longest:?}, then {again:?}"
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

/// The connections go to the first worker that has nothing to do, also if all were busy as the request began.
#[test]
fn a_worker_that_becomes_free_serves_the_kept_clients_of_one_that_is_busy() {
    for transport in TRANSPORTS {
        let pool = Pool::start(transport, 2, &[]);
        let mut clients = kept(&pool, 16);
        let mut busy: Vec<_> = clients.drain(..2).collect();
        for connection in &mut busy {
            connection.send(&call("/pause").keep(true).bytes());
        }
        // Both come to the gate, and each byte lets one through. Opened for both, it is never without a reader.
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
fn a_new_client_does_not_wait_for_sixty_four_that_are_kept() {
    for transport in TRANSPORTS {
        let pool = Pool::start(transport, 2, &[]);
        let mut clients = kept(&pool, 64);
        let begun = Instant::now();
        assert!(pool.program.call(&call("/")).text().contains("Hello"));
        let took = begun.elapsed();
        assert!(took < Duration::from_millis(100), "{transport:?}: {took:?}");
        println!("measured: a new client beside 64 idle ones, {transport:?}: {took:?}");
        ask_all(&mut clients, "after the new one");
        pool.stop();
    }
}

/// What waits on the keep-alive connections of a worker that is killed for its request is not lost with it.
#[test]
fn a_worker_that_is_killed_for_one_request_loses_no_other() {
    let limits = [
        ("FCGIPM_REQUEST_TIMEOUT", "0.3"),
        ("FCGIPM_REQUEST_TIMEOUT_GRACE", "0.1"),
    ];
    for transport in TRANSPORTS {
        for _ in 0..5 {
            let mut pool = Pool::start(transport, 1, &limits);
            let mut clients = kept(&pool, 8);
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
fn keep_alive_connections_that_are_in_use_are_shared_with_a_worker_that_has_nothing_to_do() {
    for transport in TRANSPORTS {
        let pool = Pool::start(transport, 2, &[]);
        // While one worker is held, both connections come to the other one.
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
