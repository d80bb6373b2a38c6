//! Restarts on a listening socket that stays open, under load on keep-alive connections.

use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::cost::{calls_of, trace_to_end, traced};
use super::golden::{from_last, names};
use super::peer::connection::Address;
use super::peer::program::{TRANSPORTS, Transport, listen, product};
use super::uncounted_queue::pool_without_netlink;
use super::{Pool, ask_keep_alive};

const WORKERS: usize = 2;
const CLIENTS: u64 = 8;

fn load(address: &Address) -> Child {
    Command::new(product("fcgipm"))
        .args(["load", "--keep", "--json", "-t", "3600"])
        .args(["-c", &CLIENTS.to_string(), "--expect", "Hello"])
        .arg(address.text())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Restarts pools under load. Each connection of a pool that ends is closed while its client sends one
/// request after another. Returns how many were closed, and how many requests were lost.
fn restart(transport: Transport, start: impl Fn(&OwnedFd, &Address) -> Pool) -> (u64, u64) {
    const RESTARTS: usize = 20;
    let (listener, address) = listen(transport);
    let mut pool = start(&listener, &address);
    let load = load(&address);
    for _ in 0..RESTARTS {
        while pool.status()["requests"].as_u64().unwrap() < 500 {
            std::thread::yield_now();
        }
        pool.stop();
        pool = start(&listener, &address);
    }
    kill(Pid::from_raw(load.id() as i32), Signal::SIGINT).unwrap();
    let report = load.wait_with_output().unwrap().stdout;
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    pool.stop();
    address.remove();
    let closed = report["connections"].as_u64().unwrap() - CLIENTS;
    println!("measured: {RESTARTS} restarts, {transport:?}: {closed} connections closed, {report}");
    let before = &report["lost_by_kind"]["before_reused"];
    assert_eq!(report["lost"], *before, "{report}");
    (closed, before.as_u64().unwrap())
}

/// If a worker loses its processor between its last two calls on a connection, a request may still
/// cross the end.
fn assert_almost_none_lost((closed, lost): (u64, u64)) {
    assert!(lost * 50 <= closed, "{lost} lost, {closed} closed");
}

#[test]
fn clients_that_check_before_they_send_lose_nothing() {
    for transport in TRANSPORTS {
        assert_almost_none_lost(restart(transport, |listener, address| {
            let listener = listener.try_clone().unwrap();
            Pool::start_on(listener, address.clone(), WORKERS, &[])
        }));
    }
}

#[test]
fn nor_do_they_where_the_queue_cannot_be_counted() {
    assert_almost_none_lost(restart(Transport::Unix, |listener, address| {
        pool_without_netlink(listener, address, WORKERS)
    }));
}

/// A client that sends within that time is still answered.
#[test]
fn a_connection_in_use_stays_open_for_a_moment_of_the_stop() {
    // The worker's clock may be a tick behind.
    const MOMENT: Duration = Duration::from_millis(50 - 10);
    for transport in TRANSPORTS {
        let mut pool = Pool::start(transport, 1, &[]);
        let mut kept = pool.program.connect();
        ask_keep_alive(&mut kept).unwrap();
        let began = Instant::now();
        ask_keep_alive(&mut kept).unwrap();
        pool.program.signal(Signal::SIGTERM);
        kept.assert_closed();
        assert!(began.elapsed() >= MOMENT, "{:?}", began.elapsed());
        pool.assert_stopped();
    }
}

#[test]
fn a_connection_ends_right_behind_its_last_response() {
    for transport in TRANSPORTS {
        let (pool, trace) = traced(transport, 1, &[]);
        let mut kept = pool.paused(true);
        let gate = pool.gate();
        pool.program.signal(Signal::SIGTERM);
        while pool.status()["retiring"] != 1 {
            std::thread::yield_now();
        }
        drop(gate);
        let worker = pool.workers[0];
        // The client reads after that: one that has read may send once more.
        let calls = calls_of(&trace_to_end(pool, &trace), worker);
        assert!(kept.response().text().contains("waited"));
        kept.assert_closed();
        let calls = names(&calls);
        let (last, ends): (&str, &[&str]) = match transport {
            // Reading ends, what has come before that is looked for, and writing ends.
            Transport::Unix => ("ioctl", &["shutdown", "recvfrom", "shutdown", "close"]),
            Transport::Tcp => ("setsockopt", &["sendto", "shutdown", "close"]),
        };
        let found = &from_last(&calls, last)[1..];
        assert_eq!(found[..ends.len()], *ends, "{transport:?}: {calls:?}");
    }
}
