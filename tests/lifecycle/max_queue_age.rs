//! Requests that wait too long in the listen queue: `max_queue_age`.

use std::process::Command;
use std::time::{Duration, Instant};

use super::peer::connection::{Address, Connection};
use super::peer::program::{Program, TRANSPORTS, Transport, product, unused};
use super::peer::records::{END, GET_VALUES, GET_VALUES_RESULT, ID, record};
use super::{Load, Pool, answered, ask_in_two_segments, ask_keep_alive, call, descriptor_shortage};

const OVERLOADED: u8 = 2;

fn limited(transport: Transport, workers: usize, seconds: &str) -> Pool {
    Pool::start(transport, workers, &[("FCGIPM_MAX_QUEUE_AGE", seconds)])
}

/// The client receives only END_REQUEST with FCGI_OVERLOADED, and the end of the connection.
fn assert_refused(client: &mut Connection) {
    let end = client.record();
    assert_eq!((end.kind, end.id), (END, ID));
    assert_eq!(end.content, [0, 0, 0, 0, OVERLOADED, 0, 0, 0]);
    client.assert_closed();
}

#[test]
fn requests_that_wait_too_long_are_refused_and_none_earlier() {
    const LIMIT: Duration = Duration::from_millis(400);
    for transport in TRANSPORTS {
        for keep in [false, true] {
            let mut pool = limited(transport, 1, "0.4");
            let mut held = pool.paused(false);
            let gate = pool.gate();
            let begin = Instant::now();
            let mut waiting: Vec<_> = (0..100).map(|_| pool.program.connect()).collect();
            for client in &mut waiting {
                client.send(&call("/").keep(keep).body(b"a body").bytes());
            }
            for client in &mut waiting {
                assert_refused(client);
                assert!(begin.elapsed() >= LIMIT, "{:?}", begin.elapsed());
            }
            println!(
                "measured: {transport:?}: with max_queue_age 0.4 s all were refused after {:.2?}",
                begin.elapsed()
            );
            // The busy worker is not affected, and later serves another client.
            drop(gate);
            assert!(held.response().text().contains("waited"));
            pool.program.call(&call("/"));
            pool.program
                .line("that had waited longer than max_queue_age = 0.4 s in the listen queue");
            assert_eq!(pool.status()["overloaded"], 100);
            pool.stop();
        }
    }
}

#[test]
fn a_client_that_has_not_waited_too_long_is_answered() {
    for transport in TRANSPORTS {
        let pool = limited(transport, 1, "1.5");
        let mut held = pool.paused(false);
        let gate = pool.gate();
        let mut old = pool.program.connect();
        old.send(&call("/").bytes());
        // The scenario: the first one is refused while the second one is still young.
        std::thread::sleep(Duration::from_millis(1_000));
        let mut young = pool.program.connect();
        young.send(&call("/").bytes());
        assert_refused(&mut old);
        drop(gate);
        assert!(held.response().text().contains("waited"));
        answered(&mut young).unwrap();
        assert_eq!(pool.status()["overloaded"], 1);
        pool.stop();
    }
}

/// As [`ask_in_two_segments`], but a client may be refused when it has waited for this time.
fn ask_within(address: &Address, limit: Duration) -> Result<(), String> {
    let begin = Instant::now();
    match ask_in_two_segments(address) {
        // END_REQUEST without output.
        Err(text) if text.is_empty() && begin.elapsed() >= limit => Ok(()),
        Err(text) => Err(format!("'{text}' after {:?}", begin.elapsed())),
        Ok(()) => Ok(()),
    }
}

/// On a busy machine a request may wait for that long, but none is refused earlier.
#[test]
fn no_client_is_refused_before_max_queue_age() {
    for transport in TRANSPORTS {
        let mut pool = limited(transport, 2, "0.2");
        let address = pool.program.address.clone();
        let load = Load::start(
            6,
            move || address.clone(),
            |address| ask_within(address, Duration::from_millis(200)),
        );
        let mut kept = pool.program.connect();
        for _ in 0..8 {
            ask_keep_alive(&mut kept).unwrap();
            pool.program.signal(nix::sys::signal::Signal::SIGHUP);
            pool.program.line("reload done");
        }
        println!(
            "measured: {transport:?}: {} requests with max_queue_age 0.2 s, {} refused",
            load.finish(),
            pool.status()["overloaded"]
        );
        pool.stop();
    }
}

