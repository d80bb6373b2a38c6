//! More connections than a worker has descriptors for: new ones wait, and no request is lost.

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::socket::Backlog;

use super::peer::pool::{Pool, command, shell};
use super::peer::program::{Program, TRANSPORTS, Transport, listen, product, readable_within};
use super::{answered, ask_keep_alive, call};

/// The length of the listen queue on TCP: all clients have room.
const QUEUE: i32 = 4_096;

/// A pool with this limit of descriptors in each process.
pub(super) fn limited(
    transport: Transport,
    descriptors: usize,
    workers: usize,
    options: &[(&str, &str)],
) -> Pool {
    let (plain, gate) = command(workers, options);
    let command = shell(&format!("ulimit -n {descriptors}"), &plain);
    let program = match transport {
        Transport::Unix => Program::start(command, transport),
        Transport::Tcp => {
            let (listener, address) = listen(transport);
            // Of a client for whom the queue has no room, the kernel repeats what it has sent, for
            // minutes.
            nix::sys::socket::listen(&listener, Backlog::new(QUEUE).unwrap()).unwrap();
            Program::start_on(command, listener, address)
        }
    };
    Pool::ready(program, gate, workers)
}

/// Clients on keep-alive connections for three seconds.
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
            let logged = pool.program.count(FULL);
            assert!((least..=1).contains(&logged), "{logged} times");
            pool.stop();
        }
    }
}

#[test]
fn more_clients_than_half_of_the_descriptors_lose_nothing_during_reloads() {
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
fn a_new_connection_replaces_the_one_that_has_been_idle_for_longest() {
    for transport in TRANSPORTS {
        let mut pool = limited(transport, 64, 1, &[]);
        let mut kept: Vec<_> = (0..32).map(|_| pool.program.connect()).collect();
        for connection in &mut kept {
            ask_keep_alive(connection).unwrap();
        }
        // The first one becomes the most recently used.
        kept.rotate_left(1);
        ask_keep_alive(&mut kept[31]).unwrap();
        // These wait until the second one has been idle for a second.
        let mut new: Vec<_> = (0..3).map(|_| pool.program.connect()).collect();
        for connection in &mut new {
            ask_keep_alive(connection).unwrap();
        }
        let closed = kept
            .iter_mut()
            .map(|connection| readable_within(&*connection, Duration::ZERO));
        let closed: Vec<_> = closed.collect();
        assert_eq!(closed[..3], [true; 3], "{closed:?}");
        assert_eq!(closed[3..], [false; 29], "{closed:?}");
        for connection in &mut kept[3..] {
            ask_keep_alive(connection).unwrap();
        }
        assert!(pool.program.call(&call("/")).text().contains("Hello"));
        assert_eq!(pool.program.count(FULL), 1);
        pool.stop();
    }
}

#[test]
fn new_connections_go_to_a_worker_that_is_not_full() {
    for transport in TRANSPORTS {
        let pool = limited(transport, 64, 2, &[]);
        // Each worker keeps up to 32.
        let mut kept: Vec<_> = (0..60).map(|_| pool.program.connect()).collect();
        for _ in 0..3 {
            for connection in &mut kept {
                ask_keep_alive(connection).unwrap();
            }
        }
        for connection in &mut kept {
            assert!(!readable_within(&*connection, Duration::ZERO));
        }
        pool.stop();
    }
}

/// A client that is only slow must not lose its connection.
#[test]
fn a_connection_is_not_replaced_before_it_was_silent_for_a_second() {
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
