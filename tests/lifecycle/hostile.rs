//! Workers that do harm on purpose: to their manager, and to each other.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::peer::pool::{Pool, call};
use super::peer::program::{Program, Transport, compiled};

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
    let text = pool.program.call(&call("/offer")).text();
    let numbers: Vec<i32> = text
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [worker, taken] = numbers[..] else {
        panic!("{text}")
    };
    println!("measured: forged offers: the manager took them {taken} times");
    assert!(taken > 0);
    // A signal to the manager would end what it waits for.
    let other = pool.workers.iter().find(|pid| **pid != worker).unwrap();
    kill(Pid::from_raw(*other), Signal::SIGKILL).unwrap();
    let _ = pool.next_ready();
    assert_ends_promptly(pool, "forged offers");
}
