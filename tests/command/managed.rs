//! The C example under a real manager.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Instant;

use tempfile::TempDir;

use crate::process::{LIMIT, line_with, lines_of};

/// The C example under its manager. It is killed with the test, together with its workers.
pub(crate) struct Pool {
    pub(crate) folder: TempDir,
    pub(crate) child: Child,
    /// Its pid may have been reused.
    pub(crate) reaped: bool,
    lines: Receiver<String>,
    pub(crate) workers: Vec<u32>,
}

impl Pool {
    pub(crate) fn start(listener: impl Into<OwnedFd>, workers: usize) -> Self {
        Self::start_as(listener, workers, "exec \"$0\" fd:0")
    }

    /// Starts it by a shell script, in which `$0` is the program.
    pub(crate) fn start_as(listener: impl Into<OwnedFd>, workers: usize, script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let gate = folder.path().join("gate");
        let made = Command::new("mkfifo").arg(&gate).status();
        assert!(made.unwrap().success());
        let hello = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../target/release/examples/hello"
        );
        assert!(fs::exists(hello).unwrap(), "run `make build` first");
        let mut child = Command::new("sh")
            .args(["-c", script, hello])
            .env("FCGIPM_N_PROCESSES", workers.to_string())
            .env("FCGIPM_PID_FNAME", folder.path().join("pid"))
            .env("HELLO_GATE", &gate)
            .process_group(0)
            .stdin(Stdio::from(listener.into()))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = lines_of(child.stderr.take());
        let mut pool = Self {
            folder,
            child,
            reaped: false,
            lines,
            workers: Vec::new(),
        };
        for _ in 0..workers {
            let pid = pool.ready();
            pool.workers.push(pid);
        }
        pool
    }

    /// Starts it on a unix socket, and returns its folder and path as well.
    pub(crate) fn on_unix(workers: usize) -> (Self, TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let path = path.to_str().unwrap().to_owned();
        (Self::start(listener, workers), folder, path)
    }

    pub(crate) fn line(&self, text: &str) -> String {
        line_with(&self.lines, text)
    }

    /// Waits for the next worker that is ready, and returns its pid.
    pub(crate) fn ready(&self) -> u32 {
        let line = self.line(") ready");
        let (_, rest) = line.split_once("worker (pid ").unwrap();
        rest.split_once(')').unwrap().0.parse().unwrap()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn pid_file(&self) -> String {
        self.folder.path().join("pid").to_str().unwrap().to_owned()
    }

    /// Stops all processes by SIGSTOP.
    pub(crate) fn stop_all(&self) {
        for pid in self.workers.iter().copied().chain([self.pid()]) {
            signal("STOP", pid);
            let until = Instant::now() + LIMIT;
            while !fs::read_to_string(format!("/proc/{pid}/status"))
                .unwrap()
                .contains("State:\tT")
            {
                assert!(Instant::now() < until, "{pid} is still running");
                thread::yield_now();
            }
        }
    }

    /// The region that a worker shares with its manager, after the line that the manager writes.
    pub(crate) fn region(&self, worker: u32) -> Region {
        let maps = fs::read_to_string(format!("/proc/{worker}/maps")).unwrap();
        let line = maps.lines().find(|line| line.contains("fcgipm-region-"));
        let (start, _) = line.unwrap().split_once('-').unwrap();
        let memory = File::options()
            .write(true)
            .open(format!("/proc/{worker}/mem"));
        Region {
            memory: memory.unwrap(),
            start: u64::from_str_radix(start, 16).unwrap() + 512,
        }
    }

    /// A client whose request waits in a worker, and the file that lets it continue.
    pub(crate) fn paused(&self, to: &str, path: &str) -> (Child, File) {
        let client = Command::new(env!("CARGO_BIN_EXE_fcgipm"))
            .args(["call", "--to", to, path])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // Opening the FIFO waits for the reader.
        let gate = File::options()
            .write(true)
            .open(self.folder.path().join("gate"));
        (client, gate.unwrap())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        let group = format!("-{}", self.pid());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
    }
}

/// The length of the records in a region.
pub(crate) const RECORDS: usize = 32 * 1024 - 512;

/// The next random number.
pub(crate) fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Memory of a worker.
pub(crate) struct Region {
    memory: File,
    start: u64,
}

impl Region {
    pub(crate) fn write(&self, bytes: &[u8]) {
        self.memory.write_all_at(bytes, self.start).unwrap();
    }
}

pub(crate) fn signal(name: &str, pid: u32) {
    let mut command = Command::new("kill");
    command.args([format!("-{name}"), pid.to_string()]);
    assert!(command.status().unwrap().success());
}
