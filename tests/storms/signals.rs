//! Signals without a meaning, at a high rate, during large requests and responses.

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::host;
use super::peer::connection::Address;
use super::peer::pool::{Pool, call};
use super::peer::program::{Program, TRANSPORTS, Transport, compiled, folder};
use super::peer::records::ID;
use super::random::Chance;

const SIZE: usize = 1 << 20;
const BURST: usize = 20;
const SIGNALS: [Signal; 4] = [
    Signal::SIGCHLD,
    Signal::SIGALRM,
    Signal::SIGURG,
    Signal::SIGWINCH,
];

/// The rate of signals.
#[derive(Clone, Copy, Debug)]
enum Rate {
    /// As fast as possible, in bursts. Without a pause, a worker whose handler takes longer than the
    /// sending of a signal would never leave its handlers.
    Full,
    /// This number of each signal in each round. Perl aborts at 120 pending signals, and it handles
    /// none within a call of the library.
    Each(usize),
}

/// Sends bodies that must return unchanged, on new connections and on a keep-alive connection.
fn exchange(address: &Address, rounds: usize, mut chance: Chance, begun: &SyncSender<()>) -> usize {
    let mut kept = address.connect();
    for round in 0..rounds {
        let _ = begun.send(());
        let body = chance.bytes(SIZE);
        let request = call("/echo").body(&body).keep(round % 2 == 0);
        let response = if round % 2 == 0 {
            kept.send_in(&request.bytes(), 1 + chance.below(100_000));
            kept.response_to(ID)
        } else {
            address.call(&request)
        };
        let header = response.stdout.windows(4).position(|w| w == b"\r\n\r\n");
        let (_, back) = response.stdout.split_at(header.unwrap() + 4);
        let differs = back.iter().zip(&body).position(|(a, b)| a != b);
        assert_eq!((back.len(), differs), (SIZE, None), "round {round}");
    }
    rounds
}

/// Sends each signal to each worker once, and returns the number of signals.
fn send_signals(workers: &[i32]) -> u64 {
    for signal in SIGNALS {
        for pid in workers {
            // A dead worker would not answer its client.
            let _ = kill(Pid::from_raw(*pid), signal);
        }
    }
    (SIGNALS.len() * workers.len()) as u64
}

/// Waits until each worker has handled the signals that were sent, or ignores them.
fn wait_until_handled(workers: &[i32]) {
    let mask = SIGNALS.iter().fold(0, |m, s| m | 1_u64 << (*s as i32 - 1));
    let is_pending = |pid: &i32| {
        // A dead worker has none.
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let pending = status.lines().find_map(|l| l.strip_prefix("ShdPnd:"));
        pending.is_some_and(|p| u64::from_str_radix(p.trim(), 16).unwrap() & mask != 0)
    };
    while workers.iter().any(is_pending) {
        std::thread::yield_now();
    }
}

fn storm(what: &str, pool: Pool, rounds: usize, rate: Rate) {
    let mut chance = Chance::new(what);
    let stop = AtomicBool::new(false);
    // A round of signals begins with a round of both clients.
    let (begun, rounds_of): (Vec<_>, Vec<_>) = (0..2).map(|_| sync_channel(0)).unzip();
    let (sent, exchanged) = std::thread::scope(|scope| {
        let (stop, workers) = (&stop, &pool.workers[..]);
        let storming = scope.spawn(move || {
            let mut sent = 0;
            match rate {
                Rate::Full => {
                    drop(rounds_of);
                    while !stop.load(Ordering::Relaxed) {
                        sent += (0..BURST).map(|_| send_signals(workers)).sum::<u64>();
                        wait_until_handled(workers);
                    }
                }
                Rate::Each(count) => {
                    while rounds_of.iter().all(|round| round.recv().is_ok()) {
                        for _ in 0..count {
                            sent += send_signals(workers);
                            // The pace is the scenario: during the whole exchange.
                            std::thread::sleep(Duration::from_micros(50));
                        }
                    }
                }
            }
            sent
        });
        let clients: Vec<_> = begun
            .into_iter()
            .map(|begun| {
                let seed = chance.clone();
                chance.next();
                let address = &pool.program.address;
                scope.spawn(move || exchange(address, rounds, seed, &begun))
            })
            .collect();
        let exchanged: Vec<_> = clients.into_iter().map(|c| c.join()).collect();
        stop.store(true, Ordering::Relaxed);
        (storming.join().unwrap(), exchanged)
    });
    let exchanged: usize = exchanged.into_iter().map(Result::unwrap).sum();
    println!(
        "measured: {what}: {exchanged} bodies of 1 MiB returned unchanged under {sent} signals"
    );
    pool.stop();
}

fn echo_in_c(transport: Transport) -> Pool {
    let mut command = Command::new(compiled("storms/echo.c"));
    command.env("FCGIPM_N_PROCESSES", "2");
    let gate = folder().join("gate");
    Pool::ready(Program::start(command, transport), gate, 2)
}

pub(crate) fn signal_storms_leave_bodies_byte_exact_in_c() {
    for transport in TRANSPORTS {
        let what = format!("signals to C over {transport:?}");
        storm(&what, echo_in_c(transport), 60, Rate::Full);
    }
}

pub(crate) fn signal_storms_leave_bodies_byte_exact_in_perl() {
    let script = host::root("tests/storms/echo.fcgi");
    for transport in TRANSPORTS {
        for (reaction, ignores, rate) in [
            ("handles", "", Rate::Each(30)),
            ("ignores", "1", Rate::Full),
        ] {
            let pool = host::perl(&script, transport, 2, &[("ECHO_IGNORES", ignores)]);
            let what = format!("signals to Perl that {reaction} them over {transport:?}");
            storm(&what, pool, 30, rate);
        }
    }
}
