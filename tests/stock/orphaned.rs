//! Programs on libfcgi under `fcgipm run` whose manager exits during a request, and the children of
//! programs that are killed.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

use crate::peer::connection::{Connection, LIMIT};
use crate::peer::program::{
    Program, ended_within, guardian_of, readable_within, wait_until_asleep,
};
use crate::peer::records::request;
use crate::place;
use crate::supervised::{next_ready, run};

/// fcgiwrap under `fcgipm run` with two workers. One of them waits for its script in poll(2), which
/// any signal with a handler interrupts.
struct Waiting {
    pool: Program,
    workers: [i32; 2],
    guardian: i32,
    connection: Connection,
    gate: PathBuf,
    _folder: tempfile::TempDir,
}

impl Waiting {
    fn start(asked_before: bool) -> Self {
        let folder = place::folder();
        let (begun, gate) = (folder.path().join("begun"), folder.path().join("gate"));
        for fifo in [&begun, &gate] {
            mkfifo(fifo, Mode::from_bits_truncate(0o600)).unwrap();
        }
        let script = folder.path().join("script");
        let text = format!(
            "#!/bin/sh\ntrap '' TERM\n[ \"$QUERY_STRING\" = wait ] && {{ echo >'{}'; read line <'{}'; }}\n\
             printf 'Content-Type: text/plain\\r\\n\\r\\nthe script has ended\\n'\n",
            begun.display(),
            gate.display()
        );
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let mut pool = run(folder.path(), &["--workers", "2"], &["/usr/sbin/fcgiwrap"]);
        let workers = [next_ready(&mut pool), next_ready(&mut pool)];
        let guardian = guardian_of(pool.pid(), 2, &[]);
        let ask = |query: &str| {
            let mut connection = pool.connect();
            let request = request("/script")
                .param("SCRIPT_FILENAME", script.to_str().unwrap())
                .param("QUERY_STRING", query);
            connection.send(&request.bytes());
            connection
        };
        if asked_before {
            assert!(ask("").response().text().contains("the script has ended"));
        }
        let connection = ask("wait");
        File::open(&begun)
            .unwrap()
            .read_to_end(&mut Vec::new())
            .unwrap();
        // The script has begun, and fcgiwrap waits for it.
        workers.into_iter().for_each(wait_until_asleep);
        Self {
            pool,
            workers,
            guardian,
            connection,
            gate,
            _folder: folder,
        }
    }

    /// Lets the script continue, even if it has not begun to read.
    fn release(&self) -> File {
        let both = File::options().read(true).write(true).open(&self.gate);
        let mut gate = both.unwrap();
        gate.write_all(b"\n").unwrap();
        gate
    }
}

pub(crate) fn fcgiwrap_finishes_its_script_when_the_manager_is_killed() {
    for asked_before in [false, true] {
        let mut waiting = Waiting::start(asked_before);
        waiting.pool.signal(Signal::SIGKILL);
        waiting.pool.wait();
        // The guardian exits after it has notified every worker.
        assert!(ended_within(waiting.guardian, Duration::from_secs(5)));
        let left: Vec<_> = waiting
            .workers
            .into_iter()
            .filter(|pid| !ended_within(*pid, Duration::ZERO))
            .collect();
        assert_eq!(left.len(), 1, "one serves a request");
        let _gate = waiting.release();
        let text = waiting.connection.response().text();
        assert!(text.contains("the script has ended"), "{text}");
        assert!(ended_within(left[0], Duration::from_secs(1)));
    }
}

/// With systemd's `KillMode=mixed` only the manager gets SIGTERM, and nothing is interrupted. With
/// `control-group` every process gets it, which interrupts fcgiwrap's poll(2) during a request.
pub(crate) fn fcgiwrap_finishes_its_script_when_only_the_manager_gets_term() {
    for asked_before in [false, true] {
        for (to_all, expected) in [(false, "the script has ended"), (true, "502")] {
            let mut waiting = Waiting::start(asked_before);
            let mut receivers = vec![waiting.pool.pid()];
            if to_all {
                receivers.extend(waiting.workers);
                receivers.push(waiting.guardian);
            }
            for pid in receivers {
                // An idle process may have exited already.
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
            // By the exit of either worker, both have been notified.
            waiting.pool.line("exited with status 0");
            // An interrupted fcgiwrap answers without the script.
            let gate = (!to_all).then(|| waiting.release());
            let text = waiting.connection.response().text();
            let _gate = gate.unwrap_or_else(|| waiting.release());
            assert!(text.contains(expected), "to all {to_all}: {text}");
            assert!(waiting.pool.wait().success());
            let lines = waiting.pool.all_lines();
            assert!(
                !lines.iter().any(|line| line.contains("kill")),
                "{lines:#?}"
            );
        }
    }
}

/// The script and its child hold the writing end of a FIFO, which is closed when both have exited.
pub(crate) fn a_script_is_killed_when_its_request_times_out() {
    let folder = place::folder();
    let fifo = folder.path().join("fifo");
    mkfifo(&fifo, Mode::from_bits_truncate(0o600)).unwrap();
    let script = folder.path().join("script");
    let text = format!(
        "#!/bin/sh\nexec 9>'{}'\nsleep 1000 &\necho begun >&9\nwait\n",
        fifo.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let limits = ["--request-timeout", "0.5", "--request-timeout-grace", "0.2"];
    let options = [&["--workers", "1"][..], &limits].concat();
    let mut pool = run(folder.path(), &options, &["/usr/sbin/fcgiwrap"]);
    next_ready(&mut pool);
    let mut connection = pool.connect();
    let request = request("/script").param("SCRIPT_FILENAME", script.to_str().unwrap());
    connection.send(&request.bytes());
    let mut fifo = File::open(&fifo).unwrap();
    let mut text = [0; 6];
    fifo.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"begun\n");
    pool.line("killing worker");
    assert!(readable_within(&fifo, LIMIT), "the script still runs");
    assert_eq!(fifo.read(&mut text).unwrap(), 0);
    assert!(connection.response().text().contains("took too long"));
    pool.signal(Signal::SIGTERM);
    assert!(pool.wait().success());
}
