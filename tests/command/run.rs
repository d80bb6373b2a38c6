//! `fcgipm run`: programs under a manager.

mod adopted_orphans;
mod changed_pools;
mod checking;
mod descriptors;
mod log;
mod pools;
mod process_group;
mod standard_error;
mod starting;
mod usage;
mod with_library;
mod without_library;

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::Receiver;
use std::time::Instant;
use std::{fs, thread};

use tempfile::TempDir;

use crate::process::{LIMIT, fcgipm, lines_of};

/// A running `fcgipm run`. It is killed with the test, together with all that it has started.
pub(crate) struct Run {
    pub(crate) folder: TempDir,
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
    reaped: bool,
}

impl Run {
    /// One pool that listens on [`address`](Self::address), without a drop-in.
    pub(crate) fn pool(options: &[&str], program: &[&str]) -> Self {
        Self::pool_in(tempfile::tempdir().unwrap(), options, program)
    }

    pub(crate) fn pool_in(folder: TempDir, options: &[&str], program: &[&str]) -> Self {
        Self::pool_by(folder, &[], options, program, &[])
    }

    /// The same, started as in [`start_by`](Self::start_by).
    pub(crate) fn pool_by(
        folder: TempDir,
        prefix: &[&str],
        options: &[&str],
        program: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let address = address(&folder);
        let listen = ["--no-preload", "--listen", &address];
        let arguments = [&listen, options, &["--"], program].concat();
        Self::start_by(folder, prefix, &arguments, environment)
    }

    pub(crate) fn start(folder: TempDir, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start_by(folder, &[], arguments, environment)
    }

    /// Starts the command by another one, which executes it.
    pub(crate) fn start_by(
        folder: TempDir,
        prefix: &[&str],
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        Self::spawn(folder, Self::command(prefix, arguments, environment))
    }

    /// What [`start_by`](Self::start_by) starts.
    pub(crate) fn command(
        prefix: &[&str],
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Command {
        // Signals that the test run ignores, as under nohup(1), would be ignored by the command
        // too.
        let mut command = Command::new("env");
        command
            .arg("--default-signal=HUP,INT,QUIT,TERM")
            .args(prefix)
            .arg(env!("CARGO_BIN_EXE_fcgipm"))
            .arg("run")
            .args(arguments)
            .envs(environment.iter().copied());
        command
    }

    pub(crate) fn spawn(folder: TempDir, mut command: Command) -> Self {
        let mut child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = lines_of(child.stderr.take());
        Self {
            folder,
            child,
            lines,
            seen: Vec::new(),
            reaped: false,
        }
    }

    pub(crate) fn address(&self) -> String {
        address(&self.folder)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the next line that contains the text.
    pub(crate) fn line(&mut self, text: &str) -> String {
        loop {
            match self.lines.recv_timeout(LIMIT) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(text) {
                        return line;
                    }
                }
                Err(error) => panic!("no line with '{text}' ({error}): {:#?}", self.seen),
            }
        }
    }

    /// Waits until `count` lines contain the text, including lines that were checked before.
    pub(crate) fn lines_with(&mut self, text: &str, count: usize) -> Vec<String> {
        loop {
            let found = self.seen.iter().filter(|line| line.contains(text));
            let found: Vec<_> = found.cloned().collect();
            if found.len() >= count {
                return found;
            }
            self.line(text);
        }
    }

    /// Waits for the next worker that is ready, and returns its pid.
    pub(crate) fn ready(&mut self) -> u32 {
        pid_in(&self.line(") ready"))
    }

    pub(crate) fn ready_ones(&mut self, count: usize) -> Vec<u32> {
        (0..count).map(|_| self.ready()).collect()
    }

    pub(crate) fn signal(&self, name: &str) {
        crate::managed::signal(name, self.pid());
    }

    /// Waits until it has exited, and returns its status and all lines.
    pub(crate) fn end(&mut self) -> (ExitStatus, &[String]) {
        while let Ok(line) = self.lines.recv_timeout(LIMIT) {
            self.seen.push(line);
        }
        self.reaped = true;
        (self.child.wait().unwrap(), &self.seen)
    }

    /// Stops it by SIGTERM, which must succeed.
    pub(crate) fn stop(&mut self) -> &[String] {
        self.signal("TERM");
        let (status, lines) = self.end();
        assert_eq!(status.code(), Some(0), "{lines:#?}");
        lines
    }

    /// Sends a request, which must be answered.
    pub(crate) fn call(&self) -> String {
        call(&self.address())
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.reaped {
            let group = format!("-{}", self.pid());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            let _ = self.child.wait();
        }
    }
}

pub(crate) fn address(folder: &TempDir) -> String {
    folder.path().join("socket").to_str().unwrap().to_owned()
}

pub(crate) fn call(address: &str) -> String {
    let output = fcgipm(&["call", "--to", address, "/"], b"");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The pid of the worker in a line.
pub(crate) fn pid_in(line: &str) -> u32 {
    let (_, rest) = line.split_once("worker (pid ").unwrap();
    rest.split_once(')').unwrap().0.parse().unwrap()
}

/// The C example, which is a worker on this library.
pub(crate) fn hello() -> String {
    let hello = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/release/examples/hello");
    assert!(hello.exists(), "run `make build` first");
    hello.to_str().unwrap().to_owned()
}

/// The C program without a library, compiled once per process.
pub(crate) fn plain() -> String {
    static DONE: Mutex<Option<PathBuf>> = Mutex::new(None);
    let mut done = DONE.lock().unwrap();
    let path = done.get_or_insert_with(|| {
        let out =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("plain-{}", std::process::id()));
        let status = Command::new("cc")
            .args([
                "-std=c11",
                "-O1",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-pedantic",
                "-o",
            ])
            .arg(&out)
            .arg(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../tests/command/run/plain.c"
            ))
            .status();
        assert!(status.expect("cc, the C compiler").success());
        out
    });
    path.to_str().unwrap().to_owned()
}

/// Writes a shell script into a folder, atomically, since a worker may be about to execute it.
pub(crate) fn script(folder: &TempDir, text: &str) -> String {
    let (new, path) = (folder.path().join("new"), folder.path().join("program"));
    fs::write(&new, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&new, &path).unwrap();
    path.to_str().unwrap().to_owned()
}

pub(crate) fn fifo(folder: &TempDir) -> String {
    let path = folder.path().join("gate");
    let made = Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    path.to_str().unwrap().to_owned()
}

/// Waits until a process that is not a child of this one has exited. A zombie counts as exited.
pub(crate) fn wait_until_exited(pid: u32) {
    let until = Instant::now() + LIMIT;
    while fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.starts_with(" Z"))
    {
        assert!(Instant::now() < until, "{pid} is still running");
        thread::yield_now();
    }
}

pub(crate) fn status(target: &str) -> serde_json::Value {
    let output = fcgipm(&["status", "--json", target], b"");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}
