//! A log that is not read, or cannot be written, does not stop the manager.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Instant;

use fcgipm::wire::RecordType;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::termios::{FlowArg, SetArg, cfmakeraw, tcflow, tcgetattr, tcsetattr};
use tempfile::TempDir;

use super::{address, call, hello};
use crate::application::Application;
use crate::managed::signal;
use crate::process::{Gateway, LIMIT, fcgipm};
use crate::web;

/// `fcgipm run` with one worker, without reading its lines. It is killed with the test.
struct Pool {
    child: Child,
    folder: TempDir,
}

impl Pool {
    /// Started by a shell, which runs `first` before.
    fn start(stderr: Stdio, first: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = format!("{first} exec \"$0\" run --no-preload --listen \"$1\" -- \"$2\" fd:0");
        let child = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_fcgipm")])
            .args([address(&folder), hello()])
            .process_group(0)
            .stdin(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        Self { child, folder }
    }

    fn address(&self) -> String {
        address(&self.folder)
    }

    /// Waits for an idle worker other than this one.
    fn worker(&self, but: u32) -> u32 {
        let until = Instant::now() + LIMIT;
        loop {
            let output = fcgipm(&["status", "--json", &self.address()], b"");
            let report: serde_json::Value =
                serde_json::from_slice(&output.stdout).unwrap_or_default();
            let row = &report["workers"][0];
            if row["state"] == "idle" && row["pid"] != but {
                return u32::try_from(row["pid"].as_u64().unwrap()).unwrap();
            }
            assert!(Instant::now() < until, "{report}");
            thread::yield_now();
        }
    }

    /// A worker becomes ready, is killed and replaced, and the manager stops.
    fn assert_works(mut self) -> ExitStatus {
        let first = self.worker(0);
        signal("KILL", first);
        self.worker(first);
        assert!(call(&self.address()).contains("Hello"));
        signal("TERM", self.child.id());
        self.end()
    }

    fn end(&mut self) -> ExitStatus {
        let until = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "it does not stop");
            thread::yield_now();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let group = format!("-{}", self.child.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            let _ = self.child.wait();
        }
    }
}

/// Writes until the buffer is full, and returns the number of bytes.
fn fill(fd: impl AsFd) -> usize {
    let set = |flags| fcntl(&fd, FcntlArg::F_SETFL(flags)).unwrap();
    set(OFlag::O_NONBLOCK);
    let (mut sum, mut size) = (0, 4_096);
    while size > 0 {
        match nix::unistd::write(&fd, &vec![b'x'; size]) {
            Ok(count) => sum += count,
            Err(_) => size /= 2,
        }
    }
    set(OFlag::empty());
    sum
}

fn full_pipe() -> (File, usize, OwnedFd) {
    let (read, write) = nix::unistd::pipe().unwrap();
    let sum = fill(&write);
    (File::from(read), sum, write)
}

#[test]
fn a_manager_whose_log_is_full_continues() {
    let (_pipe, _, write) = full_pipe();
    assert_eq!(Pool::start(write.into(), "").assert_works().code(), Some(0));

    let (near, _far) = UnixStream::pair().unwrap();
    fill(&near);
    let near = Stdio::from(OwnedFd::from(near));
    assert_eq!(Pool::start(near, "").assert_works().code(), Some(0));

    let terminal = nix::pty::openpty(None, None).unwrap();
    tcflow(&terminal.slave, FlowArg::TCOOFF).unwrap();
    let stderr = Stdio::from(terminal.slave);
    assert_eq!(Pool::start(stderr, "").assert_works().code(), Some(0));

    let (read, write) = nix::unistd::pipe().unwrap();
    drop(read);
    assert_eq!(Pool::start(write.into(), "").assert_works().code(), Some(0));

    let full = File::options().write(true).open("/dev/full").unwrap();
    assert_eq!(Pool::start(full.into(), "").assert_works().code(), Some(0));

    let closed = Pool::start(Stdio::null(), "exec 2>&-;");
    assert_eq!(closed.assert_works().code(), Some(0));
}

