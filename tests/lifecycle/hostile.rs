//! Workers that do harm on purpose: to their manager, and to each other.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::peer::connection::{Connection, LIMIT};
use super::peer::pool::{Pool, call};
use super::peer::program::{Program, TRANSPORTS, Transport, compiled};
use super::peer::records::{GET_VALUES, ID, STDIN, record};

/// A signal acts within this, on a machine that does other things as well. What it would have to wait for lasts ten
/// minutes.
const PROMPT: Duration = Duration::from_secs(3);

fn pool(transport: Transport, workers: usize, options: &[(&str, &str)]) -> Pool {
    let mut command = Command::new(compiled("lifecycle/hostile.c"));
    command
        .env("FCGIPM_N_PROCESSES", workers.to_string())
        .envs(options.iter().copied());
    let program = Program::start(command, transport);
    Pool::ready(program, PathBuf::new(), workers)
}

/// The worker that answered, and what it says came of it.
fn asked(pool: &Pool, path: &str) -> (i32, i32) {
    let text = pool.program.call(&call(path)).text();
    let numbers = text.split_whitespace().filter_map(|word| word.parse().ok());
    let numbers: Vec<i32> = numbers.collect();
    let [worker, result] = numbers[..] else {
        panic!("{text}")
    };
    (worker, result)
}

/// TERM ends the pool, and at once.
fn assert_ends_promptly(mut pool: Pool, what: &str) {
    let begin = Instant::now();
    pool.program.signal(Signal::SIGTERM);
    assert_eq!(pool.program.wait_for(PROMPT).code(), Some(0), "{what}");
    println!(
        "measured: {what}: TERM ended the pool after {:.2?}",
        begin.elapsed()
    );
}

#[test]
fn a_connection_that_lingers_does_not_hold_the_manager() {
    let limits = [
        ("FCGIPM_REQUEST_TIMEOUT", "0.1"),
        ("FCGIPM_REQUEST_TIMEOUT_GRACE", "0.05"),
    ];
    let mut pool = pool(Transport::Tcp, 1, &limits);
    let mut silent = Vec::new();
    for _ in 0..3 {
        let mut client = pool.program.connect();
        client.send(&call("/linger").bytes());
        silent.push(client);
        pool.program.line("killing worker");
        let _ = pool.next_ready();
        assert!(pool.program.call(&call("/")).text().ends_with(" 0\n"));
        pool.program.signal(Signal::SIGUSR1);
        pool.program.line("received SIGUSR1");
    }
    // That the manager's patience with their clients has come to its end is the scenario.
    std::thread::sleep(Duration::from_millis(2_500));
    assert_ends_promptly(pool, "connections that linger");
}

#[test]
fn an_offer_that_is_withdrawn_meanwhile_does_not_hold_the_manager() {
    let mut pool = pool(Transport::Unix, 2, &[]);
    let (worker, taken) = asked(&pool, "/offer");
    println!("measured: forged offers: the manager took them {taken} times");
    assert!(taken > 0);
    // A signal to the manager would end what it waits for.
    let other = pool.workers.iter().find(|pid| **pid != worker).unwrap();
    kill(Pid::from_raw(*other), Signal::SIGKILL).unwrap();
    let _ = pool.next_ready();
    assert_ends_promptly(pool, "forged offers");
}

#[test]
fn a_child_of_a_worker_gives_no_orders_to_its_successor() {
    let mut pool = pool(Transport::Unix, 1, &[]);
    let (worker, _) = asked(&pool, "/orders");
    assert_eq!(worker, pool.workers[0]);
    // It has got the order itself.
    let successor = pool.next_ready();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(1) {
        assert_eq!(asked(&pool, "/"), (successor, 0));
    }
    assert_ends_promptly(pool, "orders by a child of a worker that has exited");
}

/// What it cannot hand over, a retiring worker answers and closes, instead of trying until it is killed.
#[test]
fn a_queue_that_is_shut_down_delays_no_retiring_worker() {
    let mut pool = pool(Transport::Tcp, 2, &[]);
    let mut kept: Vec<_> = (0..6).map(|_| pool.program.connect()).collect();
    for connection in &mut kept {
        connection.send(&call("/").keep(true).bytes());
        let _ = connection.response();
    }
    let (_, shut) = asked(&pool, "/shut");
    assert!(shut > 0);
    let begin = Instant::now();
    pool.program.signal(Signal::SIGHUP);
    pool.program.line("reload done");
    assert!(begin.elapsed() < PROMPT, "{:?}", begin.elapsed());
    let lines = pool.program.lines();
    assert!(
        !lines.iter().any(|line| line.contains("kill")),
        "{lines:#?}"
    );
    assert_ends_promptly(pool, "a hand-over queue that is shut down");
}

