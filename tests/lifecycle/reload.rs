//! SIGHUP replaces every worker without a failed request.

use std::fs::File;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::peer::connection::Connection;
use super::peer::program::{TRANSPORTS, Transport};
use super::peer::records::ID;
use super::{Load, Pool, answered, ask_in_two_segments, ask_keep_alive, call};

const WORKERS: usize = 4;

fn sixty_reloads(transport: Transport) {
    let mut pool = Pool::start(transport, WORKERS, &[]);
    let address = pool.program.address.clone();
    let load = Load::start(
        8,
        || address.clone(),
        |address| ask_in_two_segments(address),
    );
    for _ in 0..60 {
        pool.program.signal(Signal::SIGHUP);
        // The pace is the scenario.
        std::thread::sleep(Duration::from_millis(100));
    }
    // At least one reload is complete.
    pool.program.line("reload done");
    let answered = load.finish();
    // Several HUPs during a reload request only one more.
    let done = pool.program.count("reload done");
    println!("measured: {transport:?}: {answered} requests during 60 HUPs, {done} reloads done");
    assert!(done >= 10, "{done} reloads");
    pool.stop();
}

#[test]
fn sixty_reloads_lose_nothing_when_parameters_arrive_in_two_segments_on_unix() {
    sixty_reloads(Transport::Unix);
}

#[test]
fn sixty_reloads_lose_nothing_when_parameters_arrive_in_two_segments_on_tcp() {
    sixty_reloads(Transport::Tcp);
}

#[test]
fn thirty_reloads_lose_nothing_on_keep_alive_connections() {
    for transport in TRANSPORTS {
        let mut pool = Pool::start(transport, 2, &[]);
        let address = pool.program.address.clone();
        let load = Load::start(4, || address.connect(), ask_keep_alive);
        let mut idle: Vec<_> = (0..20).map(|_| address.connect()).collect();
        idle.iter_mut()
            .for_each(|connection| ask_keep_alive(connection).unwrap());
        for round in 0..30 {
            pool.program.signal(Signal::SIGHUP);
            pool.program.line("reload done");
            if round % 10 == 9 {
                idle.iter_mut()
                    .for_each(|connection| ask_keep_alive(connection).unwrap());
            }
        }
        println!(
            "measured: {transport:?}: {} requests during 30 reloads",
            load.finish()
        );
        pool.stop();
    }
}

/// A pool of one worker, an idle connection parked in it, the connection of the request that holds
/// the worker, and its gate.
fn held_with_an_idle_connection(transport: Transport) -> (Pool, Connection, Connection, File) {
    let pool = Pool::start(transport, 1, &[]);
    let mut kept = pool.program.connect();
    ask_keep_alive(&mut kept).unwrap();
    let first = pool.paused(false);
    let gate = pool.gate();
    (pool, kept, first, gate)
}

#[test]
fn an_idle_connection_survives_a_reload_while_every_worker_is_busy() {
    for transport in TRANSPORTS {
        // The only worker is busy, and so is its replacement when the connection is handed over.
        let (mut pool, mut kept, mut first, gate) = held_with_an_idle_connection(transport);
        pool.program.signal(Signal::SIGHUP);
        let _ = pool.next_ready();
        // The response does not fit into the buffers of the sockets.
        let mut second = pool.program.connect();
        second.send(&call("/bytes?n=33554432").keep(true).bytes());
        assert_eq!(second.record().kind, super::peer::records::STDOUT);
        drop(gate);
        assert!(first.response().text().contains("waited"));
        assert!(second.try_response_to(ID).is_ok());
        pool.program.line("reload done");
        ask_keep_alive(&mut kept).unwrap();
        ask_keep_alive(&mut second).unwrap();
        pool.stop();
    }
}