#[test]
fn dropped_lines_are_counted_in_the_next_line() {
    let (mut pipe, sum, write) = full_pipe();
    let mut pool = Pool::start(write.into(), "");
    pool.worker(0);
    let mut taken = vec![0; sum];
    pipe.read_exact(&mut taken).unwrap();
    signal("TERM", pool.child.id());
    assert_eq!(pool.end().code(), Some(0));
    let mut rest = String::new();
    pipe.read_to_string(&mut rest).unwrap();
    let lines: Vec<_> = rest.lines().collect();
    // "managing", "started", "ready".
    let report = format!(
        "fcgipm: (pid {}) 3 log lines were dropped here: standard error did not accept more",
        pool.child.id()
    );
    assert_eq!(lines[0], report, "{lines:#?}");
    assert!(lines[1].contains("received SIGTERM"), "{lines:#?}");
    assert!(
        !lines[1..].iter().any(|line| line.contains("dropped")),
        "{lines:#?}"
    );
}

#[test]
fn a_terminal_gets_every_line_even_of_a_background_process_with_tostop() {
    let terminal = nix::pty::openpty(None, None).unwrap();
    let mut modes = tcgetattr(&terminal.slave).unwrap();
    cfmakeraw(&mut modes);
    modes.local_flags |= nix::sys::termios::LocalFlags::TOSTOP;
    tcsetattr(&terminal.slave, SetArg::TCSANOW, &modes).unwrap();
    let mut master = File::from(terminal.master);
    // In the background of a session with this terminal.
    let folder = tempfile::tempdir().unwrap();
    let script = format!(
        "set -m; \"$0\" run --no-preload --listen '{}' -- '{}' fd:0 & echo $! >&3; wait $!",
        address(&folder),
        hello()
    );
    let (mut pid, write) = UnixStream::pair().unwrap();
    let mut child = Command::new("setsid")
        .args(["--ctty", "--wait", "sh", "-c"])
        .arg(format!("exec 3>&1 1>&2; {script}"))
        .arg(env!("CARGO_BIN_EXE_fcgipm"))
        .stdin(terminal.slave.try_clone().unwrap())
        .stdout(OwnedFd::from(write))
        .stderr(terminal.slave)
        .spawn()
        .unwrap();
    let mut seen = Vec::new();
    let mut pid_text = [0; 16];
    let count = pid.read(&mut pid_text).unwrap();
    let pid: u32 = std::str::from_utf8(&pid_text[..count])
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let mut until = |text: &str| {
        while !String::from_utf8_lossy(&seen).contains(text) {
            let mut bytes = [0; 4_096];
            let mut polled = [PollFd::new(master.as_fd(), PollFlags::POLLIN)];
            let limit = PollTimeout::try_from(LIMIT).unwrap();
            if nix::poll::poll(&mut polled, limit) != Ok(1) {
                signal("KILL", pid);
                panic!("no {text}: {}", String::from_utf8_lossy(&seen));
            }
            match master.read(&mut bytes) {
                Ok(count) if count > 0 => seen.extend_from_slice(&bytes[..count]),
                end => panic!("{end:?} before {text}: {}", String::from_utf8_lossy(&seen)),
            }
        }
    };
    until(") ready");
    signal("TERM", pid);
    until(": stopped");
    child.wait().unwrap();
    // SIGTTOU of the terminal was not taken for the order to stop a worker.
    let seen = String::from_utf8_lossy(&seen);
    assert!(
        !seen.contains("TTOU") && !seen.contains("dropped"),
        "{seen}"
    );
}

#[test]
fn a_gateway_whose_log_is_full_continues() {
    let application = Application::start(|mut conversation| {
        conversation.request();
        conversation.stdin();
        for _ in 0..100 {
            conversation.write(RecordType::Stderr, b"a line of the application's\n");
        }
        conversation.stdout(b"Content-Type: text/plain\n\nbody");
        conversation.write(RecordType::Stdout, b"");
        conversation.end(0);
    });
    let (mut pipe, sum, write) = full_pipe();
    let gateway = Gateway::logging_to(write.into(), &application.address, &[]);
    for _ in 0..3 {
        assert_eq!(web::get(&gateway.http, "/").text(), "body");
    }
    pipe.read_exact(&mut vec![0; sum]).unwrap();
    assert_eq!(web::get(&gateway.http, "/").text(), "body");
    gateway.terminate();
    drop(gateway);
    let mut rest = String::new();
    pipe.read_to_string(&mut rest).unwrap();
    assert!(rest.contains(" 300 log lines were dropped here"), "{rest}");
    assert!(
        rest.contains("GET /: a line of the application's\n"),
        "{rest}"
    );
}
