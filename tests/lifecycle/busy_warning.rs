//! The warning that all workers are busy while connections wait.

use super::Pool;
use super::peer::pool::command;
use super::peer::program::{Program, TRANSPORTS};
use super::peer::records::ID;

const WARNING: &str = "of 2 workers busy, 3 connections waiting in the listen queue";

#[test]
fn a_full_pool_warns_once_when_connections_wait_for_busy_workers() {
    let dynamic: &[_] = &[
        ("FCGIPM_PM", "dynamic"),
        ("FCGIPM_START_SERVERS", "1"),
        ("FCGIPM_MIN_SPARE", "1"),
        ("FCGIPM_MAX_SPARE", "1"),
    ];
    for transport in TRANSPORTS {
        for (environment, first) in [(&[][..], 2), (dynamic, 1)] {
            let (command, gate) = command(2, environment);
            let mut pool = Pool::ready(Program::start(command, transport), gate, first);
            let mut busy: Vec<_> = (0..2).map(|_| pool.paused(false)).collect();
            for _ in first..2 {
                let _ = pool.next_ready();
            }
            let mut waiting: Vec<_> = (0..3).map(|_| pool.paused(false)).collect();
            let line = pool.program.line("overload: all");
            assert!(line.contains(WARNING), "{line}");
            // The manager continues to check, and does not repeat the warning.
            pool.program.signal(nix::sys::signal::Signal::SIGUSR1);
            pool.program.line("received SIGUSR1");
            let gate = pool.let_through(5);
            for connection in busy.iter_mut().chain(&mut waiting) {
                assert!(connection.response_to(ID).text().contains("waited"));
            }
            drop(gate);
            assert_eq!(pool.program.count("overload"), 1);
            pool.stop();
        }
    }
}
