//! SIGTERM: accepted requests are answered, and all processes exit.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::peer::program::{TRANSPORTS, ended_within, listen};
use super::peer::records::{GET_VALUES, GET_VALUES_RESULT, ID, record};
use super::{Load, Pool, ask_in_two_segments, ask_keep_alive, call};

#[test]
fn accepted_requests_are_answered_and_others_wait_for_the_next_manager() {
    for transport in TRANSPORTS {
        // The test holds the listening socket, as systemd would, and with it the queue.
        let (listener, address) = listen(transport);
        let mut pool = Pool::start_on(listener.try_clone().unwrap(), address.clone(), 3, &[]);
        let asked = address.clone();
        let load = Load::start(
            8,
            move || asked.clone(),
            |address| ask_in_two_segments(address),
        );
        for _ in 0..10 {
            pool.program.signal(Signal::SIGTERM);
            pool.assert_stopped();
            pool = Pool::start_on(listener.try_clone().unwrap(), address.clone(), 3, &[]);
        }
        println!(
            "measured: {transport:?}: {} requests during 10 stops",
            load.finish()
        );
        pool.stop();
        address.remove();
    }
}

#[test]
fn accepted_requests_are_answered_beside_silent_and_idle_connections() {
    for transport in TRANSPORTS {
        let (listener, address) = listen(transport);
        let mut pool = Pool::start_on(listener.try_clone().unwrap(), address.clone(), 2, &[]);
        let asked = address.clone();
        let load = Load::start(
            6,
            move || asked.clone(),
            |address| ask_in_two_segments(address),
        );
        for _ in 0..10 {
            let mut kept = address.connect();
            ask_keep_alive(&mut kept).unwrap();
            let silent: Vec<_> = (0..3).map(|_| address.connect()).collect();
            // After this answer, the silent connections have been accepted.
            ask_keep_alive(&mut kept).unwrap();
            pool.program.signal(Signal::SIGTERM);
            pool.assert_stopped();
            drop(silent);
            pool = Pool::start_on(listener.try_clone().unwrap(), address.clone(), 2, &[]);
        }
        load.finish();
        pool.stop();
        address.remove();
    }
}

#[test]
fn a_request_whose_parameters_are_still_arriving_is_answered() {
    for transport in TRANSPORTS {
        for keep in [false, true] {
            let mut pool = Pool::start(transport, 2, &[]);
            let (mut half, rest) = pool.half(&call("/").keep(keep));
            pool.program.signal(Signal::SIGTERM);
            pool.program.line("stopping 2 workers");
            half.send(&rest);
            assert!(half.response_to(ID).text().contains("Hello from worker"));
            half.assert_closed();
            pool.assert_stopped();
        }
    }
}

/// The worker finds the order to retire and the beginning of the request at the same time.
#[test]
fn a_request_that_had_begun_on_a_keep_alive_connection_is_answered() {
    for transport in TRANSPORTS {
        for parameters_complete in [false, true] {
            let mut pool = Pool::start(transport, 1, &[]);
            let worker = Pid::from_raw(pool.workers[0]);
            let mut kept = pool.program.connect();
            ask_keep_alive(&mut kept).unwrap();
            kill(worker, Signal::SIGSTOP).unwrap();
            let request = call("/hash").body("abc").keep(true);
            let (head, bytes) = (request.head(), request.bytes());
            // Either before the last record of PARAMS, which is empty, or after it.
            let cut = head.len() - if parameters_complete { 0 } else { 8 };
            // The answer to FCGI_GET_VALUES shows that the worker reads.
            kept.send(&[&bytes[..cut], &record(GET_VALUES, 0, &[])].concat());
            pool.program.signal(Signal::SIGTERM);
            pool.program.line("stopping 1 worker");
            kill(worker, Signal::SIGCONT).unwrap();
            assert_eq!(kept.record().kind, GET_VALUES_RESULT);
            kept.send(&bytes[cut..]);
            let answer = kept.response_to(ID).text();
            assert!(answer.ends_with("3 e71fa2190541574b\n"), "{answer}");
            kept.assert_closed();
            pool.assert_stopped();
        }
    }
}

