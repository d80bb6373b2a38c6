//! Connections in the listen queue when a pool stops.

use std::io::Write as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::peer::connection::{Address, Connection, LIMIT};
use super::peer::program::{
    Program, TRANSPORTS, Transport, compiled, ended_within, readable_within, unused,
    without_privileges,
};
use super::peer::records::{END, ID, STDIN, STDOUT, record, request};
use super::{Pool, answered, ask_keep_alive, call};

const WAITING: usize = 50;

pub(super) fn file_is_removed(address: &Address) -> bool {
    match address {
        Address::Unix(path) => !path.exists(),
        Address::Tcp(_) => true,
    }
}

#[test]
fn queued_connections_are_answered_and_new_ones_are_refused() {
    for transport in TRANSPORTS {
        let address = unused(transport);
        let mut pool = Pool::start_opening(&address, 2, &[]);
        let mut paused = [pool.paused(false), pool.paused(true)];
        let mut gate = pool.gate();
        let mut waiting: Vec<_> = (0..WAITING).map(|_| address.connect()).collect();
        let ask = |connection: &mut Connection| connection.send(&call("/").bytes());
        // Half of them send their request before the signal, and half after it.
        waiting[..WAITING / 2].iter_mut().for_each(ask);
        pool.program.signal(Signal::SIGTERM);
        pool.program.line("stopping 2 workers");
        assert!(address.is_closed());
        assert!(file_is_removed(&address));
        waiting[WAITING / 2..].iter_mut().for_each(ask);
        gate.write_all(b"xx").unwrap();
        for connection in &mut paused {
            assert!(connection.response().text().contains("waited"));
        }
        for connection in &mut waiting {
            answered(connection).unwrap();
            connection.assert_closed();
        }
        pool.assert_stopped();
        address.remove();
    }
}

#[test]
fn queued_connections_of_an_inherited_socket_are_answered() {
    for transport in TRANSPORTS {
        let mut pool = Pool::start(transport, 1, &[]);
        let mut paused = pool.paused(false);
        let gate = pool.gate();
        let mut waiting: Vec<_> = (0..WAITING).map(|_| pool.program.connect()).collect();
        for connection in &mut waiting {
            connection.send(&call("/").bytes());
        }
        pool.program.signal(Signal::SIGTERM);
        pool.program.line("stopping 1 worker");
        drop(gate);
        assert!(paused.response().text().contains("waited"));
        waiting
            .iter_mut()
            .for_each(|connection| answered(connection).unwrap());
        pool.assert_stopped();
    }
}

#[test]
fn silent_connections_in_the_queue_do_not_delay_the_stop() {
    for transport in TRANSPORTS {
        let address = unused(transport);
        let mut pool = Pool::start_opening(&address, 1, &[]);
        let mut paused = pool.paused(false);
        let gate = pool.gate();
        let mut silent: Vec<_> = (0..WAITING).map(|_| address.connect()).collect();
        let mut last = address.connect();
        last.send(&call("/").bytes());
        pool.program.signal(Signal::SIGTERM);
        pool.program.line("stopping 1 worker");
        let start = Instant::now();
        drop(gate);
        assert!(paused.response().text().contains("waited"));
        answered(&mut last).unwrap();
        silent.iter_mut().for_each(Connection::assert_closed);
        pool.assert_stopped();
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "{:?}",
            start.elapsed()
        );
        address.remove();
    }
}

#[test]
fn an_idle_pool_stops_immediately() {
    for transport in TRANSPORTS {
        for watched in [false, true] {
            let address = unused(transport);
            let mut pool = Pool::start_opening(&address, 4, &[]);
            let mut kept = address.connect();
            if watched {
                ask_keep_alive(&mut kept).unwrap();
            }
            drop(kept);
            let start = Instant::now();
            pool.program.signal(Signal::SIGTERM);
            pool.assert_stopped();
            // The workers need less than 100 ms. The rest is for a busy machine.
            assert!(
                start.elapsed() < Duration::from_secs(1),
                "{:?}",
                start.elapsed()
            );
            address.remove();
        }
    }
}

