//! The number of workers, by load and by signals.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::peer::pool::{Pool, call};
use super::peer::program::{Program, TRANSPORTS, Transport};
use super::peer::records::ID;
use super::{Load, ask_in_two_segments, ask_keep_alive};

fn dynamic(transport: Transport, start: usize, most: usize, spare: (&str, &str)) -> Pool {
    let start_text = start.to_string();
    let environment = [
        ("FCGIPM_PM", "dynamic"),
        ("FCGIPM_START_SERVERS", &start_text),
        ("FCGIPM_MIN_SPARE", spare.0),
        ("FCGIPM_MAX_SPARE", spare.1),
    ];
    let (mut command, gate) = super::peer::pool::command(most, &environment);
    command.env("FCGIPM_N_PROCESSES", most.to_string());
    Pool::ready(Program::start(command, transport), gate, start)
}

#[test]
fn twenty_concurrent_slow_requests_start_twenty_workers_within_a_second() {
    for transport in TRANSPORTS {
        let mut pool = dynamic(transport, 2, 20, ("1", "3"));
        let asked = Instant::now();
        let mut slow: Vec<_> = (0..20).map(|_| pool.paused(false)).collect();
        for _ in 2..20 {
            let _ = pool.next_ready();
        }
        let took = asked.elapsed();
        println!("measured: {transport:?}: from 2 to 20 workers in {took:?}");
        assert!(took < Duration::from_secs(1), "{took:?}");
        let _gate = pool.let_through(20);
        for connection in &mut slow {
            assert!(connection.response_to(ID).text().contains("waited"));
        }
        // The pool shrinks to three idle workers.
        for _ in 3..20 {
            pool.program.line("exited with status 0");
        }
        pool.stop();
    }
}

/// The number of ready workers, by the log.
fn ready(pool: &mut Pool) -> usize {
    pool.program.count(") ready") - pool.program.count(") exited")
}

#[test]
fn growing_and_shrinking_lose_nothing() {
    let mut pool = dynamic(Transport::Unix, 1, 12, ("1", "2"));
    let address = pool.program.address.clone();
    let mut kept: Vec<_> = (0..4).map(|_| pool.program.connect()).collect();
    let quiet = Load::start(
        1,
        || address.clone(),
        |address| ask_in_two_segments(address),
    );
    for _ in 0..3 {
        let mut slow: Vec<_> = (0..6).map(|_| pool.paused(false)).collect();
        while ready(&mut pool) < 6 {
            pool.program.line("worker (pid ");
        }
        let gate = pool.let_through(6);
        for connection in &mut slow {
            assert!(connection.response_to(ID).text().contains("waited"));
        }
        drop(gate);
        // Two spare workers, and the busy one.
        while ready(&mut pool) > 3 {
            pool.program.line("worker (pid ");
        }
        for connection in &mut kept {
            ask_keep_alive(connection).unwrap();
        }
    }
    println!("measured: {} requests beside the bursts", quiet.finish());
    pool.stop();
}

#[test]
fn on_demand_there_is_no_worker_before_and_after_requests() {
    for transport in TRANSPORTS {
        let environment = [
            ("FCGIPM_PM", "ondemand"),
            ("FCGIPM_PROCESS_IDLE_TIMEOUT", "0.3"),
        ];
        let (mut command, gate) = super::peer::pool::command(4, &environment);
        command.env("FCGIPM_N_PROCESSES", "4");
        let program = Program::start(command, transport);
        let mut pool = Pool::ready(program, gate, 0);
        pool.program.line("managing");
        for _ in 0..2 {
            assert!(pool.program.call(&call("/")).text().contains("Hello"));
            pool.program.line("exited with status 0");
        }
        assert_eq!(pool.program.count("emergency"), 0);
        pool.stop();
    }
}

#[test]
fn a_reload_of_a_dynamic_pool_replaces_all_workers() {
    let mut pool = dynamic(Transport::Unix, 2, 10, ("1", "10"));
    let mut slow: Vec<_> = (0..6).map(|_| pool.paused(false)).collect();
    for _ in 2..6 {
        let _ = pool.next_ready();
    }
    pool.program.signal(Signal::SIGHUP);
    pool.program.line("all new workers are ready");
    let _gate = pool.let_through(6);
    for connection in &mut slow {
        assert!(connection.response_to(ID).text().contains("waited"));
    }
    pool.program.line("reload done");
    assert!(pool.program.call(&call("/")).text().contains("Hello"));
    pool.stop();
}

#[test]
fn ttin_adds_a_worker_and_ttou_removes_one() {
    let mut pool = Pool::start(Transport::Unix, 2, &[]);
    pool.program.signal(Signal::SIGTTIN);
    pool.program.line("number of workers set to 3");
    let _ = pool.next_ready();
    pool.program.signal(Signal::SIGTTOU);
    pool.program.line("number of workers set to 2");
    pool.program.line("exited with status 0");
    pool.stop();
}

#[test]
fn contradictory_options_are_errors_that_name_both() {
    for (name, value, message) in [
        (
            "FCGIPM_MIN_SPARE",
            "3",
            "option start_servers: 3 is more than n_processes = 2",
        ),
        (
            "FCGIPM_START_SERVERS",
            "5",
            "option start_servers: 5 is more than n_processes = 2",
        ),
        (
            "FCGIPM_MIN_SPARE",
            "2",
            "option max_spare: 1 is less than min_spare = 2",
        ),
    ] {
        let environment = [
            ("FCGIPM_PM", "dynamic"),
            ("FCGIPM_MAX_SPARE", "1"),
            (name, value),
        ];
        let (command, _gate) = super::peer::pool::command(2, &environment);
        let mut program = Program::start(command, Transport::Unix);
        program.line(message);
        assert_eq!(program.wait().code(), Some(1));
    }
}

#[test]
fn a_stop_of_a_pool_without_workers_answers_queued_requests() {
    for transport in TRANSPORTS {
        let (mut command, gate) = super::peer::pool::command(3, &[("FCGIPM_PM", "ondemand")]);
        command.env("FCGIPM_N_PROCESSES", "3");
        let program = Program::start(command, transport);
        let mut pool = Pool::ready(program, gate, 0);
        pool.program.line("managing");
        // It finds the request and the signal at the same time.
        pool.program.signal(Signal::SIGSTOP);
        let mut waiting = pool.program.connect();
        waiting.send(&call("/").bytes());
        pool.program.signal(Signal::SIGTERM);
        pool.program.signal(Signal::SIGCONT);
        let text = waiting.response_to(ID).text();
        assert!(text.contains("Hello"), "{text}");
        pool.assert_stopped();
    }
}
