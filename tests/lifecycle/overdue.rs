//! Requests that take too long: they are logged, their workers get notice and in the end are killed, and
//! their clients get an end of the response.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::ask_on_kept;
use super::peer::connection::Connection;
use super::peer::pool::{Pool, call};
use super::peer::program::{TRANSPORTS, Transport};
use super::peer::records::{END, ID};

/// A connection on which a worker does what the path says, and that it does.
fn begun(pool: &Pool, path: &str, keep: bool) -> Connection {
    let mut connection = pool.program.connect();
    connection.send(&call(path).keep(keep).bytes());
    connection
}

#[test]
fn a_slow_request_is_logged_once_and_continues() {
    let mut pool = Pool::start(Transport::Unix, 2, &[("FCGIPM_SLOW_REQUEST", "0.2")]);
    let mut slow = begun(&pool, "/pause?n=0", false);
    let gate = pool.gate();
    let line = pool.program.line("slow request");
    for part in [
        format!("worker (pid {})", pool.workers[0]),
        format!("worker (pid {})", pool.workers[1]),
    ] {
        if line.contains(&part) {
            assert!(line.contains("GET /pause"), "{line}");
        }
    }
    assert!(line.contains(": GET /pause"), "{line}");
    drop(gate);
    assert!(slow.response_to(ID).text().contains("waited"));
    let logged = pool
        .program
        .lines()
        .iter()
        .filter(|l| l.contains("slow request"));
    assert_eq!(logged.count(), 1);
    pool.stop();
}

#[test]
fn a_worker_that_heeds_the_notice_answers_in_time() {
    for transport in TRANSPORTS {
        let limits = [("FCGIPM_REQUEST_TIMEOUT", "0.2")];
        let mut pool = Pool::start(transport, 1, &limits);
        let mut connection = begun(&pool, "/pause", true);
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
        ask_on_kept(&mut connection).unwrap();
        pool.stop();
    }
}

#[test]
fn a_worker_that_does_not_is_killed_and_its_client_gets_a_clean_end() {
    for transport in TRANSPORTS {
        for keep in [false, true] {
            let limits = [
                ("FCGIPM_REQUEST_TIMEOUT", "0.2"),
                ("FCGIPM_REQUEST_TIMEOUT_GRACE", "0.1"),
            ];
            let mut pool = Pool::start(transport, 1, &limits);
            let mut connection = begun(&pool, "/stubborn", keep);
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
fn a_response_that_has_begun_is_ended_and_nothing_is_put_into_it() {
    for transport in TRANSPORTS {
        let limits = [
            ("FCGIPM_REQUEST_TIMEOUT", "0.2"),
            ("FCGIPM_REQUEST_TIMEOUT_GRACE", "0.1"),
        ];
        let pool = Pool::start(transport, 1, &limits);
        let mut connection = begun(&pool, "/stubborn?n=100000", false);
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
fn unread_input_does_not_reset_the_clean_end_away() {
    for transport in TRANSPORTS {
        // Long enough for all of the parameters to have come before it, on whatever machine: a request that has not
        // begun has no end.
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
fn parameters_that_never_come_are_a_request_that_takes_too_long() {
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
fn keep_alive_connections_are_never_timed() {
    let limits = [
        ("FCGIPM_REQUEST_TIMEOUT", "0.2"),
        ("FCGIPM_REQUEST_TIMEOUT_GRACE", "0.1"),
    ];
    let mut pool = Pool::start(Transport::Unix, 2, &limits);
    let mut kept: Vec<_> = (0..4).map(|_| pool.program.connect()).collect();
    for connection in &mut kept {
        ask_on_kept(connection).unwrap();
    }
    // Another request runs into its limit meanwhile, so time has passed.
    let _other = begun(&pool, "/stubborn", false);
    pool.program.line("killing worker");
    for connection in &mut kept {
        // Those of the worker that was killed have gone to another.
        ask_on_kept(connection).unwrap();
    }
    let killed = pool
        .program
        .lines()
        .iter()
        .filter(|l| l.contains("killing"));
    assert_eq!(killed.count(), 1);
}

#[test]
fn a_stopped_manager_blames_nobody_for_the_time_it_was_away() {
    let limits = [
        ("FCGIPM_REQUEST_TIMEOUT", "2"),
        ("FCGIPM_REQUEST_TIMEOUT_GRACE", "0.1"),
    ];
    let mut pool = Pool::start(Transport::Unix, 1, &limits);
    let mut connection = begun(&pool, "/stubborn", false);
    let gate = pool.gate();
    pool.program.signal(Signal::SIGSTOP);
    // The scenario is that time passes while nobody can see it.
    std::thread::sleep(Duration::from_secs(4));
    pool.program.signal(Signal::SIGCONT);
    let back = Instant::now();
    // A signal that it answers tells that it is at work again.
    pool.program.signal(Signal::SIGUSR1);
    pool.program.line("received SIGUSR1");
    assert!(back.elapsed() < Duration::from_secs(1), "slow machine");
    assert!(
        !pool.program.lines().iter().any(|l| l.contains("timed out")),
        "{:#?}",
        pool.program.lines()
    );
    drop(gate);
    assert!(connection.response_to(ID).text().contains("waited"));
    pool.stop();
}

#[test]
fn a_limit_of_50_ms_is_kept_and_one_of_5_is_refused() {
    let limits = [("FCGIPM_REQUEST_TIMEOUT", "0.05")];
    let mut pool = Pool::start(Transport::Unix, 1, &limits);
    let mut ages: Vec<f64> = Vec::new();
    for _ in 0..21 {
        let mut connection = begun(&pool, "/pause", false);
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
