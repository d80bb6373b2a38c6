//! Starts hosts, and reads their events.

use std::collections::HashSet;
use std::fs;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const LIMIT: Duration = Duration::from_secs(30);

pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let template = std::env::temp_dir().join("fcgipm-manager-XXXXXX");
        let this = Self(nix::unistd::mkdtemp(&template).unwrap());
        this.deploy("serve");
        this
    }

    /// Selects what workers do that start from now on.
    pub(crate) fn deploy(&self, code: &str) {
        fs::write(self.0.join("next"), code).unwrap();
        fs::rename(self.0.join("next"), self.0.join("code")).unwrap();
    }

    /// A host of one worker with a pid file.
    pub(crate) fn host_with_pid_file(&self) -> Host {
        let pid_file = format!("pid_fname={}", self.pid_file());
        Host::start(self, &["n_processes=1", &pid_file])
    }

    pub(crate) fn pid_file(&self) -> String {
        self.0.join("pid").to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) kind: String,
    pub(crate) pid: i32,
    pub(crate) status: i32,
    pub(crate) message: String,
}

pub(crate) struct Host {
    pub(crate) process: Child,
    output: ChildStdout,
    buffer: Vec<u8>,
    pub(crate) seen: Vec<Line>,
}

impl Host {
    pub(crate) fn start(folder: &Folder, settings: &[&str]) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .arg("host")
            .args(settings)
            .env("CODE", folder.0.join("code"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = process.stdout.take().unwrap();
        Self {
            process,
            output,
            buffer: Vec::new(),
            seen: Vec::new(),
        }
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.process.id()).unwrap()
    }

    pub(crate) fn send(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).unwrap();
    }

    /// The next line of the manager.
    pub(crate) fn line(&mut self) -> Option<Line> {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let text: Vec<u8> = self.buffer.drain(..=end).collect();
                let text = String::from_utf8(text).unwrap();
                let mut words = text.trim_end().splitn(4, ' ');
                let line = Line {
                    kind: words.next().unwrap().to_owned(),
                    pid: words.next().unwrap().parse().unwrap(),
                    status: words.next().unwrap().parse().unwrap(),
                    message: words.next().unwrap_or("").to_owned(),
                };
                if line.kind == "InWorker" {
                    continue;
                }
                self.seen.push(line.clone());
                return Some(line);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let mut polled = [PollFd::new(self.output.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(i32::try_from(left.as_millis()).unwrap()).unwrap();
            assert!(
                poll(&mut polled, timeout).unwrap() > 0,
                "no further line; so far: {:#?}",
                self.seen
            );
            let mut bytes = [0; 4096];
            match self.output.read(&mut bytes).unwrap() {
                0 => return None,
                length => self.buffer.extend_from_slice(&bytes[..length]),
            }
        }
    }

    pub(crate) fn until(&mut self, is_expected: impl Fn(&Line) -> bool) -> Line {
        loop {
            match self.line() {
                Some(line) if is_expected(&line) => return line,
                Some(_) => {}
                None => panic!("the host has exited; its lines: {:#?}", self.seen),
            }
        }
    }

    pub(crate) fn until_kind(&mut self, kind: &str) -> Line {
        self.until(|line| line.kind == kind)
    }

    pub(crate) fn until_ready(&mut self, count: usize) -> HashSet<i32> {
        (0..count)
            .map(|_| self.until_kind("WorkerReady").pid)
            .collect()
    }

    /// Reads to the end, and returns the exit status.
    pub(crate) fn end(&mut self) -> i32 {
        while self.line().is_some() {}
        self.process.wait().unwrap().code().unwrap()
    }

    pub(crate) fn stop(mut self) {
        self.send(Signal::SIGTERM);
        self.until_kind("Stopped");
        assert_eq!(self.end(), 0);
    }

    pub(crate) fn count(&self, kind: &str) -> usize {
        self.seen.iter().filter(|line| line.kind == kind).count()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // The workers of a failed test exit when they notice the death of the manager.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