#[test]
fn pipelined_requests_are_answered() {
    for transport in TRANSPORTS {
        let mut pool = Pool::start(transport, 1, &[]);
        let mut kept = pool.program.connect();
        ask_keep_alive(&mut kept).unwrap();
        let mut paused = pool.paused(false);
        let gate = pool.gate();
        kept.send(&call("/").keep(true).bytes().repeat(3));
        pool.program.signal(Signal::SIGTERM);
        pool.program.line("stopping 1 worker");
        drop(gate);
        assert!(paused.response_to(ID).text().contains("waited"));
        for _ in 0..3 {
            assert!(kept.response_to(ID).text().contains("Hello"));
        }
        kept.assert_closed();
        pool.assert_stopped();
    }
}

#[test]
fn endless_pipelined_requests_delay_neither_stop_nor_reload() {
    for transport in TRANSPORTS {
        for signal in [Signal::SIGTERM, Signal::SIGHUP] {
            let mut pool = Pool::start(transport, 1, &[]);
            let mut connection = pool.program.connect();
            let (answered, first_answers) = std::sync::mpsc::channel();
            let feeder = std::thread::spawn(move || {
                let requests = call("/").keep(true).bytes().repeat(50);
                while connection.try_send(&requests).is_ok() {
                    for _ in 0..50 {
                        if connection.try_response_to(ID).is_err() {
                            return;
                        }
                    }
                    let _ = answered.send(());
                }
            });
            first_answers.recv().unwrap();
            pool.program.signal(signal);
            assert!(
                ended_within(pool.workers[0], Duration::from_secs(5)),
                "the worker still runs"
            );
            if signal == Signal::SIGHUP {
                pool.program.signal(Signal::SIGTERM);
            }
            pool.assert_stopped();
            feeder.join().unwrap();
        }
    }
}

#[test]
fn idle_connections_do_not_delay_the_stop() {
    for transport in TRANSPORTS {
        let pool = Pool::start(transport, 2, &[]);
        let mut kept: Vec<_> = (0..50).map(|_| pool.program.connect()).collect();
        kept.iter_mut()
            .for_each(|connection| ask_keep_alive(connection).unwrap());
        let start = Instant::now();
        pool.stop();
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "{:?}",
            start.elapsed()
        );
        kept.iter_mut()
            .for_each(|connection| connection.assert_closed());
    }
}

#[test]
fn a_worker_that_does_not_exit_is_killed_after_die_timeout() {
    let mut pool = Pool::start(TRANSPORTS[0], 2, &[("FCGIPM_DIE_TIMEOUT", "0.5")]);
    let mut paused = pool.paused(false);
    let gate = pool.gate();
    let start = Instant::now();
    pool.program.signal(Signal::SIGTERM);
    pool.program.line("killing worker (pid");
    let elapsed = start.elapsed();
    assert!(
        (Duration::from_millis(500)..Duration::from_secs(5)).contains(&elapsed),
        "{elapsed:?}"
    );
    assert_eq!(pool.program.wait().code(), Some(0));
    // Its client still receives a response.
    let response = paused.response_to(ID);
    assert!(response.text().starts_with("Status: 504 "), "{response:?}");
    assert_eq!(response.app_status, 137);
    drop(gate);
}

#[test]
fn a_stop_during_a_reload_stops_old_and_new_workers() {
    for _ in 0..5 {
        let mut pool = Pool::start(TRANSPORTS[0], 4, &[]);
        pool.program.signal(Signal::SIGHUP);
        pool.program.line("reload begun");
        pool.program.signal(Signal::SIGTERM);
        pool.assert_stopped();
    }
}
