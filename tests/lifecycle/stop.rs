//! TERM: whatever was accepted is answered, then everybody leaves.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::peer::program::{TRANSPORTS, ended_within, listen};
use super::peer::records::{GET_VALUES, GET_VALUES_RESULT, ID, record};
use super::{Load, Pool, ask_in_two_segments, ask_on_kept, call};

#[test]
fn what_was_accepted_is_answered_and_what_was_not_waits_for_the_next_manager() {
    for transport in TRANSPORTS {
        // The test holds the listening socket, as systemd would: what nobody accepted stays in it.
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
fn while_silent_and_keep_alive_connections_are_watched() {
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
            ask_on_kept(&mut kept).unwrap();
            let silent: Vec<_> = (0..3).map(|_| address.connect()).collect();
            // They are accepted in their order: behind this, the silent ones are known.
            ask_on_kept(&mut kept).unwrap();
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

/// The worker finds the order to leave and the begun request at the same time.
#[test]
fn a_request_that_had_begun_on_a_keep_alive_connection_is_answered() {
    for transport in TRANSPORTS {
        for parameters_complete in [false, true] {
            let mut pool = Pool::start(transport, 1, &[]);
            let worker = Pid::from_raw(pool.workers[0]);
            let mut kept = pool.program.connect();
            ask_on_kept(&mut kept).unwrap();
            kill(worker, Signal::SIGSTOP).unwrap();
            let request = call("/hash").body("abc").keep(true);
            let (head, bytes) = (request.head(), request.bytes());
            // Either between the records of PARAMS, of which the last is empty, or behind them.
            let cut = head.len() - if parameters_complete { 0 } else { 8 };
            // The answer to a question tells that somebody reads.
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
fn requests_that_were_sent_ahead_are_answered() {
    for transport in TRANSPORTS {
        let mut pool = Pool::start(transport, 1, &[]);
        let mut kept = pool.program.connect();
        ask_on_kept(&mut kept).unwrap();
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
fn a_peer_that_sends_ahead_without_end_holds_up_neither_stop_nor_reload() {
    for transport in TRANSPORTS {
        for signal in [Signal::SIGTERM, Signal::SIGHUP] {
            let mut pool = Pool::start(transport, 1, &[]);
            let mut connection = pool.program.connect();
            let (at_work, begun) = std::sync::mpsc::channel();
            let feeder = std::thread::spawn(move || {
                let requests = call("/").keep(true).bytes().repeat(50);
                while connection.try_send(&requests).is_ok() {
                    for _ in 0..50 {
                        if connection.try_response_to(ID).is_err() {
                            return;
                        }
                    }
                    let _ = at_work.send(());
                }
            });
            begun.recv().unwrap();
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
fn idle_keep_alive_connections_do_not_hold_up_the_stop() {
    for transport in TRANSPORTS {
        let pool = Pool::start(transport, 2, &[]);
        let mut kept: Vec<_> = (0..50).map(|_| pool.program.connect()).collect();
        kept.iter_mut()
            .for_each(|connection| ask_on_kept(connection).unwrap());
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
fn a_worker_that_does_not_leave_is_killed_after_die_timeout() {
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
    // Its client gets that answer.
    let response = paused.response_to(ID);
    assert!(response.text().starts_with("Status: 504 "), "{response:?}");
    assert_eq!(response.app_status, 137);
    drop(gate);
}

#[test]
fn a_stop_during_a_reload_ends_both() {
    for _ in 0..5 {
        let mut pool = Pool::start(TRANSPORTS[0], 4, &[]);
        pool.program.signal(Signal::SIGHUP);
        pool.program.line("reload begun");
        pool.program.signal(Signal::SIGTERM);
        pool.assert_stopped();
    }
}
