//! Workers of a pool that stops, on a unix socket that others continue to serve, where sock_diag(7) does
//! not provide the length of the listen queue: as with systemd's `RestrictAddressFamilies=AF_UNIX`.

use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::filtered::{IS_EQUAL, LOAD, RETURN, install, statement};
use super::peer::connection::{Address, Connection};
use super::peer::pool::command;
use super::peer::program::{Program, Transport, listen};
use super::{Pool, answered, call};

/// A pool that may not open AF_NETLINK sockets, on a listening socket that the test keeps.
pub(super) fn pool_without_netlink(listener: &OwnedFd, address: &Address, workers: usize) -> Pool {
    let (mut command, gate) = command(workers, &[]);
    let no_netlink = vec![
        statement(LOAD, 0, 0),
        statement(IS_EQUAL, 1, libc::SYS_socket as u32),
        statement(RETURN, 0, libc::SECCOMP_RET_ALLOW),
        // The first argument, on a little-endian machine.
        statement(LOAD, 0, 16),
        statement(IS_EQUAL, 1, libc::AF_NETLINK as u32),
        statement(RETURN, 0, libc::SECCOMP_RET_ALLOW),
        statement(
            RETURN,
            0,
            libc::SECCOMP_RET_ERRNO | libc::EAFNOSUPPORT as u32,
        ),
    ];
    install(&mut command, no_netlink);
    let listener = listener.try_clone().unwrap();
    let program = Program::start_on(command, listener, address.clone());
    Pool::ready(program, gate, workers)
}

/// What one client saw.
#[derive(Debug, Default)]
struct Seen {
    answered: u32,
    /// Keep-alive connections that were closed.
    cut: u32,
}

/// Sends requests on keep-alive connections until it is stopped. One whose first byte can still be sent
/// must be answered.
fn ask(address: &Address, stop: &AtomicBool, answers: &AtomicU32) -> Seen {
    let mut seen = Seen::default();
    let mut connection: Connection = address.connect();
    while !stop.load(Ordering::Relaxed) {
        if connection.try_send(&call("/").keep(true).bytes()).is_err() {
            seen.cut += 1;
            connection = address.connect();
            continue;
        }
        answered(&mut connection).unwrap();
        seen.answered += 1;
        answers.fetch_add(1, Ordering::Relaxed);
    }
    seen
}

#[test]
fn a_retiring_worker_accepts_no_newcomers_if_it_cannot_count_those_that_wait() {
    const CLIENTS: u32 = 8;
    const RESTARTS: u32 = 5;
    let (listener, address) = listen(Transport::Unix);
    let mut current = pool_without_netlink(&listener, &address, 1);
    let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::default());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (address, stop) = (address.clone(), Arc::clone(&stop));
            let answers: Arc<AtomicU32> = Arc::clone(&answers);
            std::thread::spawn(move || ask(&address, &stop, &answers))
        })
        .collect();
    let answers_reach = |count| {
        while answers.load(Ordering::Relaxed) < count {
            std::thread::yield_now();
        }
    };
    for restart in 0..RESTARTS {
        answers_reach(200 * (restart + 1));
        current.stop();
        current = pool_without_netlink(&listener, &address, 1);
    }
    answers_reach(answers.load(Ordering::Relaxed) + 100);
    stop.store(true, Ordering::Relaxed);
    let seen: Vec<_> = clients.into_iter().map(|c| c.join().unwrap()).collect();
    println!("measured: {seen:?}");
    for client in &seen {
        assert!(client.cut <= RESTARTS, "{seen:?}");
    }
    current.stop();
    address.remove();
}

#[test]
fn the_queue_is_served_although_it_cannot_be_counted() {
    const WAITING: usize = 50;
    let (listener, address) = listen(Transport::Unix);
    let mut pool = pool_without_netlink(&listener, &address, 2);
    let paused = [pool.paused(false), pool.paused(true)];
    let mut gate = pool.gate();
    let mut waiting: Vec<_> = (0..WAITING).map(|_| address.connect()).collect();
    for connection in &mut waiting {
        connection.send(&call("/").bytes());
    }
    pool.program.signal(nix::sys::signal::Signal::SIGTERM);
    pool.program.line("stopping 2 workers");
    gate.write_all(b"xx").unwrap();
    for mut connection in paused {
        assert!(connection.response().text().contains("waited"));
    }
    for connection in &mut waiting {
        answered(connection).unwrap();
    }
    pool.assert_stopped();
    address.remove();
}
