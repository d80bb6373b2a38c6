//! Workers that exit on their own with status 0 after a request, as gitweb does after an error
//! page.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::peer::connection::LIMIT;
use super::peer::pool::{Pool, call};
use super::peer::program::{TRANSPORTS, Transport, ended_within};
use super::peer::records::ID;
use super::start_script::StartScript;

/// The log has no message of back-off, of its limit, or that no worker is ready.
fn assert_not_throttled(pool: &mut Pool) {
    for line in pool.program.lines() {
        for word in [
            "workers die soon",
            "workers exit with status 0",
            "emergency",
        ] {
            assert!(!line.contains(word), "{line}");
        }
    }
}

#[test]
fn eight_requests_per_second_are_answered_promptly_although_most_end_their_worker() {
    for transport in TRANSPORTS {
        let mut pool = Pool::start(transport, 4, &[]);
        let began = Instant::now();
        let ask = move |number: u32, address: super::Address| {
            // The rate is the scenario.
            let at = began + Duration::from_millis(125) * number;
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            let path = ["/", "/exit", "/exit", "/exit", "/exit"][number as usize % 5];
            let asked = Instant::now();
            let text = address.call(&call(path)).text();
            assert!(text.contains("Hello from worker"), "{text}");
            asked.elapsed()
        };
        let clients = (0..60).map(|number| {
            let address = pool.program.address.clone();
            std::thread::spawn(move || ask(number, address))
        });
        let clients: Vec<_> = clients.collect();
        let mut took: Vec<_> = clients.into_iter().map(|c| c.join().unwrap()).collect();
        took.sort_unstable();
        println!(
            "measured: {transport:?}: answers within {:?} (median), {:?} (longest)",
            took[30], took[59]
        );
        assert!(took[30] < Duration::from_millis(500), "{took:?}");
        assert_not_throttled(&mut pool);
        pool.program.signal(Signal::SIGTERM);
        assert_eq!(pool.program.wait().code(), Some(0));
    }
}

#[test]
fn a_worker_that_served_and_exited_between_two_polls_of_the_manager_has_not_failed() {
    let start = StartScript::new("true");
    let gate = start.gate("gate");
    let mut pool = Pool::start(Transport::Unix, 1, &[("HELLO_START", &start.command())]);
    // The old worker is busy, and the new one waits before it is ready.
    let mut paused = pool.paused(false);
    let pause = pool.gate();
    start.change(&gate.wait());
    pool.program.signal(Signal::SIGHUP);
    pool.program.line("reload begun");
    let line = pool.program.line(" started");
    let (_, rest) = line.split_once("worker (pid ").unwrap();
    let fresh: i32 = rest.split_once(')').unwrap().0.parse().unwrap();
    let opened = gate.reached();
    pool.program.suspend();
    let asked = std::thread::spawn({
        let address = pool.program.address.clone();
        move || address.call(&call("/exit")).text()
    });
    start.change("true");
    drop(opened);
    let text = asked.join().unwrap();
    assert!(text.contains(&format!("worker {fresh},")), "{text}");
    assert!(ended_within(fresh, LIMIT));
    pool.program.signal(Signal::SIGCONT);
    let line = pool.program.line(&format!("worker (pid {fresh})"));
    assert!(line.ends_with("ready"), "{line}");
    let line = pool.program.line(&format!("worker (pid {fresh})"));
    assert!(line.ends_with("exited with status 0"), "{line}");
    let _ = pool.next_ready();
    drop(pause);
    assert!(paused.response_to(ID).text().contains("waited"));
    pool.program.line("reload done");
    assert_not_throttled(&mut pool);
    assert_eq!(pool.program.count("reload failed"), 0);
    pool.stop();
}

#[test]
fn a_worker_that_exits_with_another_status_after_its_request_still_causes_back_off() {
    let mut pool = Pool::start(Transport::Unix, 1, &[]);
    let address = pool.program.address.clone();
    let asked = std::thread::spawn(move || {
        for _ in 0..12 {
            assert!(address.call(&call("/exit?n=3")).text().contains("Hello"));
        }
    });
    pool.program.line("workers die soon");
    asked.join().unwrap();
    pool.program.signal(Signal::SIGTERM);
    assert_eq!(pool.program.wait().code(), Some(0));
}
