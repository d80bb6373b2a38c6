//! Workers that exit on their own with status 0 after a request, as gitweb's do behind an error page.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;

use super::peer::pool::{Pool, call};
use super::peer::program::{TRANSPORTS, Transport, ended_within, folder};
use super::peer::records::ID;

/// What must not be logged: back-off, its limit, or that nobody is ready.
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
fn eight_requests_a_second_are_answered_immediately_though_four_of_five_end_their_worker() {
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
fn a_worker_that_was_ready_served_and_exited_between_two_looks_of_the_manager_has_not_failed() {
    let folder = folder();
    let (script, gate) = (folder.join("start"), folder.join("start-gate"));
    nix::unistd::mkfifo(&gate, Mode::S_IRWXU).unwrap();
    fs::write(&script, "true").unwrap();
    let start = format!("exec sh {}", script.display());
    let mut pool = Pool::start(Transport::Unix, 1, &[("HELLO_START", &start)]);
    // The old worker is busy, and the new one waits before it is ready.
    let mut paused = pool.paused(false);
    let pause = pool.gate();
    fs::write(&script, format!("exec cat {}", gate.display())).unwrap();
    pool.program.signal(Signal::SIGHUP);
    pool.program.line("reload begun");
    let line = pool.program.line(" started");
    let (_, rest) = line.split_once("worker (pid ").unwrap();
    let fresh: i32 = rest.split_once(')').unwrap().0.parse().unwrap();
    let opened = fs::File::options().write(true).open(&gate).unwrap();
    pool.program.suspend();
    let asked = std::thread::spawn({
        let address = pool.program.address.clone();
        move || address.call(&call("/exit")).text()
    });
    fs::write(&script, "true").unwrap();
    drop(opened);
    let text = asked.join().unwrap();
    assert!(text.contains(&format!("worker {fresh},")), "{text}");
    assert!(ended_within(fresh, Duration::from_secs(30)));
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
    let failed = pool
        .program
        .lines()
        .iter()
        .any(|line| line.contains("reload failed"));
    assert!(!failed);
    pool.stop();
    let _ = fs::remove_dir_all(folder);
}

#[test]
fn one_that_exits_with_another_status_behind_its_request_still_backs_off() {
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
