//! Sockets that the service manager keeps, and pools that end, or start again, while the service runs.

use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::answered;
use super::peer::connection::Address;
use super::peer::pool::call;
use super::peer::program::{Program, TRANSPORTS, compiled, listen};
use super::service_manager::ServiceManager;
use super::service_pools::{NAMES, Pools, assert_stops, restart, restarted};

/// What is stored with a socket.
fn name(address: &Address) -> String {
    format!("fcgipm={}", address.text().replace(':', "="))
}

/// The pid of a pool's latest manager.
pub(crate) fn manager_of(program: &mut Program, pool: &str) -> Pid {
    program.signal(Signal::SIGUSR1);
    let begin = format!("pool '{pool}' (pid ");
    program.line(&begin);
    let mut lines = program.lines().iter().rev();
    let line = lines.find(|line| line.contains(&begin)).unwrap();
    let (_, rest) = line.split_once("(pid ").unwrap();
    Pid::from_raw(rest.split_once(')').unwrap().0.parse().unwrap())
}

/// One of the pools has ended, the service manager has closed its socket, and the other pool serves.
fn assert_given_up(manager: &mut ServiceManager, pools: &Pools, ended: usize) {
    let address = &pools.addresses[ended];
    let removed = manager.message("FDSTOREREMOVE");
    let name = name(address);
    assert_eq!(removed, format!("FDSTOREREMOVE=1\nFDNAME={name}"));
    let stored: Vec<_> = manager.stored.iter().map(|(name, _)| name).collect();
    assert_eq!(stored, [&self::name(&pools.addresses[1 - ended])]);
    assert!(address.is_closed());
    if let Address::Unix(path) = address {
        assert!(!path.exists());
    }
    let other = &pools.addresses[1 - ended];
    assert!(other.call(&call("/")).text().contains("Hello"));
}

/// Starts the pools, if `is_restarted` with the sockets of an earlier start, and waits until they are
/// ready.
fn start(manager: &mut ServiceManager, pools: &Pools, is_restarted: bool) -> Program {
    let program = pools.start(manager);
    manager.message("READY=1");
    if !is_restarted {
        return program;
    }
    assert_stops(program);
    let program = restart(manager, pools);
    manager.message("READY=1");
    program
}

#[test]
fn a_pool_that_is_removed_from_the_file_gives_up_its_socket() {
    for (removed, is_restarted) in [(0, false), (1, false), (0, true), (1, true)] {
        let mut manager = ServiceManager::new();
        let pools = Pools::new(["true", "true"]);
        let mut program = start(&mut manager, &pools, is_restarted);
        pools.write(|place| place != removed);
        program.signal(Signal::SIGHUP);
        assert_given_up(&mut manager, &pools, removed);
        program.line("reload done");
        // It comes back with a new socket.
        pools.write(|_| true);
        program.signal(Signal::SIGHUP);
        let stored = manager.message("FDSTORE=1");
        let name = name(&pools.addresses[removed]);
        assert_eq!(stored, format!("FDSTORE=1\nFDNAME={name}"));
        pools.assert_serve();
        assert_stops(program);
        assert_eq!(manager.count("FDSTOREREMOVE=1"), 1);
    }
}

#[test]
fn a_pool_that_ends_alone_gives_up_its_socket() {
    for ended in [0, 1] {
        let mut manager = ServiceManager::new();
        let pools = Pools::new(["true", "true"]);
        let mut program = pools.start(&manager);
        manager.message("READY=1");
        let pid = manager_of(&mut program, NAMES[ended]);
        kill(pid, Signal::SIGTERM).unwrap();
        assert_given_up(&mut manager, &pools, ended);
        program.line("and is not restarted");
        assert_stops(program);
        assert_eq!(manager.count("FDSTOREREMOVE=1"), 1);
    }
}

/// It comes back before its old manager has exited.
#[test]
fn a_pool_that_returns_to_the_file_while_it_stops_is_started_again() {
    let mut manager = ServiceManager::new();
    let pools = Pools::new(["true", "true"]);
    let mut program = pools.start(&manager);
    manager.message("READY=1");
    let pid = manager_of(&mut program, NAMES[0]);
    kill(pid, Signal::SIGSTOP).unwrap();
    for has_it in [false, true] {
        pools.write(|place| has_it || place == 1);
        program.signal(Signal::SIGHUP);
        program.line("reload done");
    }
    kill(pid, Signal::SIGCONT).unwrap();
    program.line("stopped");
    program.line(") ready");
    pools.assert_serve();
    assert_stops(program);
}

#[test]
fn a_reload_during_a_stop_starts_no_pool() {
    let mut manager = ServiceManager::new();
    let pools = Pools::new(["true", "true"]);
    let mut program = pools.start(&manager);
    manager.message("READY=1");
    let [shop, wiki] = NAMES.map(|pool| manager_of(&mut program, pool));
    kill(shop, Signal::SIGSTOP).unwrap();
    program.signal(Signal::SIGTERM);
    // Its parent has reaped it.
    while kill(wiki, None).is_ok() {
        std::thread::yield_now();
    }
    program.signal(Signal::SIGHUP);
    kill(shop, Signal::SIGCONT).unwrap();
    let status = program.wait();
    assert!(status.success(), "{status:?} {:#?}", program.lines());
    assert_eq!(program.count("managing 2 workers"), 2);
}

/// Connections wait until it has started.
#[test]
fn a_manager_that_was_killed_gets_its_socket_again() {
    for is_restarted in [false, true] {
        let mut manager = ServiceManager::new();
        let pools = Pools::new(["true", "true"]);
        let mut program = start(&mut manager, &pools, is_restarted);
        for (pool, address) in NAMES.iter().zip(&pools.addresses) {
            for _ in 0..2 {
                let pid = manager_of(&mut program, pool);
                kill(pid, Signal::SIGKILL).unwrap();
                program.line(&format!("pool '{pool}': its manager"));
                let mut waiting = address.connect();
                waiting.send(&call("/").bytes());
                answered(&mut waiting).unwrap();
            }
        }
        pools.assert_serve();
        assert_stops(program);
        assert_eq!(manager.count("FDSTORE=1"), 2);
        assert_eq!(manager.count("FDSTOREREMOVE=1"), 0);
    }
}

/// A host that closes one of its two sockets before it starts its manager.
#[test]
fn a_socket_that_the_host_closes_before_it_serves_is_removed() {
    let mut manager = ServiceManager::new();
    let (sockets, addresses): (Vec<_>, Vec<_>) = TRANSPORTS.map(listen).into_iter().unzip();
    let names = addresses.iter().map(name);
    manager.stored = names.zip(sockets).collect();
    let mut command = Command::new(compiled("lifecycle/closing.c"));
    command
        .args(addresses.iter().map(Address::text))
        .env("FCGIPM_N_PROCESSES", "2")
        .env("NOTIFY_SOCKET", manager.address())
        .env("FDSTORE", "4");
    let program = restarted(&manager, &command, addresses[0].clone());
    let removed = manager.message("FDSTOREREMOVE");
    let [first, second] = &addresses[..] else {
        unreachable!()
    };
    assert_eq!(removed, format!("FDSTOREREMOVE=1\nFDNAME={}", name(second)));
    manager.message("READY=1");
    assert!(second.is_closed());
    assert!(first.call(&call("/")).text().contains("Hello"));
    // It closes the other one when its manager has stopped: that one is for the next start.
    assert_stops(program);
    assert_eq!(manager.count("FDSTOREREMOVE=1"), 1);
    assert!(!first.is_closed());
    addresses.iter().for_each(Address::remove);
}
