//! No peer can block a worker forever. In these tests the elapsed time is the scenario.

use std::time::{Duration, Instant};

use super::peer::program::{Program, TRANSPORTS, Transport};
use super::peer::records::*;

const ALL: [(&str, &str); 3] = [
    ("FCGIPM_PARAMS_TIMEOUT", "0.4"),
    ("FCGIPM_BODY_TIMEOUT", "0.4"),
    ("FCGIPM_WRITE_TIMEOUT", "0.4"),
];

fn assert_in_time(start: Instant) {
    let elapsed = start.elapsed();
    assert!(
        (Duration::from_millis(390)..Duration::from_secs(6)).contains(&elapsed),
        "{elapsed:?}"
    );
}

#[test]
fn a_connection_is_closed_when_its_parameters_do_not_arrive() {
    for transport in TRANSPORTS {
        let mut program = Program::app(transport, &ALL);
        let head = request("/echo").head();
        for cut in [1, 8, 16, 20, head.len() - 1] {
            let start = Instant::now();
            let mut connection = program.connect();
            connection.send(&head[..cut]);
            connection.assert_closed();
            assert_in_time(start);
            program.line("its parameters took longer than params_timeout = 0.4 s");
        }
        // Single bytes do not extend the timeout.
        let start = Instant::now();
        let mut connection = program.connect();
        let mut bytes = head.iter();
        let mut send_next = || {
            let byte = bytes.next();
            byte.is_some_and(|byte| connection.try_send(&[*byte]).is_ok())
        };
        while send_next() && start.elapsed() < Duration::from_secs(6) {
            std::thread::sleep(Duration::from_millis(20));
        }
        connection.drain();
        assert_in_time(start);
        assert_eq!(program.served(), 1);
    }
}

#[test]
fn a_connection_without_data_is_closed() {
    for transport in TRANSPORTS {
        let program = Program::app(transport, &ALL);
        let start = Instant::now();
        let mut silent: Vec<_> = (0..5).map(|_| program.connect()).collect();
        silent
            .iter_mut()
            .for_each(|connection| connection.assert_closed());
        assert_in_time(start);
        // An idle connection is not closed: a web server may wait between two requests.
        let mut kept = program.connect();
        kept.call(&request("/status").keep(true));
        std::thread::sleep(Duration::from_millis(800));
        assert_eq!(kept.call(&request("/status?3").keep(true)).app_status, 3);
    }
}

#[test]
fn a_read_times_out_when_the_body_does_not_arrive_and_the_response_is_still_sent() {
    for transport in TRANSPORTS {
        let program = Program::app(transport, &ALL);
        let start = Instant::now();
        let mut connection = program.connect();
        connection.send(
            &[
                request("/echo").keep(true).head(),
                record(STDIN, ID, b"part"),
            ]
            .concat(),
        );
        let late = "FCGIPM_ETIMEDOUT FCGIPM_ETIMEDOUT FCGIPM_ETIMEDOUT end=0";
        assert_eq!(connection.response().text(), format!("part|{late}"));
        assert_in_time(start);
        connection.assert_closed();
    }
}

#[test]
fn a_body_that_arrives_slowly_but_steadily_is_read() {
    let program = Program::app(TRANSPORTS[0], &ALL);
    let mut connection = program.connect();
    connection.send(&request("/echo").head());
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(100));
        connection.send(&record(STDIN, ID, b"x"));
    }
    connection.send(&record(STDIN, ID, b""));
    assert!(connection.response().text().starts_with("xxxxxxxxxx|ok"));
}

#[test]
fn a_write_times_out_when_the_peer_does_not_read() {
    for transport in TRANSPORTS {
        let mut program = Program::app(transport, &ALL);
        let start = Instant::now();
        let mut connection = program.connect();
        connection.send(&request("/write?1-80000000-100000").bytes());
        program.line("app: write: FCGIPM_ETIMEDOUT");
        assert_in_time(start);
        program.line("the peer took nothing for write_timeout = 0.4 s");
        assert_eq!(program.served(), 2);
        drop(connection);
    }
}

#[test]
fn management_records_whose_answers_are_not_read_cost_only_one_timeout() {
    for transport in TRANSPORTS {
        let program = Program::app(transport, &ALL);
        let mut connection = program.connect();
        connection.send(&request("/echo").head());
        let flood = record(GET_VALUES, 0, &[]).repeat(8_000);
        let start = Instant::now();
        // Until the program closes the connection. The answers are not read.
        let flooding = std::thread::spawn(move || while connection.try_send(&flood).is_ok() {});
        assert_eq!(program.served(), 2);
        assert!(
            start.elapsed() < Duration::from_secs(10),
            "{:?}",
            start.elapsed()
        );
        flooding.join().unwrap();
    }
}

#[test]
fn an_idle_connection_is_closed_after_idle_timeout() {
    let settings = [("FCGIPM_IDLE_TIMEOUT", "0.4")];
    for transport in TRANSPORTS {
        let program = Program::app(transport, &settings);
        let mut kept: Vec<_> = (0..5).map(|_| program.connect()).collect();
        let mut start = Instant::now();
        for connection in &mut kept {
            start = Instant::now();
            connection.call(&request("/status").keep(true));
        }
        // A connection with requests stays open.
        let (first, others) = kept.split_first_mut().unwrap();
        for _ in 0..4 {
            std::thread::sleep(Duration::from_millis(100));
            first.call(&request("/status").keep(true));
        }
        others
            .iter_mut()
            .for_each(|connection| connection.assert_closed());
        assert_in_time(start);
        let start = Instant::now();
        first.call(&request("/status").keep(true));
        first.assert_closed();
        assert_in_time(start);
        // A new connection is still served.
        assert_eq!(program.call(&request("/status?3")).app_status, 3);
    }
}

/// The request arrives in time, while the worker is busy with another one.
#[test]
fn idle_timeout_does_not_discard_a_request_that_waits_for_the_worker() {
    for transport in TRANSPORTS {
        let program = Program::app(transport, &[("FCGIPM_IDLE_TIMEOUT", "0.3")]);
        let mut kept = program.connect();
        kept.call(&request("/status").keep(true));
        let mut busy = program.connect();
        busy.send(&request("/thread").head());
        assert_eq!(busy.record().kind, STDOUT);
        kept.send(&request("/status?5").keep(true).bytes());
        std::thread::sleep(Duration::from_millis(600));
        busy.send(&record(STDIN, ID, &[]));
        assert_eq!(kept.response().app_status, 5);
        assert_eq!(kept.call(&request("/status?6").keep(true)).app_status, 6);
    }
}

/// A request that arrives around the timeout is answered, or its send(2) fails.
#[test]
fn requests_around_idle_timeout_are_answered_or_cannot_be_sent() {
    let program = Program::app(Transport::Unix, &[("FCGIPM_IDLE_TIMEOUT", "0.02")]);
    let (mut answered, mut refused) = (0, 0);
    while refused < 30 {
        let mut kept = program.connect();
        kept.call(&request("/status").keep(true));
        for round in 0u64.. {
            // From before the timeout to after it.
            std::thread::sleep(Duration::from_micros(19_500 + round * 100 % 1_500));
            if kept
                .try_send(&request("/status?7").keep(true).bytes())
                .is_err()
            {
                refused += 1;
                break;
            }
            assert_eq!(kept.response().app_status, 7);
            answered += 1;
        }
    }
    println!("{answered} answered, {refused} refused");
}