/// The outcome of requests around a stop.
#[derive(Default)]
struct Tally {
    answered: AtomicU32,
    /// On a keep-alive connection of TCP a request may cross the close.
    crossed: AtomicU32,
}

/// Sends requests until the address is closed. A client that could connect must be answered.
fn ask_until_closed(address: &Address, tally: &Tally) -> Result<(), String> {
    while let Ok(mut connection) = address.try_connect() {
        connection
            .try_send(&call("/").bytes())
            .map_err(|e| format!("send: {e}"))?;
        answered(&mut connection)?;
        tally.answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// The same on one connection, until it is closed. A web server checks that before each request.
fn ask_until_ended(address: &Address, tally: &Tally) -> Result<(), String> {
    // The address may be closed already.
    let Ok(mut connection) = address.try_connect() else {
        return Ok(());
    };
    while !readable_within(&connection, Duration::ZERO)
        && connection.try_send(&call("/").keep(true).bytes()).is_ok()
    {
        if let Err(error) = answered(&mut connection) {
            if matches!(address, Address::Tcp(_)) {
                tally.crossed.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            return Err(error);
        }
        tally.answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn stop_under_load(
    rounds: usize,
    stop: impl Fn(&Pool),
    ask: fn(&Address, &Tally) -> Result<(), String>,
) {
    stop_under_load_as(|_| {}, rounds, stop, ask);
}

fn stop_under_load_as(
    change: fn(&mut Command),
    rounds: usize,
    stop: impl Fn(&Pool),
    ask: fn(&Address, &Tally) -> Result<(), String>,
) {
    for transport in TRANSPORTS {
        let tally = Arc::new(Tally::default());
        for round in 0..rounds {
            let address = unused(transport);
            let mut pool = Pool::start_opening_as(change, &address, 2, &[]);
            let begun = tally.answered.load(Ordering::Relaxed);
            let clients: Vec<_> = (0..8)
                .map(|_| {
                    let (address, tally) = (address.clone(), Arc::clone(&tally));
                    std::thread::spawn(move || ask(&address, &tally))
                })
                .collect();
            // At a different moment in each round, under load.
            while tally.answered.load(Ordering::Relaxed) < begun + 8 + 7 * round as u32 {
                std::thread::yield_now();
            }
            stop(&pool);
            for client in clients {
                assert_eq!(client.join().unwrap(), Ok(()), "{transport:?}");
            }
            pool.assert_stopped();
            address.remove();
        }
        println!(
            "measured: {transport:?}: {:?} answered during {rounds} stops, {:?} crossed a close",
            tally.answered, tally.crossed
        );
    }
}

fn term(pool: &Pool) {
    pool.program.signal(Signal::SIGTERM);
}

#[test]
fn a_stop_under_load_answers_every_client_that_could_connect() {
    stop_under_load(6, term, ask_until_closed);
}

#[test]
fn a_stop_under_load_on_keep_alive_connections_loses_no_accepted_request() {
    stop_under_load(6, term, ask_until_ended);
}

/// Root may attach a filter to a TCP socket, and others may not.
#[test]
fn a_stop_without_privileges_answers_every_client_that_could_connect() {
    stop_under_load_as(without_privileges, 6, term, ask_until_closed);
    stop_under_load_as(without_privileges, 6, term, ask_until_ended);
}

#[test]
fn connections_in_the_queue_are_answered_and_new_ones_ignored_without_privileges() {
    let address = unused(Transport::Tcp);
    let mut pool = Pool::start_opening_as(without_privileges, &address, 1, &[]);
    let mut paused = pool.paused(false);
    let gate = pool.gate();
    let mut waiting: Vec<_> = (0..WAITING).map(|_| address.connect()).collect();
    let ask = |connection: &mut Connection| connection.send(&call("/").bytes());
    waiting[..WAITING / 2].iter_mut().for_each(ask);
    pool.program.signal(Signal::SIGTERM);
    pool.program.line("stopping 1 worker");
    assert!(address.is_closed());
    waiting[WAITING / 2..].iter_mut().for_each(ask);
    drop(gate);
    assert!(paused.response().text().contains("waited"));
    for connection in &mut waiting {
        answered(connection).unwrap();
    }
    assert_eq!(pool.program.count("connections continue to arrive"), 0);
    pool.assert_stopped();
}

/// As from a service manager or a terminal.
#[test]
fn a_signal_to_the_whole_group_under_load_loses_nothing() {
    let group = |pool: &Pool| killpg(Pid::from_raw(pool.program.pid()), Signal::SIGTERM).unwrap();
    stop_under_load(6, group, ask_until_closed);
}

/// The signal to the group reaches the workers before the manager.
#[test]
fn queued_connections_are_answered_when_all_workers_exit_before_the_manager_handles_the_signal() {
    for transport in TRANSPORTS {
        let address = unused(transport);
        let mut pool = Pool::start_opening(&address, 2, &[]);
        pool.program.suspend();
        pool.program.signal(Signal::SIGTERM);
        for worker in &pool.workers {
            kill(Pid::from_raw(*worker), Signal::SIGTERM).unwrap();
        }
        for worker in &pool.workers {
            assert!(ended_within(*worker, LIMIT), "worker {worker} is alive");
        }
        let mut waiting: Vec<_> = (0..WAITING).map(|_| address.connect()).collect();
        for connection in &mut waiting {
            connection.send(&call("/").bytes());
        }
        pool.program.signal(Signal::SIGCONT);
        for connection in &mut waiting {
            assert_eq!(answered(connection), Ok(()), "{transport:?}");
        }
        pool.assert_stopped();
        address.remove();
    }
}

#[test]
fn a_server_without_a_manager_answers_queued_connections() {
    for transport in TRANSPORTS {
        let address = unused(transport);
        let mut command = Command::new(compiled("conformance/app.c"));
        command.args([&address.text(), "1"]);
        let mut program = Program::start_opening(command, address.clone());
        program.line("app: ready");
        let mut busy = address.connect();
        busy.send(&request("/thread").head());
        assert_eq!(busy.record().kind, STDOUT);
        let mut waiting: Vec<_> = (0..WAITING).map(|_| address.connect()).collect();
        for connection in &mut waiting {
            connection.send(&request("/served").bytes());
        }
        program.signal(Signal::SIGUSR1);
        busy.send(&record(STDIN, ID, &[]));
        while busy.record().kind != END {}
        for connection in &mut waiting {
            assert_eq!(connection.response().app_status, 0);
        }
        program.line("app: accept: FCGIPM_ERETIRED");
        assert!(program.wait().success());
        assert!(file_is_removed(&address));
        address.remove();
    }
}

/// One thread closes the listening socket, and the others must not report an error.
#[test]
fn all_threads_of_a_server_without_a_manager_retire() {
    const THREADS: usize = 4;
    for round in 0..20 {
        let transport = TRANSPORTS[round % 2];
        let address = unused(transport);
        let mut command = Command::new(compiled("conformance/app.c"));
        command.args([address.text(), THREADS.to_string()]);
        let mut program = Program::start_opening(command, address.clone());
        (0..THREADS).for_each(|_| drop(program.line("app: ready")));
        let mut kept = address.connect();
        if round % 4 < 2 {
            kept.call(&request("/served").keep(true));
        }
        program.signal(Signal::SIGUSR1);
        (0..THREADS).for_each(|_| drop(program.line("app: accept: FCGIPM_ERETIRED")));
        assert!(program.wait().success());
        assert!(file_is_removed(&address));
        address.remove();
    }
}
