//! Clients that disconnect while their request waits.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::peer::connection::Connection;
use super::peer::program::{TRANSPORTS, Transport};
use super::peer::records::ID;
use super::start_script::StartScript;
use super::{Pool, ask_keep_alive, call};

/// How a client disconnects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disconnects {
    /// With close(2).
    Closed,
    /// With a TCP reset.
    Reset,
    /// It shuts down its sending side, and waits for the answer.
    HalfClosed,
    /// Not at all.
    Stays,
}

/// The scenario is a long request: it takes more than two ticks of the kernel's clock.
pub(super) fn hold_for_long() {
    std::thread::sleep(Duration::from_millis(50));
}

const CLIENTS: usize = 40;

/// Holds one worker while clients send requests, and every second client disconnects. Returns how
/// many requests of disconnected clients were run. All others must be answered.
fn run_for_disconnected(
    transport: Transport,
    option: Option<&str>,
    how: Disconnects,
) -> (usize, Pool) {
    let option = option.map(|word| ("FCGIPM_SKIP_DISCONNECTED", word));
    let pool = Pool::start(transport, 1, option.as_slice());
    let mut held = pool.paused(false);
    let gate = pool.gate();
    let mut staying = Vec::new();
    for number in 0..CLIENTS {
        let mut client = pool.program.connect();
        client.send(&call("/").bytes());
        match how {
            _ if number % 2 == 0 => staying.push(client),
            Disconnects::Closed => drop(client),
            Disconnects::Reset => client.reset(),
            Disconnects::HalfClosed => {
                client.end();
                staying.push(client);
            }
            Disconnects::Stays => staying.push(client),
        }
    }
    hold_for_long();
    drop(gate);
    assert!(held.response().text().contains("waited"));
    let mut last = 0;
    for client in &mut staying {
        let text = client.response().text();
        let (_, number) = text.trim_end().rsplit_once(' ').unwrap();
        last = number.parse().unwrap();
    }
    // The last client disconnects too, but its request is behind the last answer.
    (last - 1 - staying.len(), pool)
}

#[test]
fn requests_of_clients_that_have_certainly_disconnected_are_skipped() {
    for (transport, how) in [
        (Transport::Unix, Disconnects::Closed),
        (Transport::Tcp, Disconnects::Reset),
    ] {
        let (run, mut pool) = run_for_disconnected(transport, None, how);
        assert_eq!(run, 0, "{transport:?}, {how:?}");
        // After the answer to a later request, all of them have been skipped.
        pool.program.call(&call("/"));
        pool.program
            .line(" had disconnected (option skip_disconnected)");
        assert_eq!(pool.status()["disconnected"], CLIENTS / 2);
        pool.stop();
    }
}

#[test]
fn clients_that_may_still_read_are_answered_unless_the_option_is_eof() {
    for transport in TRANSPORTS {
        let (run, pool) = run_for_disconnected(transport, None, Disconnects::HalfClosed);
        assert_eq!(run, 0, "all of them wait for the answer");
        pool.stop();
    }
    // A connection closed on TCP looks the same.
    let (run, pool) = run_for_disconnected(Transport::Tcp, None, Disconnects::Closed);
    assert_eq!(run, CLIENTS / 2 - 1);
    pool.stop();
    let (run, pool) = run_for_disconnected(Transport::Tcp, Some("eof"), Disconnects::Closed);
    assert_eq!(run, 0);
    pool.stop();
}

#[test]
fn without_the_option_all_requests_are_run() {
    for (transport, how) in [
        (Transport::Unix, Disconnects::Closed),
        (Transport::Tcp, Disconnects::Closed),
    ] {
        let (run, mut pool) = run_for_disconnected(transport, Some("no"), how);
        assert_eq!(run, CLIENTS / 2 - 1, "{transport:?}");
        pool.program.call(&call("/"));
        assert_eq!(pool.status()["disconnected"], 0);
        pool.program.signal(Signal::SIGTERM);
        assert_eq!(pool.program.wait().code(), Some(0));
        // On a unix socket, writing to a closed connection fails.
        let lost = |line: &String| line.contains("hello: the response was not sent completely");
        let lost = pool
            .program
            .all_lines()
            .iter()
            .filter(|line| lost(line))
            .count();
        assert_eq!(lost > 0, transport == Transport::Unix, "{lost}");
    }
    let (run, pool) = run_for_disconnected(Transport::Unix, Some("no"), Disconnects::Stays);
    assert_eq!(run, 0);
    pool.stop();
}

#[test]
fn a_request_on_a_keep_alive_connection_is_skipped_when_its_client_has_disconnected() {
    let mut pool = Pool::start(Transport::Unix, 1, &[]);
    let mut kept: Vec<Connection> = (0..8).map(|_| pool.program.connect()).collect();
    for client in &mut kept {
        ask_keep_alive(client).unwrap();
    }
    let mut held = pool.paused(false);
    let gate = pool.gate();
    for client in &mut kept {
        client.send(&call("/").keep(true).bytes());
    }
    kept.truncate(4);
    drop(gate);
    assert!(held.response().text().contains("waited"));
    for client in &mut kept {
        let response = client.try_response_to(ID).unwrap();
        assert!(response.text().contains("Hello"));
    }
    pool.program.call(&call("/"));
    assert_eq!(pool.status()["disconnected"], 4);
    pool.program
        .line(" had disconnected (option skip_disconnected)");
    pool.stop();
}

/// A client may connect only to check that the address is open.
#[test]
fn clients_without_a_request_are_not_counted() {
    for transport in TRANSPORTS {
        let pool = Pool::start(transport, 1, &[]);
        let mut held = pool.paused(false);
        let gate = pool.gate();
        for _ in 0..8 {
            drop(pool.program.connect());
        }
        drop(gate);
        assert!(held.response().text().contains("waited"));
        pool.program.call(&call("/"));
        assert_eq!(pool.status()["disconnected"], 0);
        pool.stop();
    }
}

/// The start of the only worker waits at a gate, so nothing is accepted before.
#[test]
fn requests_of_clients_that_disconnected_while_the_worker_started_are_skipped() {
    for transport in TRANSPORTS {
        let start = StartScript::new("true");
        let start_gate = start.gate("gate");
        start.change(&start_gate.wait());
        let (command, gate) = super::command(1, &[("HELLO_START", &start.command())]);
        let program = super::peer::program::Program::start(command, transport);
        let mut staying = Vec::new();
        for number in 0..CLIENTS {
            let mut client = program.connect();
            client.send(&call("/").bytes());
            match transport {
                _ if number % 4 == 3 => staying.push(client),
                Transport::Unix => drop(client),
                Transport::Tcp => client.reset(),
            }
        }
        drop(start_gate.reached());
        let pool = Pool::ready(program, gate, 1);
        let run: Vec<_> = staying
            .iter_mut()
            .map(|client| super::worker_of(&client.response().text()).1)
            .collect();
        let all: Vec<_> = (1..=staying.len() as u64).collect();
        assert_eq!(run, all, "{transport:?}: another request was run");
        assert_eq!(pool.status()["disconnected"], CLIENTS / 4 * 3);
        pool.stop();
    }
}
