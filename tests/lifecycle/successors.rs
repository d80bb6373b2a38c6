//! A manager is killed while a worker serves a request: who still listens, what the next manager finds
//! until the worker has finished, and when it can start.

use std::process::Command;

use nix::sys::signal::Signal;

use super::peer::connection::{Address, LIMIT};
use super::peer::program::{TRANSPORTS, ended_within, listen, product, unused};
use super::{Pool, answered, call};

/// Starts the example on an address that is in use, and returns why it does not start.
fn refused(address: &Address) -> String {
    let output = Command::new(product("examples/hello"))
        .arg(address.text())
        .output()
        .unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_next_manager_names_the_worker_that_still_serves_and_starts_when_it_has_exited() {
    for transport in TRANSPORTS {
        let address = unused(transport);
        let mut pool = Pool::start_opening(&address, 3, &[]);
        let mut paused = pool.paused(false);
        let gate = pool.gate();
        pool.program.signal(Signal::SIGKILL);
        let _ = pool.program.wait();
        let mut workers = pool.workers.clone();
        workers.retain(|worker| !ended_within(*worker, super::A_SECOND));
        let [busy] = workers[..] else {
            panic!("idle workers exit within a second, a busy one stays: {workers:?}");
        };
        // It does not accept another connection, but holds the socket.
        let reason = refused(&address);
        assert!(reason.contains("in use"), "{reason}");
        assert!(reason.contains(&busy.to_string()), "{reason}");
        drop(gate);
        assert!(paused.response().text().contains("waited"));
        assert!(ended_within(busy, LIMIT));
        Pool::start_opening(&address, 1, &[]).stop();
        address.remove();
    }
}

#[test]
fn on_a_socket_of_a_service_manager_the_next_manager_serves_immediately() {
    for transport in TRANSPORTS {
        let (listener, address) = listen(transport);
        let mut pool = Pool::start_on(listener.try_clone().unwrap(), address.clone(), 2, &[]);
        let mut paused = pool.paused(false);
        let gate = pool.gate();
        pool.program.signal(Signal::SIGKILL);
        let _ = pool.program.wait();
        // It waits in the queue that the service manager holds.
        let mut waiting = address.connect();
        waiting.send(&call("/").bytes());
        let next = Pool::start_on(listener, address.clone(), 2, &[]);
        answered(&mut waiting).unwrap();
        drop(gate);
        assert!(paused.response().text().contains("waited"));
        next.stop();
        address.remove();
    }
}