/// Only a request can be refused. A worker accepts the others when it is free.
#[test]
fn connections_without_a_complete_first_record_are_left_to_the_workers() {
    for transport in TRANSPORTS {
        let pool = limited(transport, 1, "0.3");
        let mut held = pool.paused(false);
        let gate = pool.gate();
        let mut half = pool.program.connect();
        let request = call("/").bytes();
        half.send(&request[..10]);
        let mut asking = pool.program.connect();
        asking.send(&record(GET_VALUES, 0, &[]));
        drop(pool.program.connect());
        let mut old = pool.program.connect();
        old.send(&request);
        // It came last, so the manager has handled the others.
        assert_refused(&mut old);
        drop(gate);
        assert!(held.response().text().contains("waited"));
        half.send(&request[10..]);
        answered(&mut half).unwrap();
        assert_eq!(asking.record().kind, GET_VALUES_RESULT);
        asking.send(&request);
        answered(&mut asking).unwrap();
        assert_eq!(pool.status()["overloaded"], 1);
        pool.program.call(&call("/"));
        pool.stop();
    }
}

fn descriptors(pid: i32) -> usize {
    let folder = format!("/proc/{pid}/fd");
    std::fs::read_dir(folder).unwrap().count()
}

/// While all workers are busy, connections with no data, or with less than the beginning of a
/// request, do not accumulate in the manager, and later ones are still refused.
#[test]
fn silent_connections_are_closed_when_they_are_too_old() {
    for transport in TRANSPORTS {
        let mut pool = limited(transport, 1, "0.3");
        let mut held = pool.paused(false);
        let gate = pool.gate();
        let before = descriptors(pool.program.pid());
        let mut most = before;
        let request = call("/").bytes();
        for sent in [0, 3, 0, 3] {
            let connect = |_| {
                let mut client = pool.program.connect();
                client.send(&request[..sent]);
                client
            };
            let mut idle: Vec<_> = (0..200).map(connect).collect();
            let mut old = pool.program.connect();
            old.send(&request);
            assert_refused(&mut old);
            most = most.max(descriptors(pool.program.pid()));
            if sent == 0 {
                idle.iter_mut().for_each(Connection::assert_closed);
            }
        }
        println!(
            "measured: {transport:?}: descriptors of the manager: {before} before, at most {most} with 800 idle clients"
        );
        assert!(most < before + 100, "{before}, then {most}");
        drop(gate);
        assert!(held.response().text().contains("waited"));
        pool.program.line("that sent nothing within max_queue_age");
        pool.program.call(&call("/"));
        pool.program.signal(nix::sys::signal::Signal::SIGTERM);
        assert_eq!(pool.program.wait().code(), Some(0));
    }
}

#[test]
fn the_manager_does_not_admit_clients_that_web_server_addrs_excludes() {
    let options = [
        ("FCGIPM_MAX_QUEUE_AGE", "0.2"),
        ("FCGI_WEB_SERVER_ADDRS", "127.0.0.1"),
    ];
    let mut pool = Pool::start(Transport::Tcp, 1, &options);
    let mut held = pool.paused(false);
    let gate = pool.gate();
    let stranger = socket_from("127.0.0.2", &pool);
    // It has sent data, so the manager hands it over to the worker.
    assert_eq!(nix::unistd::write(&stranger, &[1]), Ok(1));
    let mut old = pool.program.connect();
    old.send(&call("/").bytes());
    assert_refused(&mut old);
    drop(gate);
    assert!(held.response().text().contains("waited"));
    pool.program.line("connection from 127.0.0.2:");
    drop(stranger);
    pool.stop();
}

