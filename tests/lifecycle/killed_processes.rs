//! Deaths of managers and workers, and signals that other processes send to workers.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::peer::connection::Connection;
use super::peer::program::{TRANSPORTS, Transport, ended_within};
use super::peer::records::{ID, STDIN};
use super::peer::sleeps::assert_sleeps;
use super::peer::tracer::Tracer;
use super::{A_SECOND, Pool, ask_keep_alive, call};

#[test]
fn without_a_manager_idle_workers_exit_within_a_second_and_busy_ones_finish_first() {
    for transport in TRANSPORTS {
        for watched in [false, true] {
            let mut pool = Pool::start(transport, 4, &[]);
            let mut kept = pool.program.connect();
            if watched {
                ask_keep_alive(&mut kept).unwrap();
            }
            let mut paused = pool.paused(false);
            let gate = pool.gate();
            let (mut half, rest) = pool.half(&call("/"));
            pool.program.signal(Signal::SIGKILL);
            pool.program.wait();
            let left: Vec<_> = pool
                .workers
                .iter()
                .filter(|pid| !ended_within(**pid, A_SECOND))
                .collect();
            assert_eq!(left.len(), 2, "two have requests");
            drop(gate);
            assert!(paused.response_to(ID).text().contains("waited"));
            half.send(&rest);
            assert!(half.response_to(ID).text().contains("Hello"));
            for pid in &pool.workers {
                assert!(ended_within(*pid, A_SECOND), "{pid} still runs");
            }
        }
    }
}

/// A pool whose old worker retires after it has answered a request whose last record is incomplete.
fn retiring_within_a_record(transport: Transport) -> (Pool, Connection) {
    let mut pool = Pool::start(transport, 1, &[]);
    let mut half = pool.program.connect();
    let request = call("/").body("0123456789").keep(true);
    half.send(&request.bytes()[..request.head().len() + 12]);
    half.response();
    pool.program.signal(Signal::SIGHUP);
    pool.program.line("all new workers are ready");
    (pool, half)
}

#[test]
fn a_retired_worker_within_an_incomplete_record_notices_the_managers_death() {
    for transport in TRANSPORTS {
        let (mut pool, _half) = retiring_within_a_record(transport);
        pool.program.signal(Signal::SIGKILL);
        pool.program.wait();
        assert!(
            ended_within(pool.workers[0], A_SECOND),
            "the old worker still runs"
        );
    }
}

#[test]
fn a_retired_worker_does_not_wait_for_the_rest_of_a_record_after_the_response() {
    for transport in TRANSPORTS {
        let (pool, _half) = retiring_within_a_record(transport);
        let limit = 5 * A_SECOND;
        assert!(ended_within(pool.workers[0], limit), "it still runs");
        pool.stop();
    }
}

#[test]
fn a_signal_from_another_process_retires_a_worker_gracefully() {
    for signal in [
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
    ] {
        let mut pool = Pool::start(TRANSPORTS[0], 1, &[]);
        let worker = pool.workers[0];
        let mut paused = pool.paused(true);
        let gate = pool.gate();
        kill(Pid::from_raw(worker), signal).unwrap();
        drop(gate);
        assert!(paused.response_to(ID).text().contains("waited"));
        let replacement = pool.next_ready();
        assert_ne!(replacement, worker);
        assert!(ended_within(worker, Duration::from_secs(5)));
        // The keep-alive connection was handed over.
        ask_keep_alive(&mut paused).unwrap();
        // The same for an idle worker.
        kill(Pid::from_raw(replacement), signal).unwrap();
        pool.program
            .line(&format!("worker (pid {replacement}) exited with status 0"));
        let _ = pool.next_ready();
        ask_keep_alive(&mut paused).unwrap();
        pool.stop();
    }
}

#[test]
fn a_killed_worker_is_replaced() {
    for transport in TRANSPORTS {
        let mut pool = Pool::start(transport, 2, &[]);
        for round in 0..4 {
            let victim = pool.workers[round % 2];
            kill(Pid::from_raw(victim), Signal::SIGKILL).unwrap();
            pool.program
                .line(&format!("worker (pid {victim}) killed by SIGKILL"));
            pool.workers[round % 2] = pool.next_ready();
            assert!(pool.program.call(&call("/")).text().contains("Hello"));
        }
    }
}

#[test]
fn a_worker_killed_in_a_request_loses_only_that_request() {
    let mut pool = Pool::start(TRANSPORTS[0], 1, &[]);
    let mut paused = pool.paused(false);
    let gate = pool.gate();
    let mut waiting = pool.program.connect();
    waiting.send(&call("/").bytes());
    kill(Pid::from_raw(pool.workers[0]), Signal::SIGKILL).unwrap();
    assert!(paused.try_response_to(ID).is_err());
    drop(gate);
    let _ = pool.next_ready();
    assert!(waiting.response_to(ID).text().contains("Hello"));
}

#[test]
fn wake_up_signals_do_not_disturb_a_request() {
    let pool = Pool::start(TRANSPORTS[1], 1, &[]);
    let worker = Pid::from_raw(pool.workers[0]);
    let mut connection = pool.program.connect();
    let request = call("/echo").body("0123456789").keep(true);
    for byte in &request.bytes() {
        connection.send(&[*byte]);
        kill(worker, Signal::SIGURG).unwrap();
    }
    assert!(connection.response_to(ID).text().ends_with("0123456789"));
    connection.send(&request.head());
    for _ in 0..100 {
        kill(worker, Signal::SIGURG).unwrap();
        connection.send(&super::peer::records::record(STDIN, ID, b"x"));
    }
    connection.send(&super::peer::records::record(STDIN, ID, b""));
    assert!(
        connection
            .response_to(ID)
            .text()
            .ends_with(&"x".repeat(100))
    );
    pool.stop();
}

#[test]
fn a_killed_worker_that_a_debugger_holds_does_not_occupy_the_manager() {
    let mut pool = Pool::start(Transport::Unix, 2, &[]);
    let worker = pool.workers[0];
    let tracer = Tracer::attach(worker);
    kill(Pid::from_raw(worker), Signal::SIGKILL).unwrap();
    tracer.await_end(worker);
    assert_sleeps(pool.program.pid(), 20, || ());
    drop(tracer);
    pool.program
        .line(&format!("(pid {worker}) killed by SIGKILL"));
    pool.next_ready();
    pool.program.signal(Signal::SIGTERM);
    assert!(pool.program.wait().success());
}
