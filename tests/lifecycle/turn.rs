//! The order of the manager's turn: what happens while the manager is stopped is handled in the order that the log
//! shows.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::peer::connection::LIMIT;
use super::peer::pool::{Pool, call};
use super::peer::program::{Transport, ended_within, folder};

/// The commands that a worker runs when it starts.
pub(super) struct Start(PathBuf);

impl Start {
    pub(super) fn new() -> Self {
        let start = Self(folder().join("start"));
        start.change("true");
        start
    }

    /// The value of `HELLO_START`.
    pub(super) fn command(&self) -> String {
        format!("exec sh {}", self.0.display())
    }

    pub(super) fn change(&self, script: &str) {
        // Replaced, not rewritten: a worker may be reading it.
        let next = self.0.with_extension("next");
        fs::write(&next, script).unwrap();
        fs::rename(&next, &self.0).unwrap();
    }

    pub(super) fn gate(&self, name: &str) -> Gate {
        let path = self.0.with_file_name(name);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        Gate(path)
    }
}

impl Drop for Start {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0.parent().unwrap());
    }
}

/// A fifo at which the start of a worker waits.
pub(super) struct Gate(PathBuf);

impl Gate {
    /// The shell command that waits here.
    pub(super) fn wait(&self) -> String {
        format!("read line < {}; true", self.0.display())
    }

    /// Waits until a worker has arrived. It continues when the file is dropped.
    fn reached(&self) -> File {
        let path = self.0.clone();
        let (opened, wait) = mpsc::channel();
        thread::spawn(move || opened.send(File::options().write(true).open(path)));
        let found = wait.recv_timeout(LIMIT);
        found.expect("a worker is at the gate").unwrap()
    }

    /// Lets workers through, those that arrive later too, as long as the file is open.
    pub(super) fn open(&self) -> File {
        let mut both = File::options()
            .read(true)
            .write(true)
            .open(&self.0)
            .unwrap();
        both.write_all(&[b'\n'; 100]).unwrap();
        both
    }
}

/// Kills a worker; the pid of its replacement.
fn replaced(pool: &mut Pool, victim: i32) -> i32 {
    kill(Pid::from_raw(victim), Signal::SIGKILL).unwrap();
    let line = pool.program.line(") started");
    let (_, rest) = line.split_once("worker (pid ").unwrap();
    rest.split_once(')').unwrap().0.parse().unwrap()
}

#[test]
fn a_turn_handles_signals_then_output_then_deaths_then_pages_and_then_forks() {
    let start = Start::new();
    let command = start.command();
    let mut pool = Pool::start(Transport::Unix, 3, &[("HELLO_START", &command)]);
    let [first, second, third] = pool.workers[..] else {
        panic!("three workers");
    };
    let [before, after, ready, rest] =
        ["before", "after", "ready", "rest"].map(|name| start.gate(name));
    let script = format!(
        "{}; echo a line from the start >&2; {}",
        before.wait(),
        after.wait()
    );
    start.change(&script);
    replaced(&mut pool, first);
    let at_before = before.reached();
    start.change(&ready.wait());
    let becomes_ready = replaced(&mut pool, second);
    let at_ready = ready.reached();
    start.change(&rest.wait());

    pool.program.suspend();
    let count = pool.program.lines().len();
    drop(at_before);
    let at_after = after.reached();
    drop(at_ready);
    kill(Pid::from_raw(third), Signal::SIGKILL).unwrap();
    assert!(ended_within(third, LIMIT));
    // No other worker could answer.
    let text = pool.program.call(&call("/")).text();
    assert!(text.contains(&format!("worker {becomes_ready},")), "{text}");
    pool.program.signal(Signal::SIGHUP);
    pool.program.signal(Signal::SIGCONT);
    let is_ready = format!("worker (pid {becomes_ready}) ready");
    pool.program.line(&is_ready);
    pool.program.line(") started");

    let expected = [
        // The signal interrupts the wait, so that turn finds nothing else.
        "received SIGHUP",
        "reload begun",
        ") started",
        "a line from the start",
        &format!("worker (pid {third}) killed by SIGKILL"),
        &is_ready,
        ") started",
    ];
    let lines = &pool.program.lines()[count..];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.contains(expected), "no {expected} in {lines:#?}");
    }
    drop(at_after);
    let all = rest.open();
    pool.program.line("reload done");
    drop(all);
    pool.program.signal(Signal::SIGTERM);
    assert_eq!(pool.program.wait().code(), Some(0));
}