/// What the manager accepts to refuse it may turn out to be the workers', and then there is no way to them.
#[test]
fn a_queue_that_is_shut_down_ends_max_queue_age_and_loses_nothing_after_that() {
    let mut pool = pool(Transport::Tcp, 1, &[("FCGIPM_MAX_QUEUE_AGE", "0.2")]);
    let (_, shut) = asked(&pool, "/shut");
    assert!(shut > 0);
    let mut busy = pool.program.connect();
    busy.send(&call("/body").head());
    // It has begun a request, and is too old before the rest comes.
    let mut begun = pool.program.connect();
    begun.send(&call("/").bytes()[..3]);
    pool.program
        .line("max_queue_age no longer has an effect: a worker has shut down");
    begun.assert_closed();
    let mut others: Vec<_> = (0..5).map(|_| pool.program.connect()).collect();
    for other in &mut others {
        other.send(&call("/").bytes());
    }
    busy.send(&record(STDIN, ID, &[]));
    assert!(busy.response().text().contains(" 0"));
    for other in &mut others {
        assert!(other.response().text().contains(" 0"));
    }
    assert_ends_promptly(pool, "a hand-over queue that is shut down");
}

/// A connection that is not taken away: a worker reads its request, and will exit after it.
fn reading(pool: &Pool) -> Connection {
    let begun = [call("/last").head(), record(GET_VALUES, 0, &[])].concat();
    loop {
        let mut client = pool.program.connect();
        let _ = client.try_send(&begun);
        if client.try_record().is_ok_and(|record| record.is_some()) {
            return client;
        }
    }
}

/// Connections are too old, and somebody is faster than the one who is to refuse them, and has it wait in accept(2).
#[test]
fn connections_that_are_taken_away_do_not_hold_the_manager() {
    for transport in TRANSPORTS {
        let mut pool = pool(transport, 2, &[("FCGIPM_MAX_QUEUE_AGE", "0.1")]);
        let mut busy = pool.program.connect();
        busy.send(&call("/away").head());
        for _ in 0..30 {
            let mut other = reading(&pool);
            let mut old: Vec<_> = (0..20).map(|_| pool.program.connect()).collect();
            for client in &mut old {
                // It may have been taken away.
                let _ = client.try_send(&call("/").bytes());
            }
            // Refused, or taken away, or handed over: too young, because the one before it was taken away.
            let begin = Instant::now();
            while pool.status()["accept_queue"] != 0 {
                assert!(begin.elapsed() < LIMIT);
            }
            other.send(&record(STDIN, ID, &[]));
            assert!(other.response().text().contains(" 0"));
            // A signal to the manager would end what it waits for, so it is to replace a worker.
            let _ = pool.next_ready();
            for client in &mut old {
                client.drain();
            }
        }
        let refused = pool.status()["overloaded"].clone();
        println!(
            "measured: {transport:?}: of 600 connections {refused} were refused, the others taken away"
        );
        busy.send(&record(STDIN, ID, &[]));
        assert!(busy.response().text().contains(" 0"));
        assert_ends_promptly(pool, "connections that are taken away");
    }
}

#[test]
fn a_worker_reaches_no_part_of_the_scoreboard_but_its_own() {
    let mut pool = pool(Transport::Unix, 3, &[]);
    let mut asked_all = Vec::new();
    // Whichever it is, one of the first two has a neighbour behind it.
    while asked_all.len() < 3 {
        let (worker, reached) = asked(&pool, "/reach");
        assert_eq!(reached, 0, "worker {worker} of {:?}", pool.workers);
        if !asked_all.contains(&worker) {
            asked_all.push(worker);
        }
    }
    let lines = pool.program.lines();
    assert!(
        !lines.iter().any(|line| line.contains("exited")),
        "{lines:?}"
    );
    assert_ends_promptly(pool, "a worker that reaches further");
}

/// The sockets and pipes that a process has open, by what the kernel calls them. (A worker whose client was slow has an
/// epoll instance from then on.)
fn open_files(pid: i32) -> Vec<String> {
    let folder = std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links = folder.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    let links = links.map(|link| link.display().to_string());
    let mut links: Vec<_> = links
        .filter(|link| link.starts_with("socket:") || link.starts_with("pipe:"))
        .collect();
    links.sort();
    links
}

#[test]
fn what_is_no_connection_and_is_handed_over_stays_with_nobody() {
    let mut pool = pool(Transport::Unix, 2, &[]);
    // One that has looked at the queue has opened nothing for it.
    let before: Vec<_> = pool.workers.iter().map(|pid| open_files(*pid)).collect();
    let (worker, sent) = asked(&pool, "/queue");
    assert_eq!(sent, 100);
    let other = usize::from(worker == pool.workers[0]);
    let neighbour = pool.workers[other];
    let successor = pool.next_ready();
    let warning = "not a connection of this pool";
    if !pool
        .program
        .lines()
        .iter()
        .any(|line| line.contains(warning))
    {
        pool.program.line(warning);
    }
    // The worker that is asked checks the queue before: in the end nothing is in it.
    let begin = Instant::now();
    let (mut seen, mut asked_neighbour) = (Vec::new(), false);
    while open_files(neighbour) != before[other] || !asked_neighbour {
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "{seen:#?}\nwas {:#?}\nis {:#?}",
            before[other],
            open_files(neighbour)
        );
        let (answering, _) = asked(&pool, "/");
        asked_neighbour |= answering == neighbour;
        assert!([neighbour, successor].contains(&answering));
        seen.push(answering);
    }
    assert_ends_promptly(pool, "a queue full of what is no connection");
}