/// A connection from another address of this machine.
fn socket_from(address: &str, pool: &Pool) -> std::os::fd::OwnedFd {
    use std::os::fd::AsRawFd as _;

    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, bind, connect, socket};
    let text = pool.program.address.text();
    let fd = socket(
        AddressFamily::Inet,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )
    .unwrap();
    let from: std::net::SocketAddrV4 = format!("{address}:0").parse().unwrap();
    bind(fd.as_raw_fd(), &SockaddrIn::from(from)).unwrap();
    let to: std::net::SocketAddrV4 = text.parse().unwrap();
    connect(fd.as_raw_fd(), &SockaddrIn::from(to)).unwrap();
    fd
}

#[test]
fn a_killed_worker_does_not_disturb_the_count_of_accepted_connections() {
    for transport in TRANSPORTS {
        let mut pool = limited(transport, 1, "0.5");
        for _ in 0..5 {
            // It is killed while it waits in accept.
            pool.program.call(&call("/"));
            let idle = pool.workers[0];
            nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(idle),
                nix::sys::signal::Signal::SIGKILL,
            )
            .unwrap();
            pool.workers[0] = pool.next_ready();
        }
        for _ in 0..20 {
            pool.program.call(&call("/"));
        }
        assert_eq!(pool.status()["overloaded"], 0);
        let held = pool.paused(false);
        let gate = pool.gate();
        let mut old = pool.program.connect();
        old.send(&call("/").bytes());
        assert_refused(&mut old);
        drop((gate, held));
        pool.program.signal(nix::sys::signal::Signal::SIGTERM);
        assert_eq!(pool.program.wait().code(), Some(0));
    }
}

/// Their connections linger until they have read.
#[test]
fn refused_clients_that_do_not_read_do_not_keep_the_port_in_use() {
    let address = unused(Transport::Tcp);
    let Address::Tcp(listening) = &address else {
        panic!("{address:?}")
    };
    let mut pool = Pool::start_opening(&address, 1, &[("FCGIPM_MAX_QUEUE_AGE", "0.1")]);
    pool.program.call(&call("/"));
    let mut held = pool.paused(false);
    let gate = pool.gate();
    let mut refused: Vec<_> = (0..20).map(|_| pool.program.connect()).collect();
    for client in &mut refused {
        client.send(&call("/").bytes());
    }
    while pool.status()["overloaded"] != 20 {}
    pool.program.signal(nix::sys::signal::Signal::SIGTERM);
    drop(gate);
    assert!(held.response().text().contains("waited"));
    pool.assert_stopped();
    // As the next manager would.
    std::net::TcpListener::bind(listening).unwrap();
    refused.iter_mut().for_each(assert_refused);
}

#[test]
fn at_the_limit_of_descriptors_every_connection_is_still_refused_properly() {
    let options = [("FCGIPM_MAX_QUEUE_AGE", "0.2")];
    let pool = descriptor_shortage::limited(Transport::Tcp, 40, 1, &options);
    pool.program.call(&call("/"));
    let mut held = pool.paused(false);
    let gate = pool.gate();
    let mut waiting: Vec<_> = (0..60).map(|_| pool.program.connect()).collect();
    for client in &mut waiting {
        client.send(&call("/").bytes());
    }
    waiting.iter_mut().for_each(assert_refused);
    drop(gate);
    assert!(held.response().text().contains("waited"));
    pool.stop();
}

#[test]
fn max_queue_age_without_workers_is_an_error() {
    let run = |environment: &[(&str, &str)]| {
        let mut command = Command::new(product("examples/hello"));
        command.arg("fd:0").envs(environment.iter().copied());
        let mut program = Program::start(command, Transport::Unix);
        assert_eq!(program.wait().code(), Some(1));
        program.all_lines().join("\n")
    };
    let lines = run(&[("FCGIPM_MAX_QUEUE_AGE", "5"), ("FCGIPM_N_PROCESSES", "0")]);
    assert!(
        lines.contains("option max_queue_age: 5 s: needs workers (n_processes)"),
        "{lines}"
    );
}
