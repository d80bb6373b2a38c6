//! Workers that attack their manager and each other.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::peer::connection::{Connection, LIMIT};
use super::peer::pool::{Pool, call};
use super::peer::program::{Program, TRANSPORTS, Transport, compiled};
use super::peer::records::{GET_VALUES, ID, STDIN, record};

/// A signal takes effect within this time, even on a busy machine. What could delay it lasts ten
/// minutes.
const PROMPT: Duration = Duration::from_secs(3);

fn pool(transport: Transport, workers: usize, options: &[(&str, &str)]) -> Pool {
    pool_as(|_| {}, transport, workers, options)
}

/// The same, with a command that is changed before it starts.
pub(super) fn pool_as(
    change: impl FnOnce(&mut Command),
    transport: Transport,
    workers: usize,
    options: &[(&str, &str)],
) -> Pool {
    let mut command = Command::new(compiled("lifecycle/hostile_workers.c"));
    command
        .env("FCGIPM_N_PROCESSES", workers.to_string())
        .envs(options.iter().copied());
    change(&mut command);
    let program = Program::start(command, transport);
    Pool::ready(program, PathBuf::new(), workers)
}

/// The pid of the worker that answered, and the result that it returned.
fn call_worker(pool: &Pool, path: &str) -> (i32, i32) {
    let text = pool.program.call(&call(path)).text();
    let numbers = text.split_whitespace().filter_map(|word| word.parse().ok());
    let numbers: Vec<i32> = numbers.collect();
    let [worker, result] = numbers[..] else {
        panic!("{text}")
    };
    (worker, result)
}

/// TERM ends the pool, without delay.
pub(super) fn assert_ends_promptly(mut pool: Pool, what: &str) {
    let begin = Instant::now();
    pool.program.signal(Signal::SIGTERM);
    assert_eq!(pool.program.wait_for(PROMPT).code(), Some(0), "{what}");
    println!(
        "measured: {what}: TERM ended the pool after {:.2?}",
        begin.elapsed()
    );
}

#[test]
fn a_lingering_connection_does_not_block_the_manager() {
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
    // The scenario: by now the manager has stopped waiting for the clients.
    std::thread::sleep(Duration::from_millis(2_500));
    assert_ends_promptly(pool, "connections that linger");
}

#[test]
fn an_offer_withdrawn_while_it_is_claimed_does_not_block_the_manager() {
    let mut pool = pool(Transport::Unix, 2, &[]);
    let (worker, taken) = call_worker(&pool, "/offer");
    println!("measured: forged offers: the manager took them {taken} times");
    assert!(taken > 0);
    // A signal to the manager would interrupt a blocking call.
    let other = pool.workers.iter().find(|pid| **pid != worker).unwrap();
    kill(Pid::from_raw(*other), Signal::SIGKILL).unwrap();
    let _ = pool.next_ready();
    assert_ends_promptly(pool, "forged offers");
}

#[test]
fn a_child_of_a_worker_cannot_give_orders_to_the_replacement() {
    let mut pool = pool(Transport::Unix, 1, &[]);
    let (worker, _) = call_worker(&pool, "/orders");
    assert_eq!(worker, pool.workers[0]);
    // The order retires the worker itself.
    let replacement = pool.next_ready();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(1) {
        assert_eq!(call_worker(&pool, "/"), (replacement, 0));
    }
    assert_ends_promptly(pool, "orders from a child of an exited worker");
}

