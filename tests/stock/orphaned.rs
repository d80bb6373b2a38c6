//! Programs on libfcgi under `fcgipm run` whose manager is killed in the middle of a request, and what they started
//! when they are killed themselves.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::peer::connection::LIMIT;
use crate::peer::program::{ended_within, guardian_of, readable_within};
use crate::peer::records::request;
use crate::place;
use crate::supervised::{next_ready, run};

/// fcgiwrap waits for its script in poll(2), which no signal handler lets go on.
pub(crate) fn fcgiwrap_finishes_its_script_when_the_manager_is_killed() {
    for asked_before in [false, true] {
        let folder = place::folder();
        let (begun, gate) = (folder.path().join("begun"), folder.path().join("gate"));
        for fifo in [&begun, &gate] {
            mkfifo(fifo, Mode::from_bits_truncate(0o600)).unwrap();
        }
        let script = folder.path().join("script");
        let text = format!(
            "#!/bin/sh\n[ \"$QUERY_STRING\" = wait ] && {{ echo >'{}'; read line <'{}'; }}\n\
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
        let mut connection = ask("wait");
        File::open(&begun)
            .unwrap()
            .read_to_end(&mut Vec::new())
            .unwrap();
        pool.signal(Signal::SIGKILL);
        pool.wait();
        // By then it has told everybody whom it tells.
        assert!(ended_within(guardian, Duration::from_secs(5)));
        let left: Vec<_> = workers
            .into_iter()
            .filter(|pid| !ended_within(*pid, Duration::ZERO))
            .collect();
        assert_eq!(left.len(), 1, "the one that serves");
        drop(File::options().write(true).open(&gate).unwrap());
        let text = connection.response().text();
        assert!(text.contains("the script has ended"), "{text}");
        assert!(ended_within(left[0], Duration::from_secs(1)));
    }
}

/// The script, and what it has started, have the writing end of a FIFO: its end is theirs.
pub(crate) fn a_request_that_times_out_takes_the_script_with_it() {
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
    let mut said = [0; 6];
    fifo.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"begun\n");
    pool.line("killing worker");
    assert!(readable_within(&fifo, LIMIT), "the script goes on");
    assert_eq!(fifo.read(&mut said).unwrap(), 0);
    assert!(connection.response().text().contains("took too long"));
    pool.signal(Signal::SIGTERM);
    assert!(pool.wait().success());
}
