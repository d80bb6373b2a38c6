//! A program that a test runs, and its lines on standard error.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

/// The maximum time to wait for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A running program, which is ended with the test.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    ended: bool,
}

impl Process {
    /// A command for a program that is ended even if the test is killed.
    pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "--"]).arg(program);
        command
    }

    pub(crate) fn start(name: &'static str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let seen = Arc::new(Seen::default());
        let process = Self {
            name,
            child,
            seen: Arc::clone(&seen),
        };
        let pid = process.pid();
        let of_lines = Arc::clone(&seen);
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                of_lines.change(|state| state.lines.push(line));
            }
        });
        thread::spawn(move || {
            // It remains a zombie, so its pid is not reused before the test has reaped it.
            let _ = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
            seen.change(|state| state.ended = true);
        });
        process
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).unwrap();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.seen.state().ended
    }

    /// Its lines on standard error so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen.state().lines.clone()
    }

    /// Waits until `count` lines contain `text`.
    pub(crate) fn wait_for_lines(&self, count: usize, text: &str) {
        let arrived = self.seen.wait(|state| {
            let matching = state.lines.iter().filter(|line| line.contains(text));
            matching.count() >= count || state.ended
        });
        assert!(
            arrived && !self.has_ended(),
            "{}: no {count} lines with '{text}':\n{}",
            self.name,
            self.lines().join("\n")
        );
    }

    /// Sends a signal, and fails unless it exits successfully.
    pub(crate) fn stop(&mut self, signal: Signal) {
        self.signal(signal);
        assert!(
            self.seen.wait(|state| state.ended),
            "{} does not stop:\n{}",
            self.name,
            self.lines().join("\n")
        );
        let status = self.child.wait().unwrap();
        assert!(
            status.success(),
            "{}: {status}:\n{}",
            self.name,
            self.lines().join("\n")
        );
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // After a stop the child has been reaped, and this has no effect.
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill(self.pid(), Signal::SIGTERM);
            if !self.seen.wait(|state| state.ended) {
                let _ = self.child.kill();
            }
            let _ = self.child.wait();
        }
    }
}

impl Seen {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Waits for a state. Returns false if it is not reached in time.
    fn wait(&self, is_so: impl Fn(&State) -> bool) -> bool {
        let deadline = Instant::now() + LIMIT;
        let mut state = self.state();
        while !is_so(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
        true
    }
}
