//! A debugger, as far as the traced process and its parent notice it.

use std::process::{Child, Command};
use std::time::Instant;

use super::compiled::compiled;
use super::connection::LIMIT;

/// Holds a process from its end on, until this value is dropped: its parent cannot reap it (ptrace(2)).
pub(crate) struct Tracer(Child);

impl Tracer {
    pub(crate) fn attach(pid: i32) -> Self {
        let mut command = Command::new(compiled("peer/tracer.c"));
        command.arg(pid.to_string());
        let this = Self(command.spawn().unwrap());
        let is_traced = |line: &str| line.starts_with("TracerPid:\t") && !line.ends_with("\t0");
        this.await_status(pid, is_traced);
        this
    }

    /// Waits until the traced process has ended.
    pub(crate) fn await_end(&self, pid: i32) {
        self.await_status(pid, |line| line.starts_with("State:\tZ"));
    }

    fn await_status(&self, pid: i32, is_wanted: impl Fn(&str) -> bool) {
        let until = Instant::now() + LIMIT;
        loop {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            if status.lines().any(&is_wanted) {
                return;
            }
            assert!(Instant::now() < until, "{status}");
            std::thread::yield_now();
        }
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
