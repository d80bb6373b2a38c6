//! The guardian, the process that notifies the workers of the manager's death.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgid};

use super::peer::program::{TRANSPORTS, descriptors_of, ended_within, guardian_of};
use super::{A_SECOND, Pool, ask_keep_alive};

#[test]
fn the_guardian_holds_only_pidfds_and_exits_with_the_manager() {
    for transport in TRANSPORTS {
        let mut pool = Pool::start(transport, 2, &[]);
        let manager = pool.program.pid();
        let guardian = guardian_of(manager, 2, &[]);
        let links = descriptors_of(guardian);
        let others: Vec<_> = links
            .iter()
            .filter(|link| !link.contains("pidfd"))
            .collect();
        // The socket to the manager.
        assert_eq!(others.len(), 1, "{links:?}");
        assert!(others[0].starts_with("socket:"), "{links:?}");
        assert!(
            descriptors_of(pool.workers[0])
                .iter()
                .all(|link| link != others[0])
        );
        let pid = Pid::from_raw(guardian);
        // It has its own process group before workers rely on it.
        let begin = Instant::now();
        while getpgid(Some(pid)) != Ok(pid) {
            assert!(begin.elapsed() < A_SECOND, "{:?}", getpgid(Some(pid)));
        }
        for signal in [
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGQUIT,
            Signal::SIGHUP,
        ] {
            kill(pid, signal).unwrap();
        }
        ask_keep_alive(&mut pool.program.connect()).unwrap();
        assert_eq!(guardian_of(manager, 2, &[]), guardian);
        pool.program.signal(Signal::SIGTERM);
        assert!(pool.program.wait().success());
        assert!(ended_within(guardian, A_SECOND));
    }
}

#[test]
fn a_new_guardian_replaces_the_old_one_after_a_reload() {
    let mut pool = Pool::start(TRANSPORTS[0], 2, &[]);
    let manager = pool.program.pid();
    let first = guardian_of(manager, 2, &[]);
    pool.program.signal(Signal::SIGHUP);
    pool.program.line("reload done");
    let second = guardian_of(manager, 2, &[first]);
    assert!(ended_within(first, A_SECOND));
    assert!(!ended_within(second, Duration::ZERO));
}

#[test]
fn a_killed_guardian_is_replaced_and_workers_still_notice_the_managers_death() {
    for round in 0..4 {
        let mut pool = Pool::start(TRANSPORTS[round % 2], 3, &[]);
        let manager = pool.program.pid();
        let mut paused = pool.paused(round < 2);
        let mut kept = pool.program.connect();
        ask_keep_alive(&mut kept).unwrap();
        let mut killed = Vec::new();
        for _ in 0..3 {
            let guardian = guardian_of(manager, 3, &killed);
            kill(Pid::from_raw(guardian), Signal::SIGKILL).unwrap();
            killed.push(guardian);
        }
        let guardian = guardian_of(manager, 3, &killed);
        let gate = pool.gate();
        pool.program.signal(Signal::SIGKILL);
        pool.program.wait();
        let exited = || {
            let workers = pool.workers.iter();
            workers.filter(|pid| ended_within(**pid, A_SECOND)).count()
        };
        assert_eq!(exited(), 2, "the third is busy");
        // It does not wait for the busy worker, which reads the notification from its page.
        assert!(ended_within(guardian, A_SECOND));
        drop(gate);
        assert!(paused.response().text().contains("waited"));
        assert_eq!(exited(), 3);
    }
}