/// A retiring worker serves and closes connections that it cannot hand over, instead of retrying
/// until it is killed.
#[test]
fn a_hand_over_queue_that_is_shut_down_does_not_delay_a_retiring_worker() {
    let mut pool = pool(Transport::Tcp, 2, &[]);
    let mut idle: Vec<_> = (0..6).map(|_| pool.program.connect()).collect();
    for connection in &mut idle {
        connection.send(&call("/").keep(true).bytes());
        let _ = connection.response();
    }
    let (_, shut) = call_worker(&pool, "/shut");
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

/// To refuse a connection the manager accepts it, and without the queue it could not hand over one
/// that turns out to be young enough for a worker.
#[test]
fn a_hand_over_queue_that_is_shut_down_disables_max_queue_age_and_loses_nothing() {
    let mut pool = pool(Transport::Tcp, 1, &[("FCGIPM_MAX_QUEUE_AGE", "0.2")]);
    let (_, shut) = call_worker(&pool, "/shut");
    assert!(shut > 0);
    let mut busy = pool.program.connect();
    busy.send(&call("/body").head());
    // This one becomes too old within its first record.
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

/// A connection that was not stolen: a worker reads its request, and exits after it.
fn connection_of_a_worker(pool: &Pool) -> Connection {
    let begun = [call("/last").head(), record(GET_VALUES, 0, &[])].concat();
    loop {
        let mut client = pool.program.connect();
        let _ = client.try_send(&begun);
        if client.try_record().is_ok_and(|record| record.is_some()) {
            return client;
        }
    }
}

/// A third process accepts connections before the manager can refuse them, which makes its
/// accept(2) block.
#[test]
fn stolen_connections_do_not_block_the_manager() {
    for transport in TRANSPORTS {
        let mut pool = pool(transport, 2, &[("FCGIPM_MAX_QUEUE_AGE", "0.1")]);
        let mut busy = pool.program.connect();
        busy.send(&call("/steal").head());
        for _ in 0..30 {
            let mut other = connection_of_a_worker(&pool);
            let mut old: Vec<_> = (0..20).map(|_| pool.program.connect()).collect();
            for client in &mut old {
                // It may have been stolen.
                let _ = client.try_send(&call("/").bytes());
            }
            // Each is refused or stolen, or handed over since the one before it was stolen and it
            // is still young enough.
            let begin = Instant::now();
            while pool.status()["listen_queue"] != 0 {
                assert!(begin.elapsed() < LIMIT);
            }
            other.send(&record(STDIN, ID, &[]));
            assert!(other.response().text().contains(" 0"));
            // A signal would interrupt a blocked manager, so it must replace a worker instead.
            let _ = pool.next_ready();
            for client in &mut old {
                client.drain();
            }
        }
        let refused = pool.status()["overloaded"].clone();
        println!(
            "measured: {transport:?}: of 600 connections {refused} were refused, the others stolen"
        );
        busy.send(&record(STDIN, ID, &[]));
        assert!(busy.response().text().contains(" 0"));
        assert_ends_promptly(pool, "stolen connections");
    }
}

#[test]
fn a_worker_can_map_only_its_own_page_of_the_scoreboard() {
    let mut pool = pool(Transport::Unix, 3, &[]);
    let mut tried = Vec::new();
    while tried.len() < 3 {
        let (worker, reached) = call_worker(&pool, "/reach");
        assert_eq!(reached, 0, "worker {worker} of {:?}", pool.workers);
        if !tried.contains(&worker) {
            tried.push(worker);
        }
    }
    let lines = pool.program.lines();
    assert!(
        !lines.iter().any(|line| line.contains("exited")),
        "{lines:?}"
    );
    assert_ends_promptly(pool, "a worker that maps a page beyond its own");
}

/// The open sockets and pipes of a process, with the kernel's names. (An epoll instance does not
/// count: a worker opens it for its first slow client.)
pub(super) fn open_files(pid: i32) -> Vec<String> {
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
fn handed_over_descriptors_that_are_not_connections_are_closed() {
    let mut pool = pool(Transport::Unix, 2, &[]);
    // Checking the queue opens nothing.
    let before: Vec<_> = pool.workers.iter().map(|pid| open_files(*pid)).collect();
    let (worker, sent) = call_worker(&pool, "/queue");
    assert_eq!(sent, 100);
    let other = usize::from(worker == pool.workers[0]);
    let sibling = pool.workers[other];
    let replacement = pool.next_ready();
    let warning = "not a connection of this pool";
    if !pool
        .program
        .lines()
        .iter()
        .any(|line| line.contains(warning))
    {
        pool.program.line(warning);
    }
    // A worker checks the queue before each request, until it is empty.
    let begin = Instant::now();
    let (mut seen, mut asked_sibling) = (Vec::new(), false);
    while open_files(sibling) != before[other] || !asked_sibling {
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "{seen:#?}\nwas {:#?}\nis {:#?}",
            before[other],
            open_files(sibling)
        );
        let (answering, _) = call_worker(&pool, "/");
        asked_sibling |= answering == sibling;
        assert!([sibling, replacement].contains(&answering));
        seen.push(answering);
    }
    assert_ends_promptly(pool, "a queue full of descriptors that are not connections");
}
