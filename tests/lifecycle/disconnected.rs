//! Clients that disconnected while their request waited.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::peer::connection::Connection;
use super::peer::program::{TRANSPORTS, Transport};
use super::peer::records::ID;
use super::{Pool, ask_on_kept, call};

/// How a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaves {
    /// With close(2).
    Closed,
    /// On TCP with a reset.
    Reset,
    /// It only says that it sends no more, and waits for the answer.
    HalfClosed,
    /// Not at all.
    Stays,
}

/// That a request takes long is the scenario: more than two ticks of the kernel's clock.
pub(super) fn hold_for_long() {
    std::thread::sleep(Duration::from_millis(50));
}

const CLIENTS: usize = 40;

/// One worker is held while N clients ask, of whom every second one disconnects; how many requests of
/// those that left were run, and the pool. All others must be answered.
fn run_for_gone(transport: Transport, option: Option<&str>, leaves: Leaves) -> (usize, Pool) {
    let option = option.map(|word| ("FCGIPM_SKIP_DISCONNECTED", word));
    let pool = Pool::start(transport, 1, option.as_slice());
    let mut held = pool.paused(false);
    let gate = pool.gate();
    let mut staying = Vec::new();
    for number in 0..CLIENTS {
        let mut client = pool.program.connect();
        client.send(&call("/").bytes());
        match leaves {
            _ if number % 2 == 0 => staying.push(client),
            Leaves::Closed => drop(client),
            Leaves::Reset => client.reset(),
            Leaves::HalfClosed => {
                client.end();
                staying.push(client);
            }
            Leaves::Stays => staying.push(client),
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
    // All before it were run, but that of the last one to come, which is behind the last that stays.
    (last - 1 - staying.len(), pool)
}

#[test]
fn no_request_is_run_whose_client_has_certainly_disconnected() {
    for (transport, leaves) in [
        (Transport::Unix, Leaves::Closed),
        (Transport::Tcp, Leaves::Reset),
    ] {
        let (run, mut pool) = run_for_gone(transport, None, leaves);
        assert_eq!(run, 0, "{transport:?}, {leaves:?}");
        // A client that asks after them is answered, and with that the last of them has been passed.
        pool.program.call(&call("/"));
        pool.program
            .line(" had disconnected (option skip_disconnected)");
        assert_eq!(pool.status()["disconnected"], CLIENTS / 2);
        pool.stop();
    }
}

#[test]
fn who_may_still_read_is_answered_unless_the_operator_knows_better() {
    for transport in TRANSPORTS {
        let (run, pool) = run_for_gone(transport, None, Leaves::HalfClosed);
        assert_eq!(run, 0, "all of them are counted as staying");
        pool.stop();
    }
    // What closed on TCP looks like that, too.
    let (run, pool) = run_for_gone(Transport::Tcp, None, Leaves::Closed);
    assert_eq!(run, CLIENTS / 2 - 1);
    pool.stop();
    let (run, pool) = run_for_gone(Transport::Tcp, Some("eof"), Leaves::Closed);
    assert_eq!(run, 0);
    pool.stop();
}

#[test]
fn without_the_option_everything_is_run() {
    for (transport, leaves) in [
        (Transport::Unix, Leaves::Closed),
        (Transport::Tcp, Leaves::Closed),
    ] {
        let (run, mut pool) = run_for_gone(transport, Some("no"), leaves);
        assert_eq!(run, CLIENTS / 2 - 1, "{transport:?}");
        pool.program.call(&call("/"));
        assert_eq!(pool.status()["disconnected"], 0);
        pool.program.signal(Signal::SIGTERM);
        assert_eq!(pool.program.wait().code(), Some(0));
        // Its answers went nowhere.
        let lost = |line: &String| line.contains("hello: the response was not sent completely");
        let lost = pool
            .program
            .all_lines()
            .iter()
            .filter(|line| lost(line))
            .count();
        assert_eq!(lost > 0, transport == Transport::Unix, "{lost}");
    }
    let (run, pool) = run_for_gone(Transport::Unix, Some("no"), Leaves::Stays);
    assert_eq!(run, 0);
    pool.stop();
}

#[test]
fn a_request_on_a_keep_alive_connection_is_not_run_when_its_client_has_disconnected() {
    let mut pool = Pool::start(Transport::Unix, 1, &[]);
    let mut kept: Vec<Connection> = (0..8).map(|_| pool.program.connect()).collect();
    for client in &mut kept {
        ask_on_kept(client).unwrap();
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

/// A client that only looks whether somebody is there, and closes, has asked for nothing.
#[test]
fn who_asked_for_nothing_is_not_counted() {
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

/// Nobody could accept before: the worker's start is held by a fifo.
#[test]
fn no_request_is_run_whose_client_disconnected_while_the_worker_started() {
    for transport in TRANSPORTS {
        let folder = super::peer::program::folder();
        let starts = folder.join("starts");
        nix::unistd::mkfifo(&starts, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let start = format!("exec cat {}", starts.display());
        let (command, gate) = super::command(1, &[("HELLO_START", &start)]);
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
        drop(std::fs::File::options().write(true).open(&starts).unwrap());
        let pool = Pool::ready(program, gate, 1);
        let run: Vec<_> = staying
            .iter_mut()
            .map(|client| super::worker_of(&client.response().text()).1)
            .collect();
        let all: Vec<_> = (1..=staying.len() as u64).collect();
        assert_eq!(run, all, "{transport:?}: nobody else's request was run");
        assert_eq!(pool.status()["disconnected"], CLIENTS / 4 * 3);
        pool.stop();
        let _ = std::fs::remove_dir_all(folder);
    }
}
