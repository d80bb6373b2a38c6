//! Requests that take too long: they are logged, their workers get notice and are finally killed,
//! and their clients still receive the end of a response.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::ask_keep_alive;
use super::peer::connection::Connection;
use super::peer::pool::{Pool, call};
use super::peer::program::{TRANSPORTS, Transport};
use super::peer::records::{END, ID};

/// A connection on which a request was sent.
fn send(pool: &Pool, path: &str, keep: bool) -> Connection {
    let mut connection = pool.program.connect();
    connection.send(&call(path).keep(keep).bytes());
    connection
}

#[test]
fn a_slow_request_is_logged_once_and_continues() {
    let mut pool = Pool::start(Transport::Unix, 2, &[("FCGIPM_SLOW_REQUEST", "0.2")]);
    let mut slow = send(&pool, "/pause?n=0", false);
    let gate = pool.gate();
    let line = pool.program.line("slow request");
    assert!(line.contains(": GET /pause"), "{line}");
    drop(gate);
    assert!(slow.response_to(ID).text().contains("waited"));
    assert_eq!(pool.program.count(") for "), 1);
    pool.stop();
}

#[test]
fn a_worker_that_handles_the_notice_answers_in_time() {
    for transport in TRANSPORTS {
        let limits = [("FCGIPM_REQUEST_TIMEOUT", "0.2")];
        let mut pool = Pool::start(transport, 1, &limits);
        let mut connection = send(&pool, "/pause", true);
        let line = pool.program.line("request timed out");
        for part in [
            &format!("worker (pid {}) after ", pool.workers[0]),
            ": GET /pause",
        ] {
            assert!(line.contains(part), "{line}");
        }
        let text = connection.response_to(ID).text();
        assert!(text.contains("503") && text.contains("timed out"), "{text}");
        // The same worker continues, on the same connection.
        ask_keep_alive(&mut connection).unwrap();
        pool.stop();
    }
}

#[test]
fn a_worker_that_ignores_the_notice_is_killed_and_its_client_receives_a_504() {
    for transport in TRANSPORTS {
        for keep in [false, true] {
            let limits = [
                ("FCGIPM_REQUEST_TIMEOUT", "0.2"),
                ("FCGIPM_REQUEST_TIMEOUT_GRACE", "0.1"),
            ];
            let mut pool = Pool::start(transport, 1, &limits);
            let mut connection = send(&pool, "/stubborn", keep);
            pool.program.line("request timed out");
            let line = pool.program.line("killing worker");
            assert!(line.contains(": GET /stubborn"), "{line}");
            let response = connection.response_to(ID);
            assert!(
                response
                    .text()
                    .starts_with("Status: 504 Gateway Timeout\r\n"),
                "{}",
                response.text()
            );
            assert_eq!(response.app_status, 137);
            connection.assert_closed();
            let _ = pool.next_ready();
            assert!(pool.program.call(&call("/")).text().contains("Hello"));
            pool.program.signal(Signal::SIGTERM);
            assert_eq!(pool.program.wait().code(), Some(0));
        }
    }
}

#[test]
fn a_response_that_has_begun_is_ended_without_additional_content() {
    for transport in TRANSPORTS {
        let limits = [
            ("FCGIPM_REQUEST_TIMEOUT", "0.2"),
            ("FCGIPM_REQUEST_TIMEOUT_GRACE", "0.1"),
        ];
        let pool = Pool::start(transport, 1, &limits);
        let mut connection = send(&pool, "/stubborn?n=100000", false);
        let response = connection.response_to(ID);
        let text = response.text();
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "x".repeat(100_000));
        assert_eq!(response.records.last().unwrap().kind, END);
        assert_eq!(response.app_status, 137);
        connection.assert_closed();
    }
}

#[test]
fn unread_input_does_not_cause_a_reset_before_the_response() {
    for transport in TRANSPORTS {
        // Long enough for the parameters to arrive on a slow machine: without them there is no
        // request to respond to.
        let limits = [
            ("FCGIPM_REQUEST_TIMEOUT", "1"),
            ("FCGIPM_REQUEST_TIMEOUT_GRACE", "0.1"),
        ];
        let pool = Pool::start(transport, 1, &limits);
        let mut connection = pool.program.connect();
        let request = call("/stubborn").body(vec![b'x'; 100_000]);
        connection.send(&request.bytes());
        assert!(connection.response_to(ID).text().contains("504"));
    }
}

