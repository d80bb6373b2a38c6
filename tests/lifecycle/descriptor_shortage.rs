//! More connections than a worker's descriptors leave room for: new ones wait, and no request is lost.

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::peer::pool::{Pool, command, shell};
use super::peer::program::{Program, TRANSPORTS, Transport, product, readable_within};
use super::{answered, ask_on_kept, call};

/// A pool that may have this number of descriptors in each process.
pub(super) fn limited(
    transport: Transport,
    descriptors: usize,
    workers: usize,
    options: &[(&str, &str)],
) -> Pool {
    let (plain, gate) = command(workers, options);
    let command = shell(&format!("ulimit -n {descriptors}"), &plain);
    Pool::ready(Program::start(command, transport), gate, workers)
}

/// This number of clients on keep-alive connections for three seconds.
fn load(pool: &Pool, clients: usize) -> std::thread::JoinHandle<String> {
    let load = format!(
        "ulimit -n {}; exec {} load -c {clients} -t 3 --keep {}",
        2 * clients + 200,
        product("fcgipm").display(),
        pool.program.address.text()
    );
    std::thread::spawn(move || {
        let output = Command::new("sh").args(["-c", &load]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{output:?}");
        text
    })
}

fn said(pool: &mut Pool, text: &str) -> usize {
    let lines = pool.program.lines().iter();
    lines.filter(|line| line.contains(text)).count()
}

const FULL: &str = "as many as half of RLIMIT_NOFILE";

#[test]
fn more_keep_alive_clients_than_half_of_the_descriptors_lose_nothing() {
    for transport in TRANSPORTS {
        for (descriptors, clients) in [(1_024, 600), (1_024, 2_000), (128, 600)] {
            let mut pool = limited(transport, descriptors, 1, &[]);
            let text = load(&pool, clients).join().unwrap();
            println!("measured: {transport:?}, {clients} clients: {text}");
            assert!(text.contains(" lost=0 "), "{text}");
            // A slow machine accepts fewer than 512 in that time, but more than 64.
            let least = usize::from(descriptors == 128);
            let logged = said(&mut pool, FULL);
            assert!((least..=1).contains(&logged), "the limit is logged once");
            pool.stop();
        }
    }
}

#[test]
fn neither_do_they_while_the_workers_are_reloaded() {
    for transport in TRANSPORTS {
        let mut pool = limited(transport, 1_024, 2, &[]);
        let load = load(&pool, 800);
        for _ in 0..5 {
            pool.program.signal(Signal::SIGHUP);
            pool.program.line("reload done");
        }
        let text = load.join().unwrap();
        println!("measured: {transport:?}, five reloads: {text}");
        assert!(text.contains(" lost=0 "), "{text}");
        pool.stop();
    }
}

#[test]
fn a_newcomer_gets_the_place_of_the_connection_that_has_been_idle_for_longest() {
    for transport in TRANSPORTS {
        let mut pool = limited(transport, 64, 1, &[]);
        let mut kept: Vec<_> = (0..32).map(|_| pool.program.connect()).collect();
        for connection in &mut kept {
            ask_on_kept(connection).unwrap();
        }
        // The first one becomes the one that was used last.
        kept.rotate_left(1);
        ask_on_kept(&mut kept[31]).unwrap();
        // These wait until the second one has been idle for a second.
        let mut newcomers: Vec<_> = (0..3).map(|_| pool.program.connect()).collect();
        for newcomer in &mut newcomers {
            ask_on_kept(newcomer).unwrap();
        }
        let closed = kept.iter_mut().map(|connection| {
            // The end of a connection is there, or nothing is.
            super::peer::program::readable_within(&*connection, Duration::ZERO)
        });
        let closed: Vec<_> = closed.collect();
        assert_eq!(closed[..3], [true; 3], "{closed:?}");
        assert_eq!(closed[3..], [false; 29], "{closed:?}");
        for connection in &mut kept[3..] {
            ask_on_kept(connection).unwrap();
        }
        assert!(pool.program.call(&call("/")).text().contains("Hello"));
        assert_eq!(said(&mut pool, FULL), 1);
        pool.stop();
    }
}

#[test]
fn a_worker_without_room_leaves_newcomers_to_another() {
    for transport in TRANSPORTS {
        let pool = limited(transport, 64, 2, &[]);
        // Each worker has room for 32.
        let mut kept: Vec<_> = (0..60).map(|_| pool.program.connect()).collect();
        for _ in 0..3 {
            for connection in &mut kept {
                ask_on_kept(connection).unwrap();
            }
        }
        for connection in &mut kept {
            assert!(!readable_within(&*connection, Duration::ZERO));
        }
        pool.stop();
    }
}

/// A client that gets no processor for a while is not a silent one.
#[test]
fn a_connection_is_not_replaced_before_its_client_was_silent_for_a_second() {
    const CAPACITY: usize = 64;
    for transport in TRANSPORTS {
        let pool = limited(transport, 2 * CAPACITY, 1, &[]);
        let request = call("/").bytes();
        let mut slow: Vec<_> = (0..CAPACITY).map(|_| pool.program.connect()).collect();
        let mut waiting: Vec<_> = (0..4).map(|_| pool.program.connect()).collect();
        for connection in &mut waiting {
            connection.send(&request);
        }
        assert!(
            !readable_within(&slow[0], Duration::from_millis(800)),
            "{transport:?}"
        );
        for connection in &mut slow {
            connection.send(&request);
        }
        for connection in slow.iter_mut().chain(&mut waiting) {
            assert_eq!(answered(connection), Ok(()), "{transport:?}");
        }
        pool.stop();
    }
}
