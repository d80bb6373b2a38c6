//! The time during which a manager is stopped does not count for its timeouts.

use std::fs::File;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::host;
use super::peer::connection::Connection;
use super::peer::pool::{Pool, call};
use super::peer::program::{TRANSPORTS, folder};
use super::peer::records::{ID, STDOUT};

const LIMIT: Duration = Duration::from_secs(5);
const STOPPED: Duration = Duration::from_secs(10);

/// A request that its worker has begun to answer, and that waits at the gate.
fn stubborn(pool: &Pool) -> Connection {
    let mut connection = pool.program.connect();
    connection.send(&call("/stubborn?n=10").bytes());
    assert_eq!(connection.record().kind, STDOUT);
    connection
}

pub(crate) fn a_manager_that_was_stopped_for_ten_seconds_kills_no_worker_too_early() {
    for transport in TRANSPORTS {
        let place = folder();
        let (flag, fifo) = (place.join("hang"), place.join("fifo"));
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let start = format!(
            "if [ -e {} ]; then cat {}; fi",
            flag.display(),
            fifo.display()
        );
        let limits = [
            ("FCGIPM_REQUEST_TIMEOUT", "5"),
            ("FCGIPM_REQUEST_TIMEOUT_GRACE", "0.5"),
            ("FCGIPM_START_TIMEOUT", "5"),
            ("FCGIPM_DIE_TIMEOUT", "5"),
            ("HELLO_START", &start),
        ];
        let mut pool = Pool::start(transport, 3, &limits);
        let began = Instant::now();
        // One request in a worker that is retired, and one in its replacement.
        let mut retired = stubborn(&pool);
        pool.program.signal(Signal::SIGHUP);
        // The reload is done when the retired worker has exited.
        pool.program.line("all new workers are ready");
        let mut current = stubborn(&pool);
        let gate = pool.gate();
        // A worker that hangs in its start, where it has opened the FIFO.
        File::create(&flag).unwrap();
        pool.program.signal(Signal::SIGHUP);
        let starting = File::options().write(true).open(&fifo).unwrap();
        pool.program.signal(Signal::SIGSTOP);
        let before = began.elapsed();
        // The scenario: the timeouts pass while the manager is stopped.
        std::thread::sleep(STOPPED);
        pool.program.signal(Signal::SIGCONT);
        let continued = Instant::now();
        pool.program.signal(Signal::SIGUSR1);
        pool.program.line("received SIGUSR1");
        // The timeouts that began before are not due yet.
        std::thread::sleep(Duration::from_secs(1));
        pool.program.signal(Signal::SIGUSR1);
        pool.program.line("received SIGUSR1");
        let quiet = continued.elapsed();
        assert!(before + quiet < LIMIT, "slow machine: {before:?} {quiet:?}");
        for line in pool.program.lines() {
            for bad in ["killing", "timed out", "failed", "killed"] {
                assert!(!line.contains(bad), "{line}");
            }
        }
        drop(gate);
        for connection in [&mut retired, &mut current] {
            let end = connection.response_to(ID);
            assert_eq!((end.app_status, end.protocol_status), (0, 0));
        }
        // The timeouts are only extended: the worker that hangs is killed.
        let line = pool.program.line("killing worker");
        assert!(
            line.contains("was not ready within start_timeout = 5s"),
            "{line}"
        );
        let after = continued.elapsed();
        println!(
            "measured: {transport:?}: stopped for {STOPPED:?} with timeouts of {LIMIT:?}: no worker killed; {before:.1?} before and \
             {after:.1?} after it, the worker that hangs is"
        );
        assert!(before + after > LIMIT, "too early: {before:?} {after:?}");
        assert!(
            after < LIMIT + Duration::from_secs(2),
            "too late: {after:?}"
        );
        drop(starting);
        host::end(&mut pool);
        std::fs::remove_dir_all(place).unwrap();
    }
}