/// The worker that must receive it is busy, and its listen queue is never empty.
#[test]
fn a_handed_over_connection_does_not_wait_until_the_listen_queue_is_empty() {
    for transport in TRANSPORTS {
        let (mut pool, mut kept, mut first, gate) = held_with_an_idle_connection(transport);
        let queue: Vec<_> = (0..50).map(|_| pool.paused(false)).collect();
        pool.program.signal(Signal::SIGHUP);
        let _ = pool.next_ready();
        // From now on the retiring worker does not accept from the queue.
        pool.program.line("all new workers are ready");
        drop(gate);
        assert!(first.response().text().contains("waited"));
        pool.program.line("exited with status 0");
        // A signal without effect: when the manager reports it, it has finished handling the exit.
        pool.program.signal(Signal::SIGTTOU);
        pool.program.line("received SIGTTOU");
        kept.send(&call("/").keep(true).bytes());
        // Only some requests of the queue are let through.
        let gate = pool.let_through(10);
        answered(&mut kept).unwrap();
        drop((queue, gate));
    }
}

#[test]
fn a_request_that_is_being_read_is_answered_by_the_retired_worker() {
    for transport in TRANSPORTS {
        let mut pool = Pool::start(transport, 1, &[]);
        let (mut half, rest) = pool.half(&call("/").keep(true));
        pool.program.signal(Signal::SIGHUP);
        pool.program.line("all new workers are ready");
        half.send(&rest);
        let text = half.response_to(ID).text();
        assert!(
            text.contains(&format!("worker {},", pool.workers[0])),
            "{text}"
        );
        // After that, the connection continues in the new worker.
        ask_keep_alive(&mut half).unwrap();
        pool.stop();
    }
}

#[test]
fn a_response_to_a_request_with_an_unread_body_survives_the_reload() {
    for transport in TRANSPORTS {
        let mut pool = Pool::start(transport, 1, &[]);
        let body = vec![b'x'; 2 << 20];
        let request = call("/").body(&body);
        let bytes = request.bytes();
        let mut connection = pool.program.connect();
        connection.send(&bytes[..request.head().len() + 100_000]);
        // The response is sent, and the worker discards the rest of the body.
        assert_eq!(connection.record().kind, super::peer::records::STDOUT);
        pool.program.signal(Signal::SIGHUP);
        pool.program.line("all new workers are ready");
        let _ = connection.try_send(&bytes[request.head().len() + 100_000..]);
        assert!(connection.try_response_to(ID).is_ok());
        pool.stop();
    }
}

#[test]
fn a_reload_is_running_until_all_old_workers_have_exited() {
    let mut pool = Pool::start(Transport::Unix, 1, &[]);
    let old = pool.workers[0];
    let mut paused = pool.paused(false);
    let gate = pool.gate();
    pool.program.signal(Signal::SIGHUP);
    pool.program
        .line("all new workers are ready; waiting for 1 old worker to exit");
    assert!(pool.program.call(&call("/")).text().contains("Hello"));
    assert_eq!(pool.status()["reload"]["state"], "running");
    // Another reload does not wait for the old workers.
    pool.program.signal(Signal::SIGHUP);
    pool.program.line("reload begun");
    pool.program
        .line("all new workers are ready; waiting for 2 old workers to exit");
    pool.program.line("exited with status 0");
    assert_eq!(pool.program.count("reload done"), 0);
    drop(gate);
    assert!(paused.response_to(ID).text().contains("waited"));
    pool.program
        .line(&format!("worker (pid {old}) exited with status 0"));
    pool.program.line("reload done");
    pool.program.line("reload done");
    let status = pool.status();
    assert_eq!(status["reload"]["state"], "done");
    pool.stop();
}

#[test]
fn an_old_worker_that_does_not_exit_is_killed_and_the_reload_completes() {
    let mut pool = Pool::start(Transport::Unix, 1, &[("FCGIPM_DIE_TIMEOUT", "0.5")]);
    let old = pool.workers[0];
    let _paused = pool.paused(false);
    let _gate = pool.gate();
    pool.program.signal(Signal::SIGHUP);
    pool.program.line(&format!("killing worker (pid {old})"));
    pool.program
        .line(&format!("worker (pid {old}) killed by SIGKILL"));
    pool.program.line("reload done");
    // Without `stop()`, which would object to the kill.
    pool.program.signal(Signal::SIGTERM);
    assert_eq!(pool.program.wait().code(), Some(0));
}