#[test]
fn parameters_that_never_arrive_are_a_request_that_times_out() {
    let limits = [
        ("FCGIPM_REQUEST_TIMEOUT", "0.2"),
        ("FCGIPM_REQUEST_TIMEOUT_GRACE", "0.1"),
    ];
    let mut pool = Pool::start(Transport::Unix, 1, &limits);
    let (_half, _) = pool.half(&call("/"));
    let line = pool.program.line("request timed out");
    assert!(line.contains("its parameters have not arrived"), "{line}");
    pool.program.line("killing worker");
    let _ = pool.next_ready();
}

#[test]
fn idle_connections_do_not_time_out() {
    let limits = [
        ("FCGIPM_REQUEST_TIMEOUT", "0.2"),
        ("FCGIPM_REQUEST_TIMEOUT_GRACE", "0.1"),
    ];
    let mut pool = Pool::start(Transport::Unix, 2, &limits);
    let mut kept: Vec<_> = (0..4).map(|_| pool.program.connect()).collect();
    for connection in &mut kept {
        ask_keep_alive(connection).unwrap();
    }
    // After the timeout of another request, enough time has passed.
    let _other = send(&pool, "/stubborn", false);
    pool.program.line("killing worker");
    for connection in &mut kept {
        // Those of the killed worker have moved to another one.
        ask_keep_alive(connection).unwrap();
    }
    assert_eq!(pool.program.count("killing"), 1);
}

#[test]
fn the_time_during_which_the_manager_was_stopped_does_not_count() {
    let limits = [
        ("FCGIPM_REQUEST_TIMEOUT", "2"),
        ("FCGIPM_REQUEST_TIMEOUT_GRACE", "0.1"),
    ];
    let mut pool = Pool::start(Transport::Unix, 1, &limits);
    let mut connection = send(&pool, "/stubborn", false);
    let gate = pool.gate();
    pool.program.signal(Signal::SIGSTOP);
    // The scenario: the timeout passes while the manager is stopped.
    std::thread::sleep(Duration::from_secs(4));
    pool.program.signal(Signal::SIGCONT);
    let back = Instant::now();
    // When it reports the signal, it runs again.
    pool.program.signal(Signal::SIGUSR1);
    pool.program.line("received SIGUSR1");
    assert!(back.elapsed() < Duration::from_secs(1), "slow machine");
    assert_eq!(pool.program.count("timed out"), 0);
    drop(gate);
    assert!(connection.response_to(ID).text().contains("waited"));
    pool.stop();
}

#[test]
fn a_timeout_of_50_ms_is_observed_and_one_of_5_ms_is_refused() {
    let limits = [("FCGIPM_REQUEST_TIMEOUT", "0.05")];
    let mut pool = Pool::start(Transport::Unix, 1, &limits);
    let mut ages: Vec<f64> = Vec::new();
    for _ in 0..21 {
        let mut connection = send(&pool, "/pause", false);
        assert!(connection.response_to(ID).text().contains("timed out"));
        let line = pool.program.line("request timed out");
        let (_, age) = line.split_once(") after ").unwrap();
        let (age, _) = age.split_once("ms: GET /pause").unwrap();
        ages.push(age.parse().unwrap());
    }
    ages.sort_by(f64::total_cmp);
    println!("measured: limit of 50 ms: notice after {ages:?} ms");
    assert!(ages[0] >= 50.0 && ages[10] <= 70.0, "{ages:?}");
    pool.stop();

    let limits = [("FCGIPM_REQUEST_TIMEOUT", "0.005")];
    let (command, _gate) = super::command(1, &limits);
    let mut program = super::peer::program::Program::start(command, Transport::Unix);
    program.line("option request_timeout: 0.005 s is less than 0.01 s");
    assert_eq!(program.wait().code(), Some(1));
}
